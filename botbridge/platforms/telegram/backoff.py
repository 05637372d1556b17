"""How long to wait after so many failures."""

from __future__ import annotations

from dataclasses import dataclass


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
