"""One implementation of every storage port, and how it is opened: a SQLite file, or nothing but memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from botbridge.errors import StorageUnavailable
from botbridge.faults import NO_FAULTS, Faults
from botbridge.health import BackupHealth
from botbridge.messages import PlatformName
from botbridge.ports import Audit, History, Inbox, Outbox, People, State
from botbridge.settings import Settings
from botbridge.storage.audit import SqlAudit
from botbridge.storage.backup import backup
from botbridge.storage.database import Database
from botbridge.storage.engines import sqlite_note
from botbridge.storage.files import make_home
from botbridge.storage.history import SqlHistory
from botbridge.storage.inbox import SqlInbox
from botbridge.storage.lock import DatabaseLock
from botbridge.storage.memory import (
    InMemoryAudit,
    InMemoryHistory,
    InMemoryInbox,
    InMemoryOutbox,
    InMemoryState,
)
from botbridge.storage.memory_people import InMemoryPeople
from botbridge.storage.memory_store import InMemoryStore
from botbridge.storage.migrate import upgrade
from botbridge.storage.outbox import SqlOutbox
from botbridge.storage.people import SqlPeople
from botbridge.storage.probe import SqlProbe
from botbridge.storage.retention import kept_tidy
from botbridge.storage.state import SqlState
from botbridge.storage.timed_backups import TimedBackups
from botbridge.watching import Probe, no_backups

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Storage:
    """One implementation of every storage port, and how it is opened."""

    inbox: Inbox
    history: History
    outbox: Outbox
    people: People
    audit: Audit
    state: State
    opened: Callable[[], AbstractAsyncContextManager[None]]
    backup: Callable[[Path], Awaitable[Path]]
    probe: Probe
    backup_health: Callable[[], BackupHealth | None]


def sql_storage(settings: Settings, faults: Faults = NO_FAULTS) -> Storage:
    """Make the ports over the SQLite file, which only one process may hold."""
    database = Database(settings.database_path, faults=faults)
    backups = TimedBackups(
        database.path, settings.home / "backups", every_s=settings.backup.every_h * 3600.0, keep=settings.backup.keep
    )

    @asynccontextmanager
    async def opened() -> AsyncIterator[None]:
        make_home(settings.home)
        with DatabaseLock(database.path):
            done = await upgrade(database.path, settings.home / "backups", faults=faults)
            if note := sqlite_note():
                log.warning(note)
            if done.before != done.after:
                log.info("database upgraded", before=done.before, after=done.after, backup=str(done.backup or ""))
            async with database, kept_tidy(database, settings.retention.days), backups.made_by_themselves():
                yield

    return Storage(
        inbox=SqlInbox(database),
        history=SqlHistory(database),
        outbox=SqlOutbox(database),
        people=SqlPeople(database, backups),
        audit=SqlAudit(database),
        state=SqlState(database),
        opened=opened,
        backup=partial(backup, database),
        probe=SqlProbe(database),
        backup_health=backups.health,
    )


def in_memory_storage() -> Storage:
    """Make the ports over nothing but memory."""
    store = InMemoryStore()

    async def nothing_owed(_platforms: Collection[PlatformName]) -> float:
        return 0.0

    async def no_backup(path: Path) -> Path:
        raise StorageUnavailable(f"there is no database to copy to {path}")

    return Storage(
        inbox=InMemoryInbox(store),
        history=InMemoryHistory(store),
        outbox=InMemoryOutbox(store),
        people=InMemoryPeople(store),
        audit=InMemoryAudit(store),
        state=InMemoryState(store),
        opened=nullcontext,
        backup=no_backup,
        probe=nothing_owed,
        backup_health=no_backups,
    )
