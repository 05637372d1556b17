"""What conversations remember, in SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

from sqlalchemy import Connection, Row, bindparam, func, select, update

from botbridge.answers import Recent, Role
from botbridge.faults import Boundary
from botbridge.messages import (
    BotId,
    ChatId,
    ConversationKey,
    InboxId,
    InboxRow,
    MessageKind,
    Outcome,
    PlatformName,
    Spent,
    UserId,
)
from botbridge.storage.database import Database
from botbridge.storage.endings import end
from botbridge.storage.rows import KEY_COLUMNS, key_of, unfinished_rows
from botbridge.storage.rules import PairBudget
from botbridge.storage.tables import conversation, identity, inbox, turn, utc_now

_PAGE_PAIRS = 32
# Well below the 32,766 values that one statement may bind.
# Source: https://www.sqlite.org/limits.html#max_variable_number
_PAGE_KEYS = 500
_LAST_ID = 2**63 - 1
_NEWEST_TURNS = 10_000

# Made once: to put a statement together takes several times as long as to carry it out.
_QUESTION = turn.alias("question")
_NEWEST_PAIRS = (
    select(turn.c.id, _QUESTION.c.text.label("question"), turn.c.text.label("answer"))
    .join(_QUESTION, _QUESTION.c.id == turn.c.parent_id)
    .where(
        turn.c.conversation_id == bindparam("of_conversation"),
        turn.c.epoch == bindparam("of_epoch"),
        turn.c.role == Role.ASSISTANT,
        turn.c.id < bindparam("before"),
    )
    .order_by(turn.c.id.desc())
    .limit(_PAGE_PAIRS)
)
_CONVERSATION = select(conversation.c.id, conversation.c.epoch, conversation.c.adapter).where(
    conversation.c.key == bindparam("of_key")
)


class SqlHistory:
    """`ports.History` over the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def recent(self, key: ConversationKey, limit_chars: int) -> Recent:
        """Return the newest whole pairs of the current epoch that fit, and the adapter, in one snapshot.

        Reads no more than it returns, give or take a page, however long the history is.
        """

        def work(connection: Connection) -> Recent:
            row = connection.execute(_CONVERSATION, {"of_key": key.text}).one_or_none()
            if row is None:
                return Recent()
            budget, before = PairBudget(limit_chars), None
            while True:
                pairs = newest_pairs(connection, row.id, row.epoch, before)
                if not budget.take((pair.question, pair.answer) for pair in pairs) or len(pairs) < _PAGE_PAIRS:
                    return Recent(budget.turns, row.adapter)
                before = pairs[-1].id

        return await self._database.read(work)

    async def matching(
        self,
        *,
        platform: PlatformName | None = None,
        bot_id: BotId | None = None,
        chat_id: ChatId | None = None,
        user_id: UserId | None = None,
    ) -> Sequence[ConversationKey]:
        """Return the conversations that fit all that is given; nothing given means all."""
        wanted = {
            conversation.c.platform: platform,
            conversation.c.bot_id: bot_id,
            conversation.c.chat_id: chat_id,
            conversation.c.user_id: user_id,
        }
        conditions = [column == value for column, value in wanted.items() if value is not None]
        query = select(*KEY_COLUMNS).where(*conditions).order_by(conversation.c.id)

        def work(connection: Connection) -> list[ConversationKey]:
            return [key_of(row) for row in connection.execute(query).mappings()]

        return await self._database.read(work)

    async def reset(
        self,
        keys: Sequence[ConversationKey],
        notice: Callable[[InboxRow], Outcome | None],
        *,
        before: InboxId | None = None,
    ) -> Sequence[InboxRow]:
        """Start a new epoch for each conversation and end its unfinished messages, in one transaction.

        Returned are the messages that were ended, as they were before. All
        writes go through one queue, so what is accepted later belongs to the
        new epoch; what was accepted after `before` is carried over into it.
        """
        older = [] if before is None else [inbox.c.id < before]

        def work(connection: Connection) -> list[InboxRow]:
            ended: list[InboxRow] = []
            for page in _pages(sorted({key.text for key in keys})):
                ids = list(connection.scalars(select(conversation.c.id).where(conversation.c.key.in_(page))))
                rows = unfinished_rows(connection, inbox.c.conversation_id.in_(ids), *older)
                if before is not None:
                    _carry_over(connection, ids, before)
                connection.execute(
                    update(conversation).where(conversation.c.id.in_(ids)).values(epoch=conversation.c.epoch + 1)
                )
                ended += [row for row in rows if _end(connection, row, notice(row))]
            return sorted(ended, key=lambda row: row.id)

        return await self._database.write(work, at=Boundary.RESET)

    async def adapter(self, key: ConversationKey) -> str | None:
        """Return the adapter that a conversation is answered with; None for the bare model."""
        query = select(conversation.c.adapter).where(conversation.c.key == key.text)
        return await self._database.read(lambda connection: connection.scalar(query))

    async def choose_adapter(self, keys: Sequence[ConversationKey], adapter: str | None) -> None:
        """Answer conversations with another adapter from now on, in one transaction; epochs do not change it."""

        def work(connection: Connection) -> None:
            for page in _pages([key.text for key in keys]):
                change = update(conversation).where(conversation.c.key.in_(page)).values(adapter=adapter)
                connection.execute(change)

        await self._database.write(work, at=Boundary.ADAPTER)

    async def last_question(self, key: ConversationKey, person: UserId, *, before: InboxId) -> str | None:
        """Return what a person last asked in the current epoch before some message.

        None when there is nothing, and when it was not answered.
        """
        theirs = (
            conversation.c.key == key.text,
            identity.c.platform == key.platform,
            identity.c.bot_id == key.bot_id,
            identity.c.user_id == person,
            inbox.c.id < before,
        )
        answered = (
            select(turn.c.inbox_id, turn.c.text)
            .join(conversation, conversation.c.id == turn.c.conversation_id)
            .join(inbox, inbox.c.id == turn.c.inbox_id)
            .join(identity, identity.c.id == inbox.c.identity_id)
            .where(*theirs, turn.c.epoch == conversation.c.epoch, turn.c.role == Role.USER)
            .order_by(turn.c.id.desc())
            .limit(1)
        )
        asked = (
            select(func.max(inbox.c.id))
            .join(conversation, conversation.c.id == inbox.c.conversation_id)
            .join(identity, identity.c.id == inbox.c.identity_id)
            .where(*theirs, inbox.c.kind == MessageKind.TEXT, inbox.c.finished_at.is_not(None))
        )

        def work(connection: Connection) -> str | None:
            newest = connection.execute(answered).one_or_none()
            last_id = connection.scalar(asked) or 0
            return None if newest is None or newest.inbox_id < last_id else newest.text

        return await self._database.read(work)

    async def spent(self, within_s: float) -> Sequence[Spent]:
        """Return what was computed for the answers of the last so many seconds, oldest first; by the wall clock.

        The newest ten thousand turns are looked at: no machine here says more in a minute, and times have no index.
        """
        now = utc_now()
        newest = select(turn).order_by(turn.c.id.desc()).limit(_NEWEST_TURNS).subquery("newest")
        tokens = newest.c.prompt_tokens - func.coalesce(newest.c.cached_tokens, 0) + newest.c.completion_tokens
        query = (
            select(identity.c.platform, identity.c.user_id, tokens.label("tokens"), newest.c.created_at)
            .join(inbox, inbox.c.id == newest.c.inbox_id)
            .join(identity, identity.c.id == inbox.c.identity_id)
            # Not what a clock that was set back calls the future: all of it would be as of now.
            .where(newest.c.created_at.between(now - timedelta(seconds=within_s), now), tokens.is_not(None))
            .order_by(newest.c.id)
        )

        def work(connection: Connection) -> list[Spent]:
            return [
                Spent(
                    PlatformName(row.platform),
                    UserId(row.user_id),
                    row.tokens,
                    (now - row.created_at).total_seconds(),
                )
                for row in connection.execute(query)
            ]

        return await self._database.read(work)


