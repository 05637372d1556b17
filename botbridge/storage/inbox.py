"""Accepted messages, in SQL."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection, bindparam, insert, or_, select, update

from botbridge.characters import storable
from botbridge.faults import Boundary
from botbridge.messages import (
    Address,
    ConversationKey,
    InboxId,
    InboxRow,
    InboxState,
    IncomingMessage,
    MessageId,
    OutboxPart,
    Outcome,
    Person,
)
from botbridge.storage.codec import decode_message, encode_message, storable_message
from botbridge.storage.database import Database
from botbridge.storage.endings import end
from botbridge.storage.rows import unfinished_rows
from botbridge.storage.rules import MALFORMED, username_key
from botbridge.storage.tables import conversation, identity, inbox, person, utc_now

# Made once: to put a statement together takes several times as long as to carry it out.
_KNOWN_MESSAGE = select(inbox.c.id).where(
    inbox.c.platform == bindparam("platform"),
    inbox.c.bot_id == bindparam("bot_id"),
    inbox.c.chat_id == bindparam("chat_id"),
    inbox.c.message_id == bindparam("message_id"),
    inbox.c.kind == bindparam("kind"),
)
_SEE_AGAIN = (
    update(identity)
    .where(
        identity.c.platform == bindparam("of_platform"),
        identity.c.bot_id == bindparam("of_bot"),
        identity.c.user_id == bindparam("of_user"),
    )
    .returning(identity.c.id)
)
_NEW_PERSON = insert(person).returning(person.c.id)
_NEW_IDENTITY = insert(identity).returning(identity.c.id)
_KNOWN_CONVERSATION = select(conversation.c.id, conversation.c.epoch).where(conversation.c.key == bindparam("key"))
_NEW_CONVERSATION = insert(conversation).returning(conversation.c.id, conversation.c.epoch)
_NEW_MESSAGE = insert(inbox).returning(inbox.c.id)
_UNFINISHED = update(inbox).where(inbox.c.id == bindparam("of_id"), inbox.c.finished_at.is_(None))
_CLAIM = _UNFINISHED.values(attempts=inbox.c.attempts + 1)
_PUT_BACK = _UNFINISHED.values(crashes=inbox.c.crashes + bindparam("more_crashes"))
_PAYLOAD = select(inbox.c.payload).where(inbox.c.id == bindparam("of_id"), inbox.c.finished_at.is_(None))


class SqlInbox:
    """`ports.Inbox` over the database; one object is one start of the service."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # Drawn, and no process id: after a restart another process may bear the old one.
        self._boot_id = secrets.token_hex(8)

    async def accept(self, incoming: IncomingMessage, key: ConversationKey) -> InboxRow | None:
        """Store a message, its sender and its conversation; None when it is already known."""
        clean = storable_message(incoming)

        def work(connection: Connection) -> InboxRow | None:
            if _is_known(connection, clean.address, clean.message_id, clean.kind):
                return None
            identity_id = _identity(connection, clean.address, clean.sender)
            conversation_id, epoch = _conversation(connection, key)
            new = _place(clean.address, clean.message_id, clean.kind) | {
                "conversation_id": conversation_id,
                "identity_id": identity_id,
                "username": username_key(clean.sender.username),
                "epoch": epoch,
                "state": InboxState.RECEIVED,
                "payload": encode_message(clean),
            }
            inbox_id = InboxId(connection.execute(_NEW_MESSAGE, new).scalar_one())
            return InboxRow(inbox_id, key, epoch, clean, InboxState.RECEIVED)

        return await self._database.write(work, at=Boundary.INGEST)

    async def ignore(self, address: Address, message_id: MessageId, raw: bytes, reason: str) -> None:
        """Store what could not be understood, with its bytes."""

        def work(connection: Connection) -> None:
            if _is_known(connection, address, message_id, MALFORMED):
                return
            place = _place(address, message_id, MALFORMED)
            connection.execute(
                insert(inbox).values(**place, state=InboxState.IGNORED, raw=raw, detail=reason, finished_at=utc_now())
            )

        await self._database.write(work, at=Boundary.IGNORE)

    async def queued(self, inbox_id: InboxId, *, text: str | None = None) -> None:
        """Note that the message stands in the line, perhaps with another text; nothing changes when it is final."""

        def work(connection: Connection) -> None:
            changes: dict[str, object] = {"of_id": inbox_id, "state": InboxState.QUEUED}
            if text is not None and (payload := connection.scalar(_PAYLOAD, {"of_id": inbox_id})) is not None:
                changes["payload"] = encode_message(replace(decode_message(payload), text=storable(text)))
            connection.execute(_UNFINISHED, changes)

        await self._database.write(work, at=Boundary.QUEUE, flush=False)

    async def running(self, inbox_id: InboxId) -> bool:
        """Claim the message and count an attempt; False when it is already final."""
        claim = {"of_id": inbox_id, "state": InboxState.RUNNING, "claimed_by": self._boot_id}
        return await self._database.write(
            lambda connection: connection.execute(_CLAIM, claim).rowcount == 1, at=Boundary.CLAIM, flush=False
        )

    async def requeued(self, inbox_id: InboxId, *, is_to_blame: bool = False) -> None:
        """Put a running message back into the line; nothing changes when it is final."""
        more = {"of_id": inbox_id, "state": InboxState.QUEUED, "claimed_by": None, "more_crashes": int(is_to_blame)}
        await self._database.write(lambda connection: connection.execute(_PUT_BACK, more), at=Boundary.REQUEUE)

    async def release(self) -> int:
        """Put back what an earlier start of the service claimed; return how many messages that were."""
        of_another = or_(inbox.c.claimed_by.is_(None), inbox.c.claimed_by != self._boot_id)
        running = (inbox.c.finished_at.is_(None), inbox.c.state == InboxState.RUNNING, of_another)
        put_back = update(inbox).where(*running).values(state=InboxState.QUEUED, claimed_by=None)
        return await self._database.write(lambda connection: connection.execute(put_back).rowcount, at=Boundary.RELEASE)

    async def finish(self, inbox_id: InboxId, outcome: Outcome) -> tuple[OutboxPart, ...] | None:
        """Store state, turns and parts in one transaction; None when the message was final already.

        It is flushed with the mark that a part of it is being sent: before that, nobody is told anything of it.
        """
        return await self._database.write(
            lambda connection: end(connection, inbox_id, outcome), at=Boundary.REPLY, flush=False
        )

    async def unfinished(self) -> Sequence[InboxRow]:
        """Return all messages that are not final, oldest first."""
        return await self._database.read(unfinished_rows)


