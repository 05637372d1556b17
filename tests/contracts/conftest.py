"""Each contract test runs twice: over the database and over memory."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import select

from botbridge.messages import AuditEntry
from botbridge.ports import Audit, History, Inbox, Outbox, People, State
from botbridge.storage.audit import SqlAudit
from botbridge.storage.database import Database
from botbridge.storage.history import SqlHistory
from botbridge.storage.inbox import SqlInbox
from botbridge.storage.memory import InMemoryAudit, InMemoryHistory, InMemoryInbox, InMemoryOutbox, InMemoryState
from botbridge.storage.memory_people import InMemoryPeople
from botbridge.storage.memory_store import InMemoryStore
from botbridge.storage.migrate import upgrade
from botbridge.storage.outbox import SqlOutbox
from botbridge.storage.people import SqlPeople
from botbridge.storage.state import SqlState
from botbridge.storage.tables import audit


@dataclass(frozen=True, slots=True)
class Storage:
    """One implementation of every storage port; the audit's port cannot be read, so `audited` reads it.

    `restarted` is the inbox as the next start of the service has it.
    """

    inbox: Inbox
    history: History
    outbox: Outbox
    people: People
    audit: Audit
    state: State
    audited: Callable[[], Awaitable[list[AuditEntry]]]
    restarted: Callable[[], Inbox]


@asynccontextmanager
async def sql_storage(blank: Path, directory: Path) -> AsyncIterator[Storage]:
    """Yield the ports over a new database."""
    async with Database(shutil.copy(blank, directory / "botbridge.db")) as database:

        async def audited() -> list[AuditEntry]:
            columns = (audit.c.actor, audit.c.action, audit.c.subject, audit.c.allowed, audit.c.reason)
            rows = await database.read(lambda connection: connection.execute(select(*columns).order_by(audit.c.id)))
            return [AuditEntry(*row) for row in rows]

        yield Storage(
            SqlInbox(database),
            SqlHistory(database),
            SqlOutbox(database),
            SqlPeople(database),
            SqlAudit(database),
            SqlState(database),
            audited,
            lambda: SqlInbox(database),
        )


@asynccontextmanager
async def memory_storage(_blank: Path, _directory: Path) -> AsyncIterator[Storage]:
    """Yield the ports over a new store in memory."""
    store = InMemoryStore()

    async def audited() -> list[AuditEntry]:
        return list(store.audit)

    yield Storage(
        InMemoryInbox(store),
        InMemoryHistory(store),
        InMemoryOutbox(store),
        InMemoryPeople(store),
        InMemoryAudit(store),
        InMemoryState(store),
        audited,
        lambda: InMemoryInbox(store),
    )


@pytest.fixture(scope="session")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database without rows, to be copied."""
    directory = tmp_path_factory.mktemp("blank")
    asyncio.run(upgrade(directory / "blank.db", directory))
    return directory / "blank.db"


@pytest.fixture(params=[sql_storage, memory_storage], ids=["sql", "memory"])
async def storage(request: pytest.FixtureRequest, blank: Path, tmp_path: Path) -> AsyncIterator[Storage]:
    """Yield an empty storage."""
    async with request.param(blank, tmp_path) as ports:
        yield ports