def _end(connection: Connection, row: InboxRow, outcome: Outcome | None) -> bool:
    return outcome is not None and end(connection, row.id, outcome) is not None


def _carry_over(connection: Connection, conversation_ids: Sequence[int], after: InboxId) -> None:
    """Move what was accepted after a message one epoch on, as its conversation is; what was forgotten stays behind."""
    later = (inbox.c.id > after, inbox.c.conversation_id.in_(conversation_ids))
    # Found by their message: a conversation may have any number of turns.
    answered_later = turn.c.inbox_id.in_(select(inbox.c.id).where(*later))
    connection.execute(update(turn).where(answered_later).values(epoch=turn.c.epoch + 1))
    connection.execute(update(inbox).where(*later).values(epoch=inbox.c.epoch + 1))


def newest_pairs(
    connection: Connection, conversation_id: int, epoch: int, before: int | None
) -> Sequence[Row[int, str, str]]:
    """Return a page of question-answer pairs, newest first.

    Args:
        connection: Reads.
        conversation_id: The conversation.
        epoch: Only pairs of this epoch.
        before: Only pairs whose answer has a lower id; None begins at the newest.
    """
    which = {
        "of_conversation": conversation_id,
        "of_epoch": epoch,
        "before": _LAST_ID if before is None else before,
    }
    return connection.execute(_NEWEST_PAIRS, which).all()


def _pages(texts: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(texts), _PAGE_KEYS):
        yield texts[start : start + _PAGE_KEYS]
