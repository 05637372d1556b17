"""Who was seen and what is kept of them, in SQL.

Covered by `forget`: turns, message contents, replies (sent or not) and names of
the person on every bot of the platform; bytes of malformed messages from every
chat where the person wrote, because nobody can tell whose they are; what is
left of all that in the file and in its log. In a conversation that several
people share, only the person's own turns and the answers to them go. All of it
goes from the timed backups, too.

Not covered: what other people wrote about the person, the audit (ids only), the
ids by which a message that the platform delivers again is known, and other
backups (by command, before an upgrade), which are the operator's to remove.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, Update, delete, select, tuple_, update

from botbridge.faults import Boundary
from botbridge.messages import Address, InboxState, PartState, Person, PlatformName, UserId
from botbridge.storage.database import Database
from botbridge.storage.rules import username_key
from botbridge.storage.tables import conversation, identity, inbox, outbox, turn, utc_now
from botbridge.storage.timed_backups import TimedBackups

# What an export leaves out: ids of our own rows, which say nothing outside the database.
_INTERNAL = {"id", "person_id", "identity_id", "conversation_id", "inbox_id", "parent_id", "is_status", "raw"}
_ENCODED = {"payload", "address"}


class SqlPeople:
    """`ports.People` over the database."""

    def __init__(self, database: Database, backups: TimedBackups | None = None) -> None:
        """Note where people are kept.

        Args:
            database: The one in use.
            backups: Those that are made by themselves; None where none are.
        """
        self._database = database
        self._backups = backups

    async def seen(self, address: Address, username: str) -> Sequence[Person]:
        """Return everybody who wrote in this chat under this username (any case), as last seen."""
        wrote = (
            select(inbox.c.identity_id)
            .where(
                inbox.c.platform == address.platform,
                inbox.c.bot_id == address.bot_id,
                inbox.c.chat_id == address.chat_id,
                inbox.c.username == username_key(username),
            )
            .distinct()
        )
        query = select(identity).where(identity.c.id.in_(wrote)).order_by(identity.c.id)

        def work(connection: Connection) -> list[Person]:
            return [
                Person(UserId(row.user_id), row.display_name, row.username, row.language)
                for row in connection.execute(query)
            ]

        return await self._database.read(work)

    async def export(self, platform: PlatformName, user_id: UserId) -> dict[str, object]:
        """Return all that is stored of a person, as plain JSON values; times are ISO 8601 in UTC."""
        who = _identities(platform, user_id)
        theirs = _messages(platform, user_id)
        queries: dict[str, Select[Any]] = {
            "identities": select(identity).where(identity.c.id.in_(who)).order_by(identity.c.id),
            "conversations": select(conversation)
            .where(_keyed_to(platform, user_id) | conversation.c.id.in_(_conversations(platform, user_id)))
            .order_by(conversation.c.id),
            "messages": select(inbox).where(inbox.c.identity_id.in_(who)).order_by(inbox.c.id),
            # A turn's id says something outside the database: `botbridge replay` takes it.
            "turns": select(conversation.c.key, turn.c.id.label("turn_id"), turn)
            .join(conversation)
            .where(turn.c.inbox_id.in_(theirs))
            .order_by(turn.c.id),
            "replies": select(outbox).where(outbox.c.inbox_id.in_(theirs)).order_by(outbox.c.id),
        }

        def work(connection: Connection) -> dict[str, object]:
            found: dict[str, object] = {"platform": platform, "user_id": user_id}
            for name, query in queries.items():
                rows = connection.execute(query).mappings()
                found[name] = [_plain(row) for row in rows]
            return found

        return await self._database.read(work)

    async def forget(self, platform: PlatformName, user_id: UserId) -> dict[str, int]:
        """Erase a person's messages, turns and names; return how many rows of each went.

        Unfinished messages end `cancelled` first, so that an answer that is
        being computed is dropped. Safe to repeat.

        Raises:
            StorageUnavailable: the erasure, the rewriting of the file after it,
                or the same in a backup, could not be done now; repeat it.
        """

        def work(connection: Connection) -> dict[str, int]:
            return _erase(connection, platform, user_id)

        erased = await self._database.write(work, at=Boundary.FORGET)
        await self._database.scrub()
        if self._backups is not None:
            await self._backups.erase(work)
        return erased


def without_names(*conditions: ColumnElement[bool]) -> Update:
    """Return the statement that erases names and language of the identities which fit and have any."""
    is_named = (identity.c.display_name != "") | identity.c.username.is_not(None) | identity.c.language.is_not(None)
    return update(identity).where(*conditions, is_named).values(display_name="", username=None, language=None)


def _erase(connection: Connection, platform: PlatformName, user_id: UserId) -> dict[str, int]:
    now = utc_now()
    who = _identities(platform, user_id)
    theirs = _messages(platform, user_id)
    wrote = inbox.alias("wrote")
    chats = select(wrote.c.bot_id, wrote.c.chat_id).where(wrote.c.identity_id.in_(who)).distinct()
    connection.execute(
        update(inbox)
        .where(inbox.c.identity_id.in_(who), inbox.c.finished_at.is_(None))
        .values(state=InboxState.CANCELLED, finished_at=now)
    )
    connection.execute(
        update(outbox)
        .where(outbox.c.inbox_id.in_(theirs), outbox.c.settled_at.is_(None))
        .values(state=PartState.UNDELIVERABLE, settled_at=now)
    )
    # A cache or a running answer of the old epoch must not outlive what it was made from.
    connection.execute(update(conversation).where(_keyed_to(platform, user_id)).values(epoch=conversation.c.epoch + 1))
    own = inbox.c.identity_id.in_(who) & (inbox.c.payload.is_not(None) | inbox.c.username.is_not(None))
    near = (inbox.c.chat_id == user_id) | tuple_(inbox.c.bot_id, inbox.c.chat_id).in_(chats)
    malformed = (inbox.c.platform == platform) & inbox.c.raw.is_not(None) & near
    erasures = {
        "messages": update(inbox).where(own | malformed).values(payload=None, username=None, raw=None, detail=""),
        "turns": delete(turn).where(turn.c.inbox_id.in_(theirs)),
        "replies": update(outbox)
        .where(outbox.c.inbox_id.in_(theirs), outbox.c.text != "")
        .values(text="", markup="", detail=""),
        "names": without_names(identity.c.id.in_(who)),
    }
    return {name: connection.execute(erasure).rowcount for name, erasure in erasures.items()}


# The sub-queries work on aliases: on the tables themselves they would be taken
# for parts of the statement around them.


def _identities(platform: PlatformName, user_id: UserId) -> Select[tuple[int]]:
    who = identity.alias("who")
    return select(who.c.id).where(who.c.platform == platform, who.c.user_id == user_id)


def _messages(platform: PlatformName, user_id: UserId) -> Select[tuple[int]]:
    theirs = inbox.alias("theirs")
    return select(theirs.c.id).where(theirs.c.identity_id.in_(_identities(platform, user_id)))


def _conversations(platform: PlatformName, user_id: UserId) -> Select[tuple[int]]:
    theirs = inbox.alias("theirs")
    return select(theirs.c.conversation_id).where(theirs.c.identity_id.in_(_identities(platform, user_id)))


def _keyed_to(platform: PlatformName, user_id: UserId) -> ColumnElement[bool]:
    return (conversation.c.platform == platform) & (conversation.c.user_id == user_id)


def _plain(row: RowMapping) -> dict[str, object]:
    return {name: _plain_value(name, value) for name, value in row.items() if name not in _INTERNAL}


def _plain_value(name: str, value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if name in _ENCODED and isinstance(value, str):
        return json.loads(value)
    return value
