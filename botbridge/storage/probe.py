"""Whether the database takes rows now, and how old what is owed has grown."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Select, select

from botbridge.messages import PartId, PlatformName
from botbridge.storage.database import Database
from botbridge.storage.rules import UNSETTLED
from botbridge.storage.state import SqlState
from botbridge.storage.tables import inbox, outbox, utc_now

PROBE = "health-probe"


@dataclass(frozen=True, slots=True)
class Owed:
    """For how long the oldest reply has been owed, at one look. Pure.

    The rows tell by the wall clock, which somebody may set; so it is believed
    at the first look at a reply only, and from then on the steady clock counts.

    Attributes:
        part_id: Which reply; None when none is owed.
        age_s: Since when, in seconds; never below 0.
        steady_s: The steady clock's time.
    """

    part_id: PartId | None = None
    age_s: float = 0.0
    steady_s: float = 0.0

    def look(self, part_id: PartId | None, wall_age_s: float, steady_s: float) -> Owed:
        """Return what is true at the next look.

        Args:
            part_id: The oldest reply that is owed now.
            wall_age_s: Its age by the wall clock.
            steady_s: The steady clock's time.

        >>> seen = Owed().look(PartId(7), 20.0, 1000.0)
        >>> seen.look(PartId(7), 86_430.0, 1010.0).age_s, seen.look(PartId(8), -86_400.0, 1010.0).age_s
        (30.0, 0.0)
        """
        if part_id is None:
            return Owed()
        if part_id == self.part_id:
            return Owed(part_id, self.age_s + steady_s - self.steady_s, steady_s)
        return Owed(part_id, max(0.0, wall_age_s), steady_s)


class SqlProbe:
    """`watching.Probe` over the database."""

    def __init__(self, database: Database, steady_s: Callable[[], float] = time.monotonic) -> None:
        """Note where to look.

        Args:
            database: What is looked at.
            steady_s: Seconds of a clock that nobody can set.
        """
        self._database = database
        self._steady_s = steady_s
        self._owed = Owed()

    async def __call__(self, platforms: Collection[PlatformName]) -> float:
        """Write one row; return the age of the oldest reply that is owed to these platforms.

        Returns:
            Seconds, never below 0; 0 when nothing is owed.

        Raises:
            StorageUnavailable: the row could not be written.
        """
        await SqlState(self._database).put(PROBE, "")

        def work(connection: Connection) -> tuple[PartId | None, float]:
            row = connection.execute(oldest_owed(platforms)).one_or_none()
            return (None, 0.0) if row is None else (PartId(row.id), (utc_now() - row.created_at).total_seconds())

        part_id, wall_age_s = await self._database.read(work)
        self._owed = self._owed.look(part_id, wall_age_s, self._steady_s())
        return self._owed.age_s


def oldest_owed(platforms: Collection[PlatformName]) -> Select[tuple[int, datetime]]:
    """Return the query for the first reply that these platforms have not taken."""
    # Joined, or without the states, SQLite would read every message that ever came, or every part.
    platform = select(inbox.c.platform).where(inbox.c.id == outbox.c.inbox_id).scalar_subquery()
    return (
        select(outbox.c.id, outbox.c.created_at)
        .where(outbox.c.state.in_(UNSETTLED), outbox.c.settled_at.is_(None), ~outbox.c.is_status)
        .where(platform.in_(platforms))
        .order_by(outbox.c.id)
        .limit(1)
    )
