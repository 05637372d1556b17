"""What a platform says of the bot's own account, or why it says nothing; for whoever looks a set-up over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


@dataclass(frozen=True, slots=True)
class Account:
    """The bot, as its platform knows it.

    Attributes:
        name: As people call it there.
        reads_everything: The platform hands it every message of a group, not only those that are meant for it
            (Telegram: privacy mode is off; Discord: the Message Content intent is granted).
        joins_groups: It may be added to groups.
        clock_ahead_s: This machine's clock minus the platform's; None where the platform did not tell the time.
    """

    name: str
    reads_everything: bool
    joins_groups: bool = True
    clock_ahead_s: float | None = None


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Why nothing is known of the account; `is_refused` says that the platform does not know the token."""

    reason: str
    is_refused: bool = False


def clock_ahead_s(date: str | None, now: datetime) -> float | None:
    """Return by how much `now` is ahead of an HTTP `Date`, which counts whole seconds; None for none that can be read.

    >>> clock_ahead_s("Sun, 06 Nov 1994 08:49:37 GMT", datetime(1994, 11, 6, 8, 50, 37, tzinfo=UTC))
    60.0
    >>> clock_ahead_s("yesterday", datetime(1994, 11, 6, tzinfo=UTC)) is None
    True
    """
    try:
        told = parsedate_to_datetime(date or "")
    except ValueError:
        return None
    return (now - (told if told.tzinfo is not None else told.replace(tzinfo=UTC))).total_seconds()
