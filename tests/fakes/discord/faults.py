"""What the fake Discord does wrong when a test asks for it, and its own rate limit."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Literal

from tests.fakes.discord.world import Clock

FaultKind = Literal["status", "rate_limit", "swallow", "accept_and_status", "refuse"]

BUCKET_CALLS = 5
BUCKET_S = 5.0
"""Messages and edits a channel takes: 5 in 5 s.

Source: https://github.com/discord/discord-api-docs/issues/20; Discord promises
no number, clients are to read the headers.
"""


@dataclass
class Fault:
    """One thing to go wrong with the next REST calls that fit.

    Attributes:
        kind: `status` answers with a bare HTTP status, `refuse` with a status and
            one of Discord's error codes, `rate_limit` with 429; `swallow`
            carries the call out and never answers, `accept_and_status` carries it
            out and answers with a bare status.
        method: Only calls of this HTTP method; empty fits all.
        path: Only calls whose path holds this text.
        times: How many calls it hits.
    """

    kind: FaultKind
    method: str = ""
    path: str = ""
    times: int = 1
    status: int = 500
    code: int = 0
    retry_after_s: float = 1.0
    is_global: bool = False

    def fits(self, method: str, path: str) -> bool:
        """Whether a call is to be hit."""
        return self.times > 0 and self.method in ("", method) and self.path in path


class Faults:
    """The faults still to come, the first that fits counts."""

    def __init__(self) -> None:
        self._planned: list[Fault] = []

    def plan(self, fault: Fault) -> None:
        """Let something go wrong."""
        self._planned.append(fault)

    def clear(self) -> None:
        """Let everything go well again."""
        self._planned.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """The fault that hits this call, counted as used."""
        for fault in self._planned:
            if fault.fits(method, path):
                fault.times -= 1
                return fault
        return None


class Buckets:
    """Sliding windows of calls, one for each route and channel."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._calls: dict[str, deque[float]] = defaultdict(deque)

    def take(self, name: str) -> tuple[int, float]:
        """Count a call: how many more may follow (negative: this one is refused) and seconds until one falls out."""
        now_s = self._clock.now_s()
        calls = self._calls[name]
        while calls and calls[0] <= now_s - BUCKET_S:
            calls.popleft()
        left = BUCKET_CALLS - len(calls) - 1
        if left >= 0:
            calls.append(now_s)
        return left, calls[0] + BUCKET_S - now_s
