"""The messages that wait or are being answered, with what is shown of each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from botbridge.conversation import line as lines
from botbridge.conversation.line import Line
from botbridge.conversation.live import Live
from botbridge.messages import ConversationKey, InboxId, InboxRow


@dataclass(slots=True)
class OpenTurn:
    """A message on its way to an answer.

    Attributes:
        text: What the model has said so far.
        joined_at_s: When it joined the line, on the monotonic clock.
        started_at_s: When its present attempt began; None while it waits.
        crashes: How many workers or steps failed on it.
        task: Answers it; None while it waits.
    """

    row: InboxRow
    live: Live
    joined_at_s: float
    started_at_s: float | None = None
    text: str = ""
    crashes: int = 0
    task: asyncio.Task[None] | None = None


class Room:
    """Holds the line and the open turns together; all methods but `dismiss` are instantaneous."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._line = Line()
        self._turns: dict[InboxId, OpenTurn] = {}

    @property
    def line(self) -> Line:
        """Who waits and who is being answered."""
        return self._line

    def join(self, row: InboxRow, live: Live) -> OpenTurn:
        """Let a message wait."""
        turn = OpenTurn(row, live, joined_at_s=self._now_s())
        self._turns[row.id] = turn
        self._line = lines.join(self._line, row)
        return turn

    def next(self, slots: int) -> OpenTurn | None:
        """Take the message that is to be answered now out of the waiting ones."""
        row = lines.next_row(self._line, slots)
        if row is None:
            return None
        self._line = lines.start(self._line, row)
        turn = self._turns[row.id]
        turn.started_at_s = self._now_s()
        turn.text = ""
        return turn

    def rejoin(self, turn: OpenTurn) -> None:
        """Let a message wait again whose attempt failed; its age keeps it in front."""
        turn.task, turn.started_at_s = None, None
        self._line = lines.join(lines.leave(self._line, turn.row.id), turn.row)

    def leave(self, inbox_id: InboxId) -> None:
        """Forget a message that is done."""
        self._turns.pop(inbox_id, None)
        self._line = lines.leave(self._line, inbox_id)

    def turn(self, inbox_id: InboxId) -> OpenTurn | None:
        """The open turn of a message."""
        return self._turns.get(inbox_id)

    def waiting(self) -> Sequence[OpenTurn]:
        """The turns that wait, next one first."""
        return [self._turns[row.id] for row in lines.ahead(self._line)]

    def running_for_s(self) -> Sequence[float]:
        """How long each running answer has taken so far, in seconds."""
        now_s = self._now_s()
        return [now_s - (self._turns[row.id].started_at_s or now_s) for row in self._line.running]

    def waited_s(self, turn: OpenTurn) -> float:
        """How long ago a turn joined the line, in seconds."""
        return self._now_s() - turn.joined_at_s

    def open_turns(self) -> Sequence[OpenTurn]:
        """All open turns, waiting or running."""
        return list(self._turns.values())

    def within(self, keys: Collection[ConversationKey]) -> Sequence[OpenTurn]:
        """The open turns of some conversations."""
        return [turn for turn in self._turns.values() if turn.row.key in keys]

    async def dismiss(self, inbox_ids: Collection[InboxId]) -> None:
        """Stop and forget messages that ended by somebody's order; returns when their work has stopped."""
        turns = [turn for inbox_id in inbox_ids if (turn := self._turns.get(inbox_id)) is not None]
        for turn in turns:
            self.leave(turn.row.id)
            if turn.task is not None:
                turn.task.cancel()
        await asyncio.gather(*(turn.task for turn in turns if turn.task is not None), return_exceptions=True)
        await asyncio.gather(*(turn.live.close() for turn in turns))