def _place(address: Address, message_id: MessageId, kind: str) -> dict[str, str]:
    return {
        "platform": address.platform,
        "bot_id": address.bot_id,
        "chat_id": address.chat_id,
        "chat_kind": address.chat_kind,
        "message_id": message_id,
        "kind": kind,
    }


def _is_known(connection: Connection, address: Address, message_id: MessageId, kind: str) -> bool:
    # Looked up first, not left to the unique constraint: a duplicate is success and writes nothing.
    return connection.scalar(_KNOWN_MESSAGE, _place(address, message_id, kind)) is not None


def _identity(connection: Connection, address: Address, sender: Person) -> int:
    seen = {
        "display_name": sender.display_name,
        "username": sender.username,
        "language": sender.language,
        "last_seen_at": utc_now(),
    }
    whose = {"of_platform": address.platform, "of_bot": address.bot_id, "of_user": sender.user_id}
    known = connection.scalar(_SEE_AGAIN, seen | whose)
    if known is not None:
        return int(known)
    place = {"platform": address.platform, "bot_id": address.bot_id, "user_id": sender.user_id}
    new = {"person_id": connection.scalar(_NEW_PERSON)} | place | seen
    return int(connection.execute(_NEW_IDENTITY, new).scalar_one())


def _conversation(connection: Connection, key: ConversationKey) -> tuple[int, int]:
    row = connection.execute(_KNOWN_CONVERSATION, {"key": key.text}).one_or_none()
    if row is None:
        new = {
            "key": key.text,
            "platform": key.platform,
            "bot_id": key.bot_id,
            "chat_id": key.chat_id,
            "thread_id": key.thread_id,
            "user_id": key.user_id,
            "epoch": 0,
        }
        row = connection.execute(_NEW_CONVERSATION, new).one()
    return row.id, row.epoch
