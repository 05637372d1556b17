"""Faults on demand: what a server, a proxy or a cable can do to a call."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FaultKind(StrEnum):
    """What happens to a call."""

    STATUS = "status"
    """Answered with a status and no action."""
    FLOOD = "flood"
    """Answered with 429; the chat stays closed as long as it says."""
    ACCEPT_AND_STATUS = "accept_and_status"
    """Done, and answered with a status all the same."""
    PAGE = "page"
    """Answered with a status and a page that is not Telegram's; nothing done."""
    DELAY = "delay"
    """Done after a pause."""
    HANG = "hang"
    """Never answered, nothing done."""
    ACCEPT_AND_HANG = "accept_and_hang"
    """Done, and never answered."""
    TRICKLE = "trickle"
    """Answered with a byte now and then, without end; nothing done."""
    TWICE = "twice"
    """Of the method `webhook`: an update is brought twice at the same time."""
    CUT = "cut"
    """The connection is cut, nothing done."""
    GARBAGE = "garbage"
    """Answered with 200 and no JSON, nothing done."""


@dataclass
class Fault:
    """One kind of trouble for the next `times` calls of a method (`*` is any, `webhook` are deliveries)."""

    method: str
    kind: FaultKind
    times: int = 1
    status: int = 500
    description: str = "Internal Server Error"
    seconds: float = 0.0
    retry_after: int = 1
    chat_id: int | None = None

    def __post_init__(self) -> None:
        self.kind = FaultKind(self.kind)

    def meets(self, method: str, chat_id: int | None) -> bool:
        """True for a call that this fault is meant for."""
        return self.times > 0 and self.method in ("*", method) and self.chat_id in (None, chat_id)
