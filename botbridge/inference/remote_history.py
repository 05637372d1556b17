"""How much of a conversation a remote server is sent.

Only the server can count tokens. It is sent all turns that the parent kept,
and when it says that they are too many, the newer half, a quarter, and so on,
in whole exchanges. Where a conversation was cut is remembered (`cuts`), so that
the next prompt is not refused again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from botbridge.answers import Role, Turn

HALVINGS: Final = 4
"""After so many, at a sixteenth of the history, only the newest question is left to be tried."""


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


def _questions(turns: Sequence[Turn]) -> list[int]:
    return [place for place, turn in enumerate(turns) if turn.role is Role.USER]
