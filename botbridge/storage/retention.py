"""Deletes what is older than the operator wants it kept.

Covered: finished messages with their turns and replies, turns without a
message, and the names of people of whom nothing is left. `secure_delete`
overwrites what was freed.

Not covered: messages that are not finished or whose reply is still owed, the
audit, ids of people and conversations, and backups. A clock that is wrong for
hours cannot be told from the truth.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog
from sqlalchemy import Connection, delete, exists, select

from botbridge.errors import StorageError
from botbridge.faults import Boundary
from botbridge.storage.database import Database
from botbridge.storage.people import without_names
from botbridge.storage.tables import identity, inbox, outbox, turn
from botbridge.tasks import beside

LOOK_EVERY_S = 600.0
EVEN_FOR_S = 3600.0
"""How long the clock must have gone evenly before anything is deleted by it."""

JUMP_S = 60.0
"""More than clocks are slewed between two looks."""

BATCH_ROWS = 500
"""Deleted in one transaction, so that no message waits long for its own."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class EvenClock:
    """Whether the wall clock has gone evenly, told by a second clock that cannot be set. Pure.

    Attributes:
        ahead_s: The wall clock's time less the other's, at the last look; None before the first.
        even_since_s: Since when they have gone alike, by the other clock.
    """

    ahead_s: float | None = None
    even_since_s: float = 0.0

    def look(self, wall_s: float, steady_s: float) -> EvenClock:
        """Return what is known after a look at both.

        >>> clock = EvenClock().look(1000.0, 5.0).look(4600.0, 3605.0)
        >>> clock.is_trusted(3605.0), clock.look(99_999_999.0, 3606.0).is_trusted(3606.0)
        (True, False)
        """
        ahead_s = wall_s - steady_s
        if self.ahead_s is None or abs(ahead_s - self.ahead_s) > JUMP_S:
            return EvenClock(ahead_s, steady_s)
        return EvenClock(ahead_s, self.even_since_s)

    def is_trusted(self, steady_s: float) -> bool:
        """Whether things may be deleted by the wall clock now."""
        return self.ahead_s is not None and steady_s - self.even_since_s >= EVEN_FOR_S


@asynccontextmanager
async def kept_tidy(
    database: Database, days: int | None, pause: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> AsyncIterator[None]:
    """Run `keep_tidy` as long as the block does."""
    async with beside(partial(keep_tidy, database, days, pause=pause), "retention", pause=pause):
        yield


async def keep_tidy(
    database: Database,
    days: int | None,
    *,
    wall_s: Callable[[], float] = time.time,
    steady_s: Callable[[], float] = time.monotonic,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Delete what is older than so many days, every ten minutes, until cancelled; None keeps everything.

    Nothing is deleted in the first hour, nor in the hour after the clock was set.

    Args:
        database: An open one.
        days: The age at which things go.
        wall_s: The clock by which they are old, in seconds since 1970.
        steady_s: A clock that cannot be set, in seconds.
        pause: Returns after so many seconds.
    """
    if days is None:
        return
    clock = EvenClock()
    while True:
        clock = clock.look(wall_s(), steady_s())
        if clock.is_trusted(steady_s()):
            try:
                gone = await delete_older(database, datetime.fromtimestamp(wall_s(), UTC) - timedelta(days=days))
            except StorageError as error:
                log.error("old messages not deleted", error=str(error))
            else:
                if any(gone.values()):
                    log.info("old messages deleted", **gone)
        await pause(LOOK_EVERY_S)


async def delete_older(database: Database, than: datetime) -> dict[str, int]:
    """Delete what ended before a time, in small transactions; return how many rows of each went.

    Raises:
        StorageUnavailable: the database cannot be written now; what went before stays gone.
    """
    gone = {"messages": 0, "turns": 0, "replies": 0, "names": 0}
    while True:
        counts = await database.write(lambda connection: _delete_batch(connection, than), at=Boundary.RETENTION)
        for name, count in counts.items():
            gone[name] += count
        if not any(counts.values()):
            return gone


def _delete_batch(connection: Connection, than: datetime) -> dict[str, int]:
    """Delete the oldest messages and what hangs on them, then names; zeros when nothing was left to delete."""
    settled = ~exists().where(outbox.c.inbox_id == inbox.c.id, outbox.c.settled_at.is_(None))
    oldest = select(inbox.c.id).where(inbox.c.finished_at < than, settled).order_by(inbox.c.id).limit(BATCH_ROWS)
    ids = list(connection.scalars(oldest))
    loose = select(turn.c.id).where(turn.c.inbox_id.is_(None), turn.c.created_at < than).limit(BATCH_ROWS)
    nothing_left = ~exists().where(inbox.c.identity_id == identity.c.id)
    turns = turn.c.inbox_id.in_(ids) | turn.c.id.in_(list(connection.scalars(loose)))
    return {
        "turns": connection.execute(delete(turn).where(turns)).rowcount,
        "replies": connection.execute(delete(outbox).where(outbox.c.inbox_id.in_(ids))).rowcount,
        "messages": connection.execute(delete(inbox).where(inbox.c.id.in_(ids))).rowcount,
        "names": connection.execute(without_names(identity.c.last_seen_at < than, nothing_left)).rowcount,
    }
