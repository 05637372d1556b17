"""Whether Telegram is heard: when it last was, and what has been wrong since.

Nothing here waits or asks; the poll loop and the watch over the webhook tell
it, and health reads it.
"""

from __future__ import annotations

from collections.abc import Callable

from botbridge.health import PlatformHealth


class Pulse:
    """What is known of the way from Telegram to us.

    Args:
        patience_s: How long silence is no trouble, in seconds.
        clock: Monotonic seconds.

    >>> now_s = 0.0
    >>> pulse = Pulse(60, lambda: now_s)
    >>> pulse.beat(), pulse.health().is_on
    (0, True)
    >>> now_s = 61.0
    >>> pulse.health()
    PlatformHealth(is_on=False, last_good_s=61.0, limit_s=60, detail='')
    """

    def __init__(self, patience_s: float, clock: Callable[[], float]) -> None:
        self._patience_s = patience_s
        self._clock = clock
        self._heard_at_s: float | None = None
        self._failures = 0
        self._trouble = ""

    def health(self) -> PlatformHealth:
        """When Telegram was last heard, and what went wrong since; one failure alone is forgiven."""
        age_s = None if self._heard_at_s is None else self._clock() - self._heard_at_s
        is_heard = age_s is not None and age_s <= self._patience_s and self._failures <= 1
        return PlatformHealth(is_heard, age_s, self._patience_s, self._trouble)

    def beat(self) -> int:
        """Note that Telegram was heard; how many failures that ended."""
        self._heard_at_s = self._clock()
        ended, self._failures, self._trouble = self._failures, 0, ""
        return ended

    def miss(self, trouble: str) -> int:
        """Note a failure; how many there were in a row.

        Args:
            trouble: What went wrong, as a sentence.
        """
        self._failures += 1
        self._trouble = trouble
        return self._failures
