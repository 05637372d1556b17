"""The messages that wait or are being answered, with what is shown of each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from botbridge.conversation import line as lines
from botbridge.conversation.line import Line
from botbridge.conversation.live import Live
from botbridge.conversation.progress import Progress
from botbridge.messages import ConversationKey, InboxId, InboxRow


@dataclass(slots=True)
class OpenTurn:
    """A message on its way to an answer.

    Attributes:
        text: What the model has said so far.
        joined_at_s: When it joined the line, on the monotonic clock.
        started_at_s: When its present attempt began; None while it waits.
        crashes: How many attempts failed for which it is to blame.
        had_company: Others were answered at some time of the present attempt.
        task: Answers it, or gives it up; None while it waits.
        progress: What the present attempt took so far.
        told_wait: The first wait that was told, in seconds, and when; None before.
    """

    row: InboxRow
    live: Live
    joined_at_s: float
    started_at_s: float | None = None
    text: str = ""
    crashes: int = 0
    had_company: bool = False
    task: asyncio.Task[None] | None = None
    progress: Progress = field(default_factory=Progress)
    told_wait: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class _Order:
    """A command that is being carried out."""

    row: InboxRow
    done: asyncio.Event = field(default_factory=asyncio.Event)


class Room:
    """Holds the line and the open turns together; all methods but `in_order` and `dismiss` are instantaneous."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._line = Line()
        self._turns: dict[InboxId, OpenTurn] = {}
        self._orders: list[_Order] = []

    @property
    def line(self) -> Line:
        """Who waits and who is being answered."""
        return self._line

    @property
    def streams(self) -> int:
        """How many answers are being made."""
        return len(self._line.computing)

    def join(self, row: InboxRow, live: Live, cost: float, *, shares_fate: bool = True) -> OpenTurn:
        """Let a message wait.

        Args:
            row: The message.
            live: What is shown of it.
            cost: What its answer is thought to take, in reply tokens.
            shares_fate: As in `GeneratorStatus`.
        """
        turn = OpenTurn(row, live, joined_at_s=self._now_s(), crashes=row.crashes)
        self._turns[row.id] = turn
        self._line = lines.join(self._line, row, cost, shares_fate=shares_fate)
        return turn

    def next(self, slots: int) -> OpenTurn | None:
        """Take the message that is to be answered now out of the waiting ones; none that is being given up."""
        entry = lines.next_entry(
            lines.without_followers(self._to_serve(), [order.row for order in self._orders]), slots
        )
        if entry is None:
            return None
        self._line = lines.start(self._line, entry)
        turn = self._turns[entry.row.id]
        turn.started_at_s = self._now_s()
        turn.text, turn.progress, turn.had_company = "", Progress(), False
        if len(self._line.computing) > 1:
            for running in self._line.computing:
                self._turns[running.row.id].had_company = True
        return turn

    def rejoin(self, turn: OpenTurn, *, alone: bool = False) -> None:
        """Let a message wait again whose attempt failed; its age keeps it in front.

        Args:
            turn: Whose message.
            alone: Nobody else is to be answered during its attempts from now on.
        """
        turn.task, turn.started_at_s = None, None
        self._line = lines.put_back(self._line, turn.row.id, alone=alone)

    def computed(self, inbox_id: InboxId) -> None:
        """Give a message's slot to others: the model has done with it."""
        self._line = lines.computed(self._line, inbox_id)

    def leave(self, inbox_id: InboxId) -> None:
        """Forget a message that is done; its person is charged what it really took."""
        turn = self._turns.pop(inbox_id, None)
        if turn is not None:
            self._line = lines.leave(self._line, inbox_id, turn.progress.spent)

    def turn(self, inbox_id: InboxId) -> OpenTurn | None:
        """The open turn of a message."""
        return self._turns.get(inbox_id)

    def forecast(self, slots: int, tokens_s: Callable[[int], float]) -> Sequence[tuple[OpenTurn, float]]:
        """The turns that wait for an answer, next one first, each with the seconds until it is thought to begin.

        Args:
            slots: How many answers run side by side.
            tokens_s: How many tokens a second a number of running answers have together.
        """
        spent = {entry.row.id: self._turns[entry.row.id].progress.spent for entry in self._line.running}
        return [
            (self._turns[row.id], wait_s) for row, wait_s in lines.forecast(self._to_serve(), slots, spent, tokens_s)
        ]

    def _to_serve(self) -> Line:
        """The line without those that wait for nothing but their end to be stored and told."""
        waiting = tuple(entry for entry in self._line.waiting if self._turns[entry.row.id].task is None)
        return replace(self._line, waiting=waiting)

    def waited_s(self, turn: OpenTurn) -> float:
        """How long ago a turn joined the line, in seconds."""
        return self._now_s() - turn.joined_at_s

    def open_turns(self) -> Sequence[OpenTurn]:
        """All open turns, waiting or running."""
        return list(self._turns.values())

    def within(self, keys: Collection[ConversationKey], *, before: InboxId | None = None) -> Sequence[OpenTurn]:
        """The open turns of some conversations; with `before`, only those whose message came before that one."""
        turns = [turn for turn in self._turns.values() if turn.row.key in keys]
        return turns if before is None else [turn for turn in turns if turn.row.id < before]

    @asynccontextmanager
    async def in_order(self, row: InboxRow) -> AsyncIterator[None]:
        """Carry a command out inside the block: after those before it in its conversation, and before what follows."""
        ahead = [order for order in self._orders if order.row.key == row.key and order.row.id < row.id]
        mine = _Order(row)
        self._orders.append(mine)
        try:
            for order in ahead:
                await order.done.wait()
            yield
        finally:
            self._orders.remove(mine)
            mine.done.set()

    async def dismiss(self, inbox_ids: Collection[InboxId]) -> None:
        """Stop and forget messages that ended by somebody's order; returns when their work has stopped."""
        turns = [turn for inbox_id in inbox_ids if (turn := self._turns.get(inbox_id)) is not None]
        for turn in turns:
            self.leave(turn.row.id)
            if turn.task is not None:
                turn.task.cancel()
        await asyncio.gather(*(turn.task for turn in turns if turn.task is not None), return_exceptions=True)
