"""A migrated database file, closed and open."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from botbridge.storage.database import Database
from botbridge.storage.migrate import upgrade


@pytest.fixture(scope="session")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database without rows, to be copied: migrating one for each test would take most of the time."""
    directory = tmp_path_factory.mktemp("blank")
    asyncio.run(upgrade(directory / "botbridge.db", directory))
    return directory / "botbridge.db"


@pytest.fixture
def path(blank: Path, tmp_path: Path) -> Path:
    """Return a database file of the newest schema, not open."""
    return shutil.copy(blank, tmp_path / "botbridge.db")


@pytest.fixture
async def database(path: Path) -> AsyncIterator[Database]:
    """Yield it open; a write waits for another process's lock only an instant."""
    async with Database(path, busy_timeout_s=0.1) as database:
        yield database
