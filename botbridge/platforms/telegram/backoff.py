"""How long to wait after so many failures."""

from __future__ import annotations

from dataclasses import dataclass

from botbridge.errors import RateLimited


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses that double from the first to the longest, in seconds."""

    first_s: float = 0.5
    longest_s: float = 60.0

    def pause_s(self, failures: int) -> float:
        """The pause after so many failures in a row, counted from 1.

        >>> [Backoff(1, 5).pause_s(failures) for failures in (1, 2, 3, 4)]
        [1.0, 2.0, 4.0, 5]
        """
        return min(self.longest_s, self.first_s * 2.0 ** min(failures - 1, 30))

    def pause_after_s(self, error: Exception, failures: int) -> float:
        """The pause that Telegram asked for, else `pause_s`.

        >>> Backoff(1, 5).pause_after_s(RateLimited(30.0), 1)
        30.0
        """
        return error.retry_after_s if isinstance(error, RateLimited) else self.pause_s(failures)
