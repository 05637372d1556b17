"""How much one person may ask for; what exceeds it is refused before it costs anything."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from botbridge.conversation.line import Line, PersonKey
from botbridge.messages import Spent

RATE_WINDOW_S = 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of the operator.

    Attributes:
        message_chars: A longer message is refused, not cut.
        waiting_per_person: Messages of one person that may wait at the same time.
        messages_per_minute: Messages of one person in any 60 seconds, commands included.
        tokens_per_minute: Tokens computed for one person in 60 seconds, of prompts and of replies; who has reached it
            waits until enough of them are a minute old. One message alone is never too many.
        wait_s: A message that has waited longer is given up.
        queue: Messages that may wait in all.
    """

    message_chars: int = 16_000
    waiting_per_person: int = 3
    messages_per_minute: int = 20
    tokens_per_minute: int = 60_000
    wait_s: float = 900.0
    queue: int = 200


class Excess(StrEnum):
    """Which limit a message would break."""

    LENGTH = "length"
    TOKENS = "tokens"
    WAITING = "waiting"
    QUEUE = "queue"


def excess(text: str, person: PersonKey, line: Line, limits: Limits, *, spent_tokens: int = 0) -> Excess | None:
    """The limit that a message breaks, None when it may join the line.

    Args:
        text: What was said.
        person: Who said it.
        line: Who waits.
        limits: What the operator allows.
        spent_tokens: What was computed for the person in the last minute; 0 for whom that is not limited.
    """
    if len(text) > limits.message_chars:
        return Excess.LENGTH
    if spent_tokens >= limits.tokens_per_minute:
        return Excess.TOKENS
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


class TokensSpent:
    """Counts what was computed for each person over a sliding minute, as it is computed.

    At the end of an answer it would be too late: what a slow machine took
    minutes for was not all spent in the last one.

    `add` and `of` take a time that does not depend on how many people there are:
    what is a minute old is dropped from the front, once.
    """

    def __init__(self, unlimited: Collection[PersonKey] = ()) -> None:
        """Begin with nothing spent.

        Args:
            unlimited: People for whom nothing is counted.
        """
        self._unlimited = unlimited
        self._spent: deque[tuple[float, PersonKey, int]] = deque()
        self._sums: defaultdict[PersonKey, int] = defaultdict(int)

    def load(self, earlier: Iterable[Spent], now_s: float) -> None:
        """Count what an earlier process computed, oldest first: a restart gives nobody a new minute."""
        for spent in earlier:
            self.add((spent.platform, spent.user_id), spent.tokens, now_s - spent.age_s)

    def add(self, person: PersonKey, tokens: int, at_s: float) -> None:
        """Count what was computed; call it in the order of the times."""
        self._drop_old(at_s)
        if tokens > 0 and person not in self._unlimited:
            self._spent.append((at_s, person, tokens))
            self._sums[person] += tokens

    def of(self, person: PersonKey, now_s: float) -> int:
        """How many tokens were computed for a person in the last minute."""
        self._drop_old(now_s)
        return self._sums.get(person, 0)

    def _drop_old(self, now_s: float) -> None:
        while self._spent and now_s - self._spent[0][0] >= RATE_WINDOW_S:
            _, person, tokens = self._spent.popleft()
            self._sums[person] -= tokens
            if not self._sums[person]:
                del self._sums[person]
