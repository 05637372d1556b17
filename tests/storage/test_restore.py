"""A backup in the place of a database: the drill, what is refused, and what a crash in the middle leaves."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest

from botbridge.errors import DatabaseInUse, SchemaOutOfDate, StorageError, StorageUnavailable
from botbridge.messages import InboxState
from botbridge.storage.backup import backup, copy_verified
from botbridge.storage.database import Database
from botbridge.storage.files import restoring_path
from botbridge.storage.history import SqlHistory
from botbridge.storage.inbox import SqlInbox
from botbridge.storage.lock import DatabaseLock
from botbridge.storage.migrate import Checkup, check, upgrade
from botbridge.storage.outbox import SqlOutbox
from botbridge.storage.restore import restore
from tests.contracts.examples import AISHA_ALONE, answered, message


def damage(path: Path) -> None:
    """Overwrite the middle of a file, as a failing disk does."""
    content = bytearray(path.read_bytes())
    content[4096 * 2 : 4096 * 8] = b"\xff" * 4096 * 6
    path.write_bytes(content)


def files(directory: Path) -> set[str]:
    """Return the names in a folder."""
    return {file.name for file in directory.iterdir()}


@pytest.fixture
def copy(path: Path, tmp_path: Path) -> Path:
    """A backup of a database without rows, in a folder of its own."""
    (tmp_path / "copies").mkdir()
    copy_verified(path, tmp_path / "copies" / "copy.db")
    return tmp_path / "copies" / "copy.db"


async def test_the_drill_brings_everything_back_that_was_there_at_the_backup(path: Path, tmp_path: Path) -> None:
    """Written, backed up under load, damaged, refused, restored; and the work goes on."""
    acknowledged: set[int] = set()
    under_load = asyncio.Event()

    async def talk(inbox: SqlInbox, worker: int) -> None:
        for number in range(100):
            row = await inbox.accept(message(f"{worker}-{number}"), AISHA_ALONE)
            assert row is not None
            await inbox.finish(row.id, answered(f"question {row.id}", f"answer {row.id}"))
            acknowledged.add(row.id)
            if len(acknowledged) == 100:
                under_load.set()

    async with Database(path) as database:
        load = asyncio.gather(*(talk(SqlInbox(database), worker) for worker in range(4)))
        await under_load.wait()
        before, copied = set(acknowledged), tmp_path / "copy.db"
        await backup(database, copied)
        assert not load.done(), "the backup was to be made under load"
        await load
    damage(path)
    with pytest.raises(StorageUnavailable, match="botbridge db restore"):
        await upgrade(path, tmp_path)
    damaged = path.read_bytes()

    with DatabaseLock(path):
        done = await restore(path, copied)

    assert done.kept is not None
    assert done.kept.read_bytes() == damaged
    assert path.stat().st_mode & 0o777 == 0o600
    assert (await check(path)).damage is None
    async with Database(path) as database:
        ended = await database.read(
            lambda connection: connection.exec_driver_sql("SELECT id FROM inbox WHERE state = 'answered'")
        )
        there = {inbox_id for (inbox_id,) in ended}
        assert before <= there
        turns = (await SqlHistory(database).recent(AISHA_ALONE, 10**9)).turns
        assert {turn.text for turn in turns} == {f"{what} {row}" for row in there for what in ("question", "answer")}
        assert {part.inbox_id for part in await SqlOutbox(database).due()} == there
        assert await SqlInbox(database).accept(message("new"), AISHA_ALONE) is not None


async def test_a_database_that_is_in_use_is_not_replaced(path: Path, copy: Path) -> None:
    before = path.read_bytes()
    with DatabaseLock(path), pytest.raises(DatabaseInUse, match="is in use by process"), DatabaseLock(path):
        await restore(path, copy)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("damaged", "it is damaged .*; name another backup; nothing was changed"),
        ("text", "it is damaged or no SQLite database at all; name another backup; nothing was changed"),
        ("blank", "it holds nothing"),
        ("missing", "there is no such file"),
        ("newer", "has the schema 9999"),
        ("foreign", "was not written by botbridge"),
        ("itself", "is the database itself"),
    ],
)
async def test_what_is_no_backup_is_refused_and_the_database_stays(
    path: Path, copy: Path, fault: str, reason: str
) -> None:
    before, there = path.read_bytes(), files(path.parent)
    match fault:
        case "damaged":
            damage(copy)
        case "text":
            copy.write_text("This is no database. " * 100)
        case "blank":
            copy.write_bytes(b"")
        case "missing":
            copy.unlink()
        case "itself":
            copy = path
        case _:
            newer = "UPDATE alembic_version SET version_num = '9999'"
            change = newer if fault == "newer" else "DROP TABLE alembic_version"
            with closing(sqlite3.connect(copy)) as connection, connection:
                connection.execute(change)
    with pytest.raises((StorageError, SchemaOutOfDate), match=reason):
        await restore(path, copy)
    assert copy.exists() is (fault != "missing")
    assert (path.read_bytes(), files(path.parent)) == (before, there)


async def test_a_backup_is_left_as_it_is_and_can_be_restored_twice(path: Path, copy: Path) -> None:
    before = copy.read_bytes()
    first, second = await restore(path, copy), await restore(path, copy)
    assert copy.read_bytes() == before
    assert first.kept != second.kept
    assert files(copy.parent) == {"copy.db"}


async def test_the_log_of_the_old_database_goes_with_it(path: Path, copy: Path, tmp_path: Path) -> None:
    """Left in place it would be read as the log of the new one."""
    async with Database(path) as database:
        await SqlInbox(database).accept(message("only in the log"), AISHA_ALONE)
        crashed = tmp_path / "crashed"
        crashed.mkdir()
        for file in tmp_path.glob("botbridge.db*"):
            shutil.copy(file, crashed)
    crash = crashed / "botbridge.db"
    done = await restore(crash, copy)
    assert done.kept is not None
    assert files(crashed) == {"botbridge.db", done.kept.name, f"{done.kept.name}-wal"}
    async with Database(crash) as restored:
        assert await SqlInbox(restored).unfinished() == []
    async with Database(done.kept) as old:
        assert [row.state for row in await SqlInbox(old).unfinished()] == [InboxState.RECEIVED]


async def test_a_missing_database_is_restored_too(path: Path, copy: Path) -> None:
    path.unlink()
    assert (await restore(path, copy)).kept is None
    assert await check(path) == Checkup(None, "0004", "0004")


@pytest.mark.parametrize("with_log", [True, False], ids=["log still there", "log set aside"])
async def test_a_restore_that_was_cut_short_begins_no_blank_database(
    path: Path, copy: Path, tmp_path: Path, with_log: bool
) -> None:
    """Between the old file's going and the new one's coming the name is free; nobody may take it."""
    shutil.copy(copy, restoring_path(path))
    path.unlink()
    if with_log:
        (tmp_path / "botbridge.db-wal").write_bytes(b"frames")
    for opening in (upgrade(path, tmp_path), Database(path).__aenter__()):
        with pytest.raises(StorageUnavailable, match="a restore was cut short|its log botbridge.db-wal is not"):
            await opening
    assert not path.exists()
    await restore(path, copy)
    assert (await check(path)).damage is None
    assert not restoring_path(path).exists()


async def test_a_restore_that_was_cut_short_before_the_database_was_touched_changes_nothing(
    path: Path, copy: Path
) -> None:
    shutil.copy(copy, restoring_path(path))
    async with Database(path) as database:
        assert await SqlInbox(database).accept(message(), AISHA_ALONE) is not None


async def test_half_a_copy_of_an_earlier_try_is_in_nobodys_way(path: Path, copy: Path) -> None:
    path.with_name(f"{path.name}.restored").write_bytes(b"half")
    await restore(path, copy)
    assert (await check(path)).damage is None


async def test_a_source_that_cannot_be_used_leaves_a_cut_short_restore_refused(path: Path, copy: Path) -> None:
    """The mark must not go before there is something better."""
    shutil.copy(copy, restoring_path(path))
    path.unlink()
    damage(copy)
    with suppress(StorageError):
        await restore(path, copy)
    with pytest.raises(StorageUnavailable, match="a restore was cut short"):
        await upgrade(path, path.parent)
