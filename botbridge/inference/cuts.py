"""Where the history of a conversation was cut because it was too long, so that its next prompt begins there as well.

Whoever computes knows the beginning of a prompt only as long as it stays. What
the service hands over does not say where it was cut: it begins a little later
with each turn of a long conversation. Remembered as long as what was computed
may be, in the process that keeps it; after its end all is computed anew anyway.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, NamedTuple

from botbridge.answers import Role, Turn

REMEMBERED_CUTS: Final = 10_000


class _Beginning(NamedTuple):
    """With which exchange a prompt began, without its words, which are not ours to keep.

    Attributes:
        answer: None where there was none yet.
        exchanges: How many the prompt held.
    """

    question: bytes
    answer: bytes | None
    exchanges: int


class Cuts:
    """Remembers with which exchange the prompts of conversations begin that were too long once."""

    def __init__(self) -> None:
        self._first: OrderedDict[str, _Beginning] = OrderedDict()

    def apply(self, conversation: str, turns: Sequence[Turn]) -> tuple[Turn, ...]:
        """Return the turns from the remembered exchange on, all of them where none is remembered or it is gone."""
        wanted = self._first.get(conversation)
        if wanted is None:
            return tuple(turns)
        questions = [place for place, turn in enumerate(turns) if turn.role is Role.USER]
        alike = [
            (len(questions) - number, place)
            for number, place in enumerate(questions)
            if _is_alike(_beginning(turns[place : place + 2]), wanted)
        ]
        if not alike:
            return tuple(turns)
        _, place = min(alike, key=lambda found: _strangeness(found[0] - wanted.exchanges))
        return tuple(turns[place:])

    def remember(self, conversation: str, turns: Sequence[Turn]) -> None:
        """Let the next prompts of a conversation begin as these turns do, with a question."""
        self._first[conversation] = _beginning(turns)
        self._first.move_to_end(conversation)
        if len(self._first) > REMEMBERED_CUTS:
            self._first.popitem(last=False)

    def forget(self, conversation: str) -> None:
        """Drop what is remembered of a conversation."""
        self._first.pop(conversation, None)


def _beginning(turns: Sequence[Turn]) -> _Beginning:
    has_answer = len(turns) > 1 and turns[1].role is Role.ASSISTANT
    exchanges = sum(turn.role is Role.USER for turn in turns)
    return _Beginning(_digest(turns[0].text), _digest(turns[1].text) if has_answer else None, exchanges)


def _is_alike(found: _Beginning, wanted: _Beginning) -> bool:
    return found.question == wanted.question and wanted.answer in {None, found.answer}


def _strangeness(more: int) -> tuple[int, int]:
    """Rank how many more exchanges than the prompt before the next one may hold; the least is the likeliest.

    One more is the next turn, none another try, several are answers that ended together; fewer were erased.

    >>> sorted([-2, -1, 0, 1, 2, 3], key=_strangeness)
    [1, 0, 2, 3, -1, -2]
    """
    return {1: 0, 0: 1}.get(more, 2 if more > 1 else 3), abs(more)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()
