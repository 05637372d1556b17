"""How much of a conversation a remote server is sent.

Only the server can count tokens. It is sent all turns that the parent kept,
and when it says that they are too many, the newer half, a quarter, and so on,
in whole exchanges. Where a conversation was cut is remembered: its next prompt
begins there as well, so that it is not refused again and the server knows its
beginning.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from botbridge.answers import Role, Turn

HALVINGS: Final = 4
"""After so many, at a sixteenth of the history, only the newest question is left to be tried."""

REMEMBERED_CUTS: Final = 10_000


def whole_exchanges(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """Leave out what stands before the first question.

    >>> hi, ho = Turn(Role.USER, "hi"), Turn(Role.ASSISTANT, "ho")
    >>> whole_exchanges([ho, hi]) == (hi,)
    True
    """
    return tuple(turns[_questions(turns)[0] :])


def shorter(turns: Sequence[Turn], halvings: int) -> tuple[Turn, ...] | None:
    """Drop the older half of the exchanges; None when only the newest question is left.

    Args:
        turns: As `whole_exchanges` returns them.
        halvings: How often this was done before.

    >>> hi, ho = Turn(Role.USER, "hi"), Turn(Role.ASSISTANT, "ho")
    >>> shorter([hi, ho] * 3 + [hi], 0) == (hi, ho, hi), shorter([hi, ho] * 3 + [hi], 4) == (hi,), shorter([hi], 0)
    (True, True, None)
    """
    questions = _questions(turns)
    if len(questions) == 1:
        return None
    place = len(questions) // 2 if halvings < HALVINGS else -1
    return tuple(turns[questions[place] :])


class Cuts:
    """Remembers with which question the prompts of conversations begin that were too long once."""

    def __init__(self) -> None:
        self._first: OrderedDict[str, bytes] = OrderedDict()

    def apply(self, conversation: str, turns: Sequence[Turn]) -> tuple[Turn, ...]:
        """Return the turns from the remembered question on, all of them where none is remembered or it is gone."""
        wanted = self._first.get(conversation)
        places = (place for place in _questions(turns) if _digest(turns[place]) == wanted)
        # Of equal questions the oldest: too long a prompt is cut once more, too short a one is not mended.
        return tuple(turns[next(places, 0) :])

    def remember(self, conversation: str, first: Turn) -> None:
        """Let the next prompts of a conversation begin with this question."""
        self._first[conversation] = _digest(first)
        self._first.move_to_end(conversation)
        if len(self._first) > REMEMBERED_CUTS:
            self._first.popitem(last=False)

    def forget(self, conversation: str) -> None:
        """Drop what is remembered of a conversation."""
        self._first.pop(conversation, None)


def _questions(turns: Sequence[Turn]) -> list[int]:
    return [place for place, turn in enumerate(turns) if turn.role is Role.USER]


def _digest(turn: Turn) -> bytes:
    """A question without its words, which are not ours to keep."""
    return hashlib.sha256(turn.text.encode(errors="surrogatepass")).digest()
