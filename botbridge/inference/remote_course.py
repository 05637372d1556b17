"""How the asking of one prompt goes on after a failure: pure decisions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from botbridge.errors import GenerationFailed, ModelLoadError, ModelUnavailable, PromptTooLong
from botbridge.inference.remote_answer import Question
from botbridge.inference.remote_history import shorter
from botbridge.inference.remote_watch import ServerWatch
from botbridge.inference.remote_wire import Fault, RemoteFault

MOST_TRIES: Final = 2
COSTS: Final = {Fault.FAILED: 1, Fault.SILENT: 2, Fault.UNREACHABLE: 2, Fault.NOT_READY: 2, Fault.REFUSED: 2}
"""How many of a server's tries for one prompt a failure takes; being busy takes none, hanging all of them."""

BLAMED: Final = frozenset({Fault.FAILED, Fault.SILENT, Fault.REFUSED})
"""A prompt may have caused these. It has caused none that came before it was sent, and no wish for a pause."""


@dataclass(slots=True)
class Course:
    """How far it has come.

    Attributes:
        question: What is asked; becomes smaller where it was too long.
        halvings: How often it became so.
        spent: How many of each server's tries are used up, by address.
        last: The newest failure.
        is_to_blame: Whether a server that was well failed at it, so that the prompt may be what it failed at.
    """

    question: Question
    halvings: int = 0
    spent: Counter[str] = field(default_factory=Counter)
    last: RemoteFault | None = None
    is_to_blame: bool = False

    def failed(self, url: str, fault: RemoteFault, *, begun: bool, was_well: bool) -> None:
        """Note that a server failed, and go on.

        Args:
            url: Which one.
            fault: What it did.
            begun: Whether anything of its answer was shown; another's may not follow.
            was_well: Whether its last answer before was a good one.

        Raises:
            GenerationFailed: It cannot go on, but may begin anew; or no server would take this prompt.
            PromptTooLong: There is nothing left that could be left out of it.
        """
        self.last = fault
        if begun or fault.fault is Fault.REJECTED:
            raise GenerationFailed(fault.detail) from fault
        # A router answers so when the server behind it fell over a prompt, and goes on while that one starts.
        self.is_to_blame |= fault.fault in BLAMED or (fault.fault is Fault.NOT_READY and was_well)
        if fault.fault is Fault.TOO_LONG:
            self._ask_for_less(fault)
        self.spent[url] += COSTS.get(fault.fault, 0)

    def next_server(self, watches: Sequence[ServerWatch], now_s: float) -> ServerWatch:
        """Return the server to be asked, which may want to rest a while before.

        Args:
            watches: All of them, in the order in which the conversation asks them.
            now_s: Now, on the monotonic clock.

        Raises:
            ModelLoadError: None is left that would take our key or knows our model.
            GenerationFailed: None is left, and one of them failed at this prompt.
            ModelUnavailable: None is left, and none has computed anything.
        """
        able = [watch for watch in watches if watch.is_ready and self.spent[watch.url] < MOST_TRIES]
        if not able:
            detail = self.last.detail if self.last is not None else " ".join(watch.detail for watch in watches)
            if self.last is not None and self.last.fault is Fault.REFUSED:
                raise ModelLoadError(detail)
            raise (GenerationFailed if self.is_to_blame else ModelUnavailable)(detail)
        return min(able, key=lambda watch: (max(0.0, watch.rests_until_s - now_s), self.spent[watch.url]))

    def _ask_for_less(self, fault: RemoteFault) -> None:
        """Leave out history first, then let the answer be as short as there is room for."""
        turns = shorter(self.question.turns, self.halvings)
        if turns is not None:
            self.question = replace(self.question, turns=turns)
        elif self.question.max_tokens is not None:
            self.question = replace(self.question, max_tokens=None)
        else:
            raise PromptTooLong(fault.detail) from fault
        self.halvings += 1
