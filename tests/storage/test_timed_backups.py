"""Backups that are made by themselves: when, how many, what a failure does, and who is erased from them."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from botbridge.errors import StorageError, StorageUnavailable
from botbridge.health import BackupHealth
from botbridge.messages import MessageId, UserId
from botbridge.settings import load_settings
from botbridge.storage.backup import STEP_PAGES, copy_verified
from botbridge.storage.database import Database
from botbridge.storage.inbox import SqlInbox
from botbridge.storage.migrate import Checkup, check
from botbridge.storage.people import SqlPeople
from botbridge.storage.timed_backups import RETRY_S, START_PAUSE_S, TimedBackups, first_pause_s, want_of_room
from botbridge.stores import sql_storage
from tests.contracts.examples import AISHA, PRIVATE
from tests.storage.test_forgetting import CANARY, fill

DAY_S = 86_400.0
LONG_AGO_S = datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp()


class OverError(Exception):
    """The test has seen enough."""


class Days:
    """Clocks that go on only while somebody pauses, the backups over them, and the pauses that were asked for.

    Args:
        path: The database.
        jumps_s: By how much the wall clock is set in each pause; in the one after the last it is over.
    """

    def __init__(
        self, path: Path, *jumps_s: float, keep: int = 3, every_s: float = DAY_S, wall_s: float = LONG_AGO_S
    ) -> None:
        self.wall_s, self.steady_s = wall_s, 5.0
        self.folder = path.parent / "backups"
        self.pauses_s: list[float] = []
        self.told: list[BackupHealth | None] = []
        self.free_bytes = 10**12
        self._jumps_s = iter(jumps_s)
        self.backups = TimedBackups(
            path,
            self.folder,
            every_s=every_s,
            keep=keep,
            wall_s=lambda: self.wall_s,
            steady_s=lambda: self.steady_s,
            free_bytes=lambda _: self.free_bytes,
        )

    async def pause(self, seconds: float) -> None:
        """Let the time pass."""
        self.pauses_s.append(seconds)
        self.told.append(self.backups.health())
        jump_s = next(self._jumps_s, None)
        if jump_s is None:
            raise OverError
        self.steady_s += seconds
        self.wall_s += seconds + jump_s

    async def pass_by(self) -> list[str]:
        """Make backups until it is over; the names of those that are there, oldest first."""
        with contextlib.suppress(OverError):
            await self.backups.keep_making(self.pause)
        return self.names()

    def names(self) -> list[str]:
        """What lies in the folder."""
        return sorted(file.name for file in self.folder.glob("*"))


async def test_the_first_is_made_soon_and_then_one_a_day_of_which_the_newest_are_kept(path: Path) -> None:
    days = Days(path, *[0.0] * 5)
    assert await days.pass_by() == [
        "botbridge-timed-000003-20261127T121000Z.db",
        "botbridge-timed-000004-20261128T121000Z.db",
        "botbridge-timed-000005-20261129T121000Z.db",
    ]
    assert days.pauses_s == [START_PAUSE_S, *[DAY_S] * 5]
    limit_s = 2 * DAY_S + RETRY_S
    assert days.told == [BackupHealth(None, limit_s), *[BackupHealth(0.0, limit_s)] * 5]
    for name in days.names():
        assert (days.folder / name).stat().st_mode & 0o777 == 0o600
        assert await check(days.folder / name) == Checkup(None, "0004", "0004")


async def test_a_restart_waits_for_what_is_left_of_the_day(path: Path) -> None:
    """Else a service that is started every morning would never make one, or make one at each start."""
    await Days(path, 0.0).pass_by()
    made_at_s = LONG_AGO_S + START_PAUSE_S
    restarted = Days(path, wall_s=made_at_s + 7 * 3600)
    await restarted.pass_by()
    assert restarted.pauses_s == [17 * 3600]
    health = restarted.told[0]
    assert health is not None
    assert health.age_s == 7 * 3600


async def test_one_that_is_overdue_waits_until_the_start_is_over(path: Path) -> None:
    await Days(path, 0.0).pass_by()
    late = Days(path, 0.0, wall_s=LONG_AGO_S + 9 * DAY_S)
    await late.pass_by()
    assert late.pauses_s == [START_PAUSE_S, DAY_S]


async def test_without_a_pause_between_them_none_are_made_and_none_are_missed(path: Path) -> None:
    days = Days(path, 0.0, every_s=0)
    assert await days.pass_by() == []
    assert (days.pauses_s, days.backups.health()) == ([], None)


async def test_a_clock_that_is_set_back_makes_the_newest_neither_old_nor_the_first_to_go(path: Path) -> None:
    """Their numbers tell the order."""
    days = Days(path, 0.0, -365 * DAY_S, 0.0, keep=2)
    assert await days.pass_by() == [
        "botbridge-timed-000002-20251126T121000Z.db",
        "botbridge-timed-000003-20251127T121000Z.db",
    ]
    assert days.pauses_s == [START_PAUSE_S, *[DAY_S] * 3]


@pytest.mark.parametrize("age_s", [-1.0, None, 2 * DAY_S, DAY_S])
def test_what_the_clock_cannot_have_is_due_as_if_there_was_none(age_s: float | None) -> None:
    assert first_pause_s(age_s, DAY_S) == START_PAUSE_S


async def test_a_failure_is_one_line_is_told_by_health_and_is_tried_again(path: Path) -> None:
    days = Days(path, 0.0, 0.0, 0.0)
    days.folder.write_text("in the way")

    async def pause(seconds: float) -> None:
        if len(days.pauses_s) == 2:
            days.folder.unlink()
        await days.pause(seconds)

    with capture_logs() as logs, contextlib.suppress(OverError):
        await days.backups.keep_making(pause)
    assert days.pauses_s == [START_PAUSE_S, RETRY_S, RETRY_S, DAY_S]
    errors = ["" if health is None else health.error for health in days.told]
    assert errors[0] == errors[3] == ""
    assert all("backups" in error for error in errors[1:3])
    told = [(line["log_level"], line["event"]) for line in logs]
    assert told == [*[("error", "database not backed up")] * 2, ("info", "database backed up")]


async def test_a_damaged_database_pushes_no_good_backup_out(path: Path) -> None:
    days = Days(path, 0.0, 0.0, 0.0, 0.0, keep=1)
    await days.backups.make()
    good = days.names()
    content = bytearray(path.read_bytes())
    content[4096 * 6 : 4096 * 6 + 100] = b"\xff" * 100
    path.write_bytes(content)
    assert await days.pass_by() == good
    last = days.told[-1]
    assert last is not None
    assert "damaged" in last.error


async def test_a_database_that_cannot_even_be_opened_is_a_failure_like_any_other(tmp_path: Path) -> None:
    """Else the one task that makes backups would end, and nobody would be told."""
    days = Days(tmp_path / "botbridge.db", 0.0)
    (tmp_path / "botbridge.db").mkdir()
    assert await days.pass_by() == []
    assert days.pauses_s == [START_PAUSE_S, RETRY_S]
    last = days.told[-1]
    assert last is not None
    assert "cannot be opened" in last.error


async def test_the_last_room_on_the_disk_is_the_database_s(path: Path) -> None:
    size_bytes = path.stat().st_size
    assert want_of_room(size_bytes, 2 * size_bytes) == ""
    days = Days(path)
    days.free_bytes = 2 * size_bytes - 1
    with pytest.raises(StorageUnavailable, match="MB are free, and .* are needed"):
        await days.backups.make()
    assert days.names() == []


async def test_what_others_put_there_stays_and_what_a_death_left_goes(path: Path) -> None:
    days = Days(path, keep=1)
    days.folder.mkdir()
    others = ["botbridge-0003-20261128T121459000000.db", "mine.db", "other-timed-000001-20261125T121000Z.db"]
    for name in (*others, "botbridge-timed-000001-20261125T000000Z.db.part"):
        (days.folder / name).write_bytes(b"x")
    await days.backups.make()
    await days.backups.make()
    assert days.names() == sorted([*others, "botbridge-timed-000002-20261125T120000Z.db"])


async def test_a_stop_does_not_wait_for_a_backup_and_leaves_none(path: Path) -> None:
    days, reached, go_on = Days(path), asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def wait_here(_folder: Path) -> int:
        loop.call_soon_threadsafe(reached.set)
        go_on.wait()
        return 10**12

    backups = TimedBackups(path, days.folder, every_s=DAY_S, keep=1, free_bytes=wait_here)
    making = asyncio.create_task(backups.make())
    await reached.wait()
    making.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await making
    assert days.names() == []


async def test_writes_between_the_steps_of_a_copy_do_not_begin_it_anew(database: Database, tmp_path: Path) -> None:
    """A busy bot would never get a backup otherwise, and what was copied would be of many moments."""
    ignore = SqlInbox(database).ignore
    page_bytes = 4096
    for number in range(3):
        await ignore(PRIVATE, MessageId(str(number)), b"{" * (STEP_PAGES * page_bytes), "malformed")
    written = 0

    def write() -> bool:
        nonlocal written
        with closing(sqlite3.connect(database.path)) as connection:
            connection.execute("PRAGMA wal_autocheckpoint=0")
            connection.execute("INSERT INTO state VALUES (?, '', '2026-11-25 12:00:00')", (f"during-{written}",))
            connection.commit()
        written += 1
        if written > 50:
            raise OverError
        return False

    copy_verified(database.path, tmp_path / "copy.db", write)
    assert written >= 3
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("SELECT count(*) FROM state").fetchone() == (0,)
        assert copy.execute("SELECT count(*) FROM inbox").fetchone() == (3,)


async def test_who_is_forgotten_is_in_no_timed_backup_any_more(database: Database) -> None:
    """Not a byte; and the words of the others are still there."""
    days = Days(database.path)
    people = SqlPeople(database, days.backups)
    await fill(database)
    await days.backups.make()
    await days.backups.make()
    files = list(days.folder.glob("*.db"))
    assert all(CANARY.encode() in file.read_bytes() for file in files)
    await people.forget(PRIVATE.platform, AISHA.user_id)
    assert sorted(days.folder.glob("*")) == sorted(files)
    for file in files:
        assert CANARY.encode() not in file.read_bytes()
        assert b"kept" in file.read_bytes()
        assert file.stat().st_mode & 0o777 == 0o600
        assert await check(file) == Checkup(None, "0004", "0004")
    restarted = Days(database.path, wall_s=LONG_AGO_S + 3600)
    await restarted.pass_by()
    assert restarted.pauses_s == [DAY_S - 3600]


@pytest.mark.parametrize("harm", ["header", "page", "schema"])
async def test_a_backup_from_which_nobody_can_be_erased_is_removed(database: Database, harm: str) -> None:
    days = Days(database.path)
    await days.backups.make()
    (file,) = days.folder.glob("*.db")
    if harm == "schema":
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '0003'")
            connection.commit()
    else:
        content = bytearray(file.read_bytes())
        offset = 0 if harm == "header" else 4096 * 6
        content[offset : offset + 100] = b"\xff" * 100
        file.write_bytes(content)
    await days.backups.make()
    with capture_logs() as logs:
        await SqlPeople(database, days.backups).forget(PRIVATE.platform, UserId("1"))
    assert days.names() == ["botbridge-timed-000002-20261125T120000Z.db"]
    assert [line["log_level"] for line in logs] == ["warning"]


async def test_a_backup_that_cannot_be_changed_now_is_told_of_and_kept(database: Database) -> None:
    """Somebody who repeats the command later is forgotten there, too."""
    days = Days(database.path)
    await days.backups.make()
    (file,) = days.folder.glob("*.db")
    with closing(sqlite3.connect(file)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match=r"timed-000001.*write lock"):
            await SqlPeople(database, days.backups).forget(PRIVATE.platform, AISHA.user_id)
    assert file.exists()
    await SqlPeople(database, days.backups).forget(PRIVATE.platform, AISHA.user_id)


async def test_a_failure_that_nobody_foresaw_is_told_and_the_next_backup_is_made(path: Path) -> None:
    days = Days(path, *[0.0] * 3)
    made, fail, days.free_bytes = asyncio.Event(), [LookupError("a bug")], 10**12

    def free_bytes(_folder: Path) -> int:
        if fail:
            raise fail.pop()
        return days.free_bytes

    backups = TimedBackups(path, days.folder, every_s=DAY_S, keep=3, free_bytes=free_bytes)
    told: list[BackupHealth | None] = []

    async def pause(_seconds: float) -> None:
        told.append(backups.health())
        if len(told) > 3:
            made.set()
            await asyncio.Event().wait()

    with capture_logs() as logs:
        async with backups.made_by_themselves(pause):
            await asyncio.wait_for(made.wait(), timeout=10)
    assert len(days.names()) == 1
    assert [health.error for health in told if health is not None] == ["", "a bug", "a bug", ""]
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["unforeseen failure, it is begun again"]


@pytest.mark.parametrize(("every_h", "is_on"), [("0", False), (None, True)], ids=["off", "default"])
async def test_they_are_made_as_long_as_the_storage_is_open(
    tmp_path: Path, every_h: str | None, *, is_on: bool
) -> None:
    storage = sql_storage(load_settings({"HOME": str(tmp_path), "BACKUP__EVERY_H": every_h}))
    async with storage.opened():
        await asyncio.sleep(0)
        running = {task.get_name() for task in asyncio.all_tasks()}
    assert ("backups" in running) is is_on
    assert (storage.backup_health() is not None) is is_on
    assert "backups" not in {task.get_name() for task in asyncio.all_tasks()}
