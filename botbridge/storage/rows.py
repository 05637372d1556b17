"""Rows of the database as the nouns of `messages`."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, RowMapping, bindparam, select

from botbridge.messages import (
    BotId,
    ChatId,
    ConversationKey,
    InboxId,
    InboxRow,
    InboxState,
    MessageId,
    OutboxPart,
    Part,
    PartId,
    PartState,
    PlatformName,
    ThreadId,
    UserId,
)
from botbridge.storage.codec import decode_address, decode_message
from botbridge.storage.tables import conversation, identity, inbox, outbox

KEY_COLUMNS = (
    conversation.c.platform,
    conversation.c.bot_id,
    conversation.c.chat_id,
    conversation.c.thread_id,
    conversation.c.user_id,
)
# Made once: to put a statement together takes several times as long as to carry it out.
_UNSETTLED_PARTS = (
    select(outbox, inbox.c.state.label("ending"), identity.c.language)
    .join(inbox, inbox.c.id == outbox.c.inbox_id)
    .outerjoin(identity, identity.c.id == inbox.c.identity_id)
    .where(outbox.c.settled_at.is_(None), outbox.c.state.in_(bindparam("states", expanding=True)))
    .order_by(outbox.c.id)
)


def key_of(row: RowMapping) -> ConversationKey:
    """Return the key from a row that holds `KEY_COLUMNS`."""
    thread_id, user_id = row[conversation.c.thread_id], row[conversation.c.user_id]
    return ConversationKey(
        platform=PlatformName(row[conversation.c.platform]),
        bot_id=BotId(row[conversation.c.bot_id]),
        chat_id=ChatId(row[conversation.c.chat_id]),
        thread_id=None if thread_id is None else ThreadId(thread_id),
        user_id=None if user_id is None else UserId(user_id),
    )


def unfinished_rows(connection: Connection, *conditions: ColumnElement[bool]) -> list[InboxRow]:
    """Return the messages that are not final and fit the conditions, oldest first."""
    status = (
        select(outbox.c.message_id)
        .where(outbox.c.inbox_id == inbox.c.id, outbox.c.is_status, outbox.c.message_id.is_not(None))
        .order_by(outbox.c.id.desc())
        .limit(1)
        .scalar_subquery()
        .label("status_message_id")
    )
    query = (
        select(
            inbox.c.id,
            inbox.c.epoch,
            inbox.c.state,
            inbox.c.attempts,
            inbox.c.crashes,
            inbox.c.payload,
            status,
            *KEY_COLUMNS,
        )
        .join(conversation)
        .where(inbox.c.finished_at.is_(None), *conditions)
    )
    rows = [_inbox_row(row) for row in connection.execute(query).mappings()]
    # Sorted here: asked for an order, SQLite walks the whole table instead of the index of the few unfinished.
    return sorted(rows, key=lambda row: row.id)


def outbox_parts(connection: Connection, *states: PartState) -> list[OutboxPart]:
    """Return the unsettled parts in these states, oldest first."""
    found = connection.execute(_UNSETTLED_PARTS, {"states": states})
    return [_outbox_part(row) for row in found.mappings()]


def _inbox_row(row: RowMapping) -> InboxRow:
    message_id = row["status_message_id"]
    return InboxRow(
        id=InboxId(row[inbox.c.id]),
        key=key_of(row),
        epoch=row[inbox.c.epoch],
        incoming=decode_message(row[inbox.c.payload]),
        state=InboxState(row[inbox.c.state]),
        attempts=row[inbox.c.attempts],
        status_message_id=None if message_id is None else MessageId(message_id),
        crashes=row[inbox.c.crashes],
    )


def _outbox_part(row: RowMapping) -> OutboxPart:
    edits = row[outbox.c.edits]
    return OutboxPart(
        id=PartId(row[outbox.c.id]),
        inbox_id=InboxId(row[outbox.c.inbox_id]),
        address=decode_address(row[outbox.c.address]),
        part=Part(row[outbox.c.text], row[outbox.c.markup]),
        state=PartState(row[outbox.c.state]),
        edits=None if edits is None else MessageId(edits),
        attempts=row[outbox.c.attempts],
        is_status=row[outbox.c.is_status],
        ending=None if row[outbox.c.is_status] else InboxState(row["ending"]),
        is_notice=row[outbox.c.is_notice],
        language=None if row[outbox.c.is_status] else row[identity.c.language],
    )
