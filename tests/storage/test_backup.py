"""Copies that are made while the database is in use."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from botbridge.errors import StorageError, StorageUnavailable
from botbridge.storage.backup import backup, copy_verified
from botbridge.storage.database import Database
from botbridge.storage.inbox import SqlInbox
from botbridge.storage.migrate import Checkup, check
from tests.contracts.examples import AISHA_ALONE, message


async def test_a_backup_holds_what_was_committed_and_is_one_private_file(database: Database, tmp_path: Path) -> None:
    """Also what still stands in the log only."""
    row = await SqlInbox(database).accept(message(), AISHA_ALONE)
    copy = tmp_path / "copies" / "monday.db"
    copy.parent.mkdir()
    await backup(database, copy)
    assert [file.name for file in copy.parent.iterdir()] == ["monday.db"]
    assert copy.stat().st_mode & 0o777 == 0o600
    assert await check(copy) == Checkup(None, "0004", "0004")
    async with Database(copy) as restored:
        assert await SqlInbox(restored).unfinished() == [row]


async def test_a_backup_is_one_moment_and_stops_no_writes(database: Database, tmp_path: Path) -> None:
    inbox = SqlInbox(database)
    writes = [asyncio.create_task(inbox.accept(message(str(number)), AISHA_ALONE)) for number in range(60)]
    await writes[5]
    await backup(database, tmp_path / "copy.db")
    await asyncio.gather(*writes)
    assert len(await inbox.unfinished()) == 60
    async with Database(tmp_path / "copy.db") as copy:
        ids = [row.id for row in await SqlInbox(copy).unfinished()]
    assert len(ids) >= 6
    assert ids == list(range(1, len(ids) + 1))


async def test_an_existing_file_is_never_overwritten(database: Database, tmp_path: Path) -> None:
    (tmp_path / "copy.db").write_text("precious")
    with pytest.raises(StorageError, match="there is such a file already"):
        await backup(database, tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_text() == "precious"


async def test_a_missing_folder_is_named(database: Database, tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match="create .*nowhere"):
        await backup(database, tmp_path / "nowhere" / "copy.db")


@pytest.mark.parametrize("offset", [0, 4096 * 6], ids=["header", "page"])
def test_a_backup_of_a_damaged_database_is_none(path: Path, tmp_path: Path, offset: int) -> None:
    """Better no backup than one that somebody relies on."""
    content = bytearray(path.read_bytes())
    content[offset : offset + 100] = b"\xff" * 100
    path.write_bytes(content)
    with pytest.raises(StorageUnavailable, match="damaged"):
        copy_verified(path, tmp_path / "copy.db")
    assert list(tmp_path.glob("copy.db*")) == []


def test_what_is_left_of_a_backup_that_was_cut_short_is_replaced(path: Path, tmp_path: Path) -> None:
    (tmp_path / "copy.db.part").write_bytes(b"half")
    copy_verified(path, tmp_path / "copy.db")
    with closing(sqlite3.connect(tmp_path / "copy.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert list(tmp_path.glob("copy.db.part*")) == []
