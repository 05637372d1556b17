"""Messages that we owe to chats, in SQL."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Select, bindparam, exists, func, insert, select, update

from botbridge.faults import Boundary
from botbridge.messages import Address, InboxId, MessageId, OutboxPart, Part, PartId, PartState
from botbridge.storage.codec import encode_address
from botbridge.storage.database import Database
from botbridge.storage.rows import outbox_parts
from botbridge.storage.rules import DUE
from botbridge.storage.tables import inbox, outbox, utc_now

_NEW_STATUS = insert(outbox).returning(outbox.c.id)
_MOVE = update(outbox).where(outbox.c.id == bindparam("of_id"), outbox.c.settled_at.is_(None))
_ATTEMPT = _MOVE.values(attempts=outbox.c.attempts + 1)
_GIVE_UP = _MOVE.returning(outbox.c.inbox_id, outbox.c.address, outbox.c.edits)

_STATUS = outbox.alias()
_FIRST_OF_REPLY = (
    select(func.min(outbox.c.id))
    .join(_STATUS, _STATUS.c.inbox_id == outbox.c.inbox_id)
    .where(_STATUS.c.id == bindparam("of_status"), ~outbox.c.is_status)
)
_TAKE_ITS_PLACE = update(outbox).where(
    outbox.c.id == _FIRST_OF_REPLY.scalar_subquery(),
    outbox.c.state == PartState.PENDING,
    outbox.c.edits.is_(None),
)

_OTHERS = (
    select(outbox.c.message_id)
    .join(inbox)
    .where(
        inbox.c.platform == bindparam("platform"),
        inbox.c.bot_id == bindparam("bot_id"),
        inbox.c.chat_id == bindparam("chat_id"),
        outbox.c.id != bindparam("of_id"),
        outbox.c.message_id.is_not(None),
    )
    .order_by(outbox.c.id.desc())
    .limit(1000)
)

_MARKS = {
    PartState.PENDING: Boundary.MARK_AGAIN,
    PartState.SENDING: Boundary.MARK_SENDING,
    PartState.SENT: Boundary.MARK_SENT,
    PartState.FAILED_RETRYABLE: Boundary.MARK_AGAIN,
    PartState.UNDELIVERABLE: Boundary.MARK_UNDELIVERABLE,
    PartState.DELIVERY_UNKNOWN: Boundary.LOSE_SIGHT,
}


class SqlOutbox:
    """`ports.Outbox` over the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open_status(self, inbox_id: InboxId, address: Address, part: Part) -> OutboxPart:
        """Note that a status message is about to be sent; its first attempt is counted already."""
        new = {
            "inbox_id": inbox_id,
            "is_status": True,
            "address": encode_address(address),
            "text": part.text,
            "markup": part.markup,
            "state": PartState.SENDING,
            "attempts": 1,
        }

        def work(connection: Connection) -> OutboxPart:
            part_id = PartId(connection.execute(_NEW_STATUS, new).scalar_one())
            return OutboxPart(part_id, inbox_id, address, part, PartState.SENDING, is_status=True)

        return await self._database.write(work, at=Boundary.OPEN_STATUS)

    async def due(self) -> Sequence[OutboxPart]:
        """Return all parts that are `pending` or `failed_retryable`, oldest first."""
        return await self._database.read(lambda connection: outbox_parts(connection, *DUE))

    async def interrupted(self) -> Sequence[OutboxPart]:
        """Return all parts left in `sending`, oldest first."""
        return await self._database.read(lambda connection: outbox_parts(connection, PartState.SENDING))

    async def others(self, part: OutboxPart) -> frozenset[MessageId]:
        """Return the messages in a part's chat that are known to be other parts; the newest thousand at most."""
        address = part.address
        chat = {"platform": address.platform, "bot_id": address.bot_id, "chat_id": address.chat_id, "of_id": part.id}
        return frozenset(
            await self._database.read(lambda connection: connection.execute(_OTHERS, chat).scalars().all())
        )

    async def mark(
        self, part_id: PartId, state: PartState, *, message_id: MessageId | None = None, detail: str = ""
    ) -> bool:
        """Move a part on; False when it is settled: it stays as it is, or it might be sent twice."""
        move = _ATTEMPT if state is PartState.SENDING else _MOVE
        changes = _changes(part_id, state, detail)
        if message_id is not None:
            changes["message_id"] = message_id
        return await self._database.write(
            lambda connection: connection.execute(move, changes).rowcount == 1, at=_MARKS[state]
        )

    async def status_sent(self, part_id: PartId, message_id: MessageId) -> None:
        """Note that a status message is in its chat; a reply that is owed and was not tried takes its place."""
        sent = _changes(part_id, PartState.SENT, "") | {"message_id": message_id}

        def work(connection: Connection) -> None:
            if connection.execute(_MOVE, sent).rowcount == 1:
                connection.execute(_TAKE_ITS_PLACE, {"of_status": part_id, "edits": message_id})

        await self._database.write(work, at=Boundary.MARK_SENT)

    async def send_anew(self, part_id: PartId) -> None:
        """Note that the message which a part was to replace is gone; it is a message of its own from now on."""
        anew = {"of_id": part_id, "edits": None}
        await self._database.write(lambda connection: connection.execute(_MOVE, anew), at=Boundary.SEND_ANEW)

    async def lose_sight(self, part_id: PartId, notice: Part, *, detail: str = "") -> None:
        """Settle a part as `delivery_unknown` and owe its chat a notice, unless it has one or the part is one."""
        await self._give_up(part_id, PartState.DELIVERY_UNKNOWN, notice, detail)

    async def refused(self, part_id: PartId, notice: Part, *, detail: str = "") -> None:
        """Settle a part as `undeliverable` and owe its chat a notice, unless it has one or the part is one."""
        await self._give_up(part_id, PartState.UNDELIVERABLE, notice, detail)

    async def _give_up(self, part_id: PartId, state: PartState, notice: Part, detail: str) -> None:
        settled = _changes(part_id, state, detail)

        def work(connection: Connection) -> None:
            part = connection.execute(_GIVE_UP, settled).one_or_none()
            # A notice that is given up is found here, too, so it brings forth no other.
            if part is None or connection.scalar(_has_notice(part.inbox_id)):
                return
            connection.execute(
                insert(outbox).values(
                    inbox_id=part.inbox_id,
                    is_status=False,
                    is_notice=True,
                    address=part.address,
                    text=notice.text,
                    markup=notice.markup,
                    state=PartState.PENDING,
                    # A message that may show what was lost sight of stays as it is.
                    edits=part.edits if state is PartState.UNDELIVERABLE else None,
                )
            )

        await self._database.write(work, at=_MARKS[state])


def _changes(part_id: PartId, state: PartState, detail: str) -> dict[str, object]:
    """What `_MOVE` changes of a part: nothing where it is settled."""
    return {"of_id": part_id, "state": state, "detail": detail, "settled_at": utc_now() if state.is_final else None}


def _has_notice(inbox_id: int) -> Select[tuple[bool]]:
    return select(exists().where(outbox.c.inbox_id == inbox_id, outbox.c.is_notice))
