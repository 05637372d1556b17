"""What both storages decide alike, without a database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from botbridge.answers import Role, Turn
from botbridge.messages import Address, Outcome, PartState

DUE = (PartState.PENDING, PartState.FAILED_RETRYABLE)
UNSETTLED = tuple(state for state in PartState if not state.is_final)
MALFORMED = "malformed"
"""The kind under which an ignored message is kept: it never became one of `MessageKind`."""


def require_final(outcome: Outcome) -> None:
    """Refuse an outcome that ends nothing; a mistake of the caller.

    Raises:
        ValueError: its state is not final.
    """
    if not outcome.state.is_final:
        message = f"an outcome must be final, {outcome.state} is not"
        raise ValueError(message)


def addresses(address: Address, count: int) -> list[Address]:
    """Return where each part of a reply goes: only the first one quotes the question."""
    plain = replace(address, reply_to=None)
    return [address if position == 0 else plain for position in range(count)]


def username_key(username: str | None) -> str | None:
    """Return what makes two spellings of a username equal.

    >>> username_key("@Alice") == username_key("alice")
    True
    """
    return None if username is None else username.removeprefix("@").casefold()


class PairBudget:
    """Takes question-answer pairs, newest first, as long as they fit.

    >>> budget = PairBudget(10)
    >>> budget.take([("newest", "yes"), ("older", "no")])
    False
    >>> [turn.text for turn in budget.turns]
    ['newest', 'yes']
    """

    def __init__(self, limit_chars: int) -> None:
        self._left_chars = limit_chars
        self._pairs: list[tuple[str, str]] = []

    def take(self, pairs: Iterable[tuple[str, str]]) -> bool:
        """Take what fits; False from the first pair on that does not."""
        for question, answer in pairs:
            self._left_chars -= len(question) + len(answer)
            if self._left_chars < 0:
                return False
            self._pairs.append((question, answer))
        return True

    @property
    def turns(self) -> tuple[Turn, ...]:
        """What was taken, oldest first."""
        return tuple(
            Turn(role, text)
            for pair in reversed(self._pairs)
            for role, text in zip((Role.USER, Role.ASSISTANT), pair, strict=True)
        )
