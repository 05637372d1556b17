"""How right the waits were that people were told."""

from __future__ import annotations

import statistics
from collections import deque

import structlog

from botbridge.conversation.room import OpenTurn

KEPT = 1000
LEAST_S = 1.0
"""Of waits below a second nobody notices which was longer."""

log = structlog.get_logger(__name__)


class Waits:
    """Compares the first wait that somebody was told with how long it was."""

    def __init__(self) -> None:
        self._ratios: deque[float] = deque(maxlen=KEPT)
        self._count = 0

    def told(self, turn: OpenTurn, estimated_s: float, now_s: float) -> None:
        """Note what was told; what is told later about the same message only counts the time down."""
        if turn.told_wait is None:
            turn.told_wait = (estimated_s, now_s)

    def begun(self, turn: OpenTurn, now_s: float) -> None:
        """Compare, where something was told."""
        if turn.told_wait is None:
            return
        estimated_s, told_at_s = turn.told_wait
        turn.told_wait = None
        actual_s = now_s - told_at_s
        self._count += 1
        self._ratios.append(max(estimated_s, LEAST_S) / max(actual_s, LEAST_S))
        log.info("wait estimated", inbox_id=turn.row.id, estimated_s=round(estimated_s, 1), actual_s=round(actual_s, 1))

    def summary(self) -> dict[str, float | int | None]:
        """How many waits were told and came to their end, and the median of told by true over the last thousand."""
        median = round(statistics.median(self._ratios), 2) if self._ratios else None
        return {"count": self._count, "median_ratio": median}
