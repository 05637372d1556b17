"""How much one person may ask for; what exceeds it is refused before it costs anything."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass
from enum import StrEnum

from botbridge.conversation.line import Line, PersonKey

RATE_WINDOW_S = 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """The five limits of the operator.

    Attributes:
        message_chars: A longer message is refused, not cut.
        waiting_per_person: Messages of one person that may wait at the same time.
        messages_per_minute: Messages of one person in any 60 seconds, commands included.
        wait_s: A message that has waited longer is given up.
        queue: Messages that may wait in all.
    """

    message_chars: int = 16_000
    waiting_per_person: int = 3
    messages_per_minute: int = 20
    wait_s: float = 900.0
    queue: int = 200


class Excess(StrEnum):
    """Which limit a message would break."""

    LENGTH = "length"
    WAITING = "waiting"
    QUEUE = "queue"


def excess(text: str, person: PersonKey, line: Line, limits: Limits) -> Excess | None:
    """The limit that a message breaks, None when it may join the line."""
    if len(text) > limits.message_chars:
        return Excess.LENGTH
    if len(line.waiting) >= limits.queue:
        return Excess.QUEUE
    if sum(entry.person == person for entry in line.waiting) >= limits.waiting_per_person:
        return Excess.WAITING
    return None


class MessageRate:
    """Counts each person's messages over a sliding minute.

    Refusals are told once per minute: answering each message of a flood would
    be a flood of our own.
    """

    def __init__(self, messages_per_minute: int) -> None:
        self._limit = messages_per_minute
        self._arrivals: defaultdict[PersonKey, deque[float]] = defaultdict(deque)
        self._told_at: dict[PersonKey, float] = {}

    def admit(self, person: PersonKey, now_s: float) -> bool:
        """Count a message; False when it is one too many (then it does not count)."""
        self._drop_old(now_s)
        arrivals = self._arrivals[person]
        if len(arrivals) >= self._limit:
            return False
        arrivals.append(now_s)
        return True

    def should_tell(self, person: PersonKey, now_s: float) -> bool:
        """True for the first refusal of a person in a minute."""
        if now_s - self._told_at.get(person, -RATE_WINDOW_S) < RATE_WINDOW_S:
            return False
        self._told_at[person] = now_s
        return True

    def _drop_old(self, now_s: float) -> None:
        # All people at once, so that those who never come back leave nothing behind.
        for person, arrivals in list(self._arrivals.items()):
            while arrivals and now_s - arrivals[0] >= RATE_WINDOW_S:
                arrivals.popleft()
            if not arrivals:
                del self._arrivals[person]
        for person, told_at in list(self._told_at.items()):
            if now_s - told_at >= RATE_WINDOW_S:
                del self._told_at[person]
