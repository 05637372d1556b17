"""Whether the database takes rows now, and how old what is owed has grown."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, func, select

from botbridge.messages import PlatformName
from botbridge.storage.database import Database
from botbridge.storage.state import SqlState
from botbridge.storage.tables import UtcTime, inbox, outbox, utc_now

PROBE = "health-probe"


async def probe(database: Database, platforms: Collection[PlatformName]) -> float:
    """Write one row; return the age of the oldest reply that is owed to these platforms.

    Returns:
        Seconds by the wall clock, never below 0; 0 when nothing is owed.

    Raises:
        StorageUnavailable: the row could not be written.
    """
    await SqlState(database).put(PROBE, "")
    oldest = (
        select(func.min(outbox.c.created_at, type_=UtcTime))
        .join(inbox)
        .where(outbox.c.settled_at.is_(None), ~outbox.c.is_status, inbox.c.platform.in_(platforms))
    )

    def work(connection: Connection) -> float:
        created_at = connection.execute(oldest).scalar()
        return 0.0 if created_at is None else max(0.0, (utc_now() - created_at).total_seconds())

    return await database.read(work)
