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


class _Exchange(NamedTuple):
    """A question and its answer without their words, which are not ours to keep; None for no answer yet."""

    question: bytes
    answer: bytes | None


class Cuts:
    """Remembers with which exchange the prompts of conversations begin that were too long once."""

    def __init__(self) -> None:
        self._first: OrderedDict[str, _Exchange] = OrderedDict()

    def apply(self, conversation: str, turns: Sequence[Turn]) -> tuple[Turn, ...]:
        """Return the turns from the remembered exchange on, all of them where none is remembered or it is gone."""
        wanted = self._first.get(conversation)
        if wanted is None:
            return tuple(turns)
        places = (place for place in range(len(turns)) if _begins(turns[place:], wanted))
        # Of equal ones the oldest: too long a prompt is cut once more, too short a one is not mended.
        return tuple(turns[next(places, 0) :])

    def remember(self, conversation: str, turns: Sequence[Turn]) -> None:
        """Let the next prompts of a conversation begin as these turns do, with a question."""
        self._first[conversation] = _exchange(turns)
        self._first.move_to_end(conversation)
        if len(self._first) > REMEMBERED_CUTS:
            self._first.popitem(last=False)

    def forget(self, conversation: str) -> None:
        """Drop what is remembered of a conversation."""
        self._first.pop(conversation, None)


def _begins(turns: Sequence[Turn], wanted: _Exchange) -> bool:
    if turns[0].role is not Role.USER:
        return False
    found = _exchange(turns[:2])
    return found.question == wanted.question and wanted.answer in {None, found.answer}


def _exchange(turns: Sequence[Turn]) -> _Exchange:
    has_answer = len(turns) > 1 and turns[1].role is Role.ASSISTANT
    return _Exchange(_digest(turns[0].text), _digest(turns[1].text) if has_answer else None)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()
