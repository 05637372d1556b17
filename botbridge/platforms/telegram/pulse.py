"""Whether Telegram is heard: when it last was, and what has been wrong since.

Nothing here waits or asks; the poll loop and the watch over the webhook tell
it, and health reads it.
"""

from __future__ import annotations

from collections.abc import Callable


class Pulse:
    """What is known of the way from Telegram to us.

    Args:
        patience_s: How long silence is no trouble, in seconds.
        clock: Monotonic seconds.

    >>> now_s = 0.0
    >>> pulse = Pulse(60, lambda: now_s)
    >>> pulse.beat(), pulse.is_alive
    (0, True)
    >>> now_s = 61.0
    >>> pulse.is_alive, pulse.age_s
    (False, 61.0)
    """

    def __init__(self, patience_s: float, clock: Callable[[], float]) -> None:
        self.patience_s = patience_s
        self._clock = clock
        self.last_success_s: float | None = None
        """When Telegram was last heard, by the clock; None before the first time."""
        self.failures = 0
        """How many tries in a row have failed."""
        self.trouble = ""
        """What went wrong last, as a sentence; empty while all is well."""

    @property
    def age_s(self) -> float | None:
        """Seconds since Telegram was last heard; None when it never was."""
        return None if self.last_success_s is None else self._clock() - self.last_success_s

    @property
    def is_alive(self) -> bool:
        """True while Telegram is heard; one failure alone is forgiven."""
        age_s = self.age_s
        return age_s is not None and age_s <= self.patience_s and self.failures <= 1

    def beat(self) -> int:
        """Note that Telegram was heard; how many failures that ended."""
        self.last_success_s = self._clock()
        ended, self.failures, self.trouble = self.failures, 0, ""
        return ended

    def miss(self, trouble: str) -> int:
        """Note a failure; how many there were in a row."""
        self.failures += 1
        self.trouble = trouble
        return self.failures
