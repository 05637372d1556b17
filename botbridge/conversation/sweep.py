"""Finds messages that were committed and that nobody works on.

It happens when a platform gives up between the commit and the word that it was
done: the message is stored, and whoever would have begun with it is gone. The
database is the truth, so it is asked now and then.

Covered: a message is found at the second look in a row that misses it, which
tells it from one that was committed a moment ago or ended while we looked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import structlog

from botbridge.errors import StorageError
from botbridge.messages import InboxId, InboxRow
from botbridge.ports import Inbox

SWEEP_EVERY_S = 15.0

log = structlog.get_logger(__name__)


class Sweep:
    """Compares what the database holds unfinished with what is in somebody's hands."""

    def __init__(self, inbox: Inbox, in_hand: Callable[[], Collection[InboxId]]) -> None:
        """Note where to look.

        Args:
            inbox: The truth.
            in_hand: The messages that somebody works on, or that wait in the line.
        """
        self._inbox = inbox
        self._in_hand = in_hand
        self._missed: frozenset[InboxId] = frozenset()
        self._due_at_s: float | None = None

    def is_due(self, now_s: float) -> bool:
        """True when it is time for a look; the next one is then due a pause later, the first a pause after the start.

        Args:
            now_s: On the monotonic clock.
        """
        is_due = self._due_at_s is not None and now_s >= self._due_at_s
        if is_due or self._due_at_s is None:
            self._due_at_s = now_s + SWEEP_EVERY_S
        return is_due

    async def look(self) -> Sequence[InboxRow]:
        """Return the messages that were missed at the last look, too; none while the database cannot be read."""
        before = set(self._in_hand())
        try:
            rows = await self._inbox.unfinished()
        except StorageError as error:
            log.error("inbox not readable", error=str(error))
            return []
        known = before | set(self._in_hand())
        missed = [row for row in rows if row.id not in known]
        lost = [row for row in missed if row.id in self._missed]
        self._missed = frozenset(row.id for row in missed)
        return lost
