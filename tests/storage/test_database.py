"""How the file is opened, and what happens when it cannot be used."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, insert, select, update

from botbridge.errors import StorageError, StorageUnavailable
from botbridge.faults import Boundary
from botbridge.messages import AuditEntry, MessageId, Part, PartState
from botbridge.storage.audit import SqlAudit
from botbridge.storage.database import Database
from botbridge.storage.engines import sqlite_note
from botbridge.storage.inbox import SqlInbox
from botbridge.storage.outbox import SqlOutbox
from botbridge.storage.state import SqlState
from botbridge.storage.tables import audit, outbox, state
from tests.contracts.examples import AISHA_ALONE, answered, message


def mode(path: Path) -> int:
    """Return who may do what with a file."""
    return path.stat().st_mode & 0o777


def pragmas(connection: Connection) -> dict[str, object]:
    """Return the pragmas that we set."""
    wanted = ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "busy_timeout", "query_only")
    return {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in wanted}


async def test_the_writer_flushes_each_commit(database: Database) -> None:
    """Synchronous FULL is 2; a commit in WAL mode then survives a power cut."""
    assert await database.write(pragmas, at=Boundary.STATE) == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "secure_delete": 1,
        "busy_timeout": 100,
        "query_only": 0,
    }


def is_flushed(connection: Connection) -> bool:
    """Return whether the transaction is flushed when it is committed; NORMAL is 1."""
    return connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2


async def test_a_write_that_can_bear_a_power_cut_is_flushed_with_the_next_that_cannot(database: Database) -> None:
    """Both by being in one transaction with it, and because a flush takes all that was written before along."""
    assert not await database.write(is_flushed, at=Boundary.STATE, flush=False)
    together = await asyncio.gather(
        database.write(is_flushed, at=Boundary.STATE, flush=False), database.write(is_flushed, at=Boundary.STATE)
    )
    assert together == [True, True]
    assert not await database.write(is_flushed, at=Boundary.STATE, flush=False)
    assert await database.write(is_flushed, at=Boundary.STATE)


async def test_a_write_that_is_done_again_alone_is_flushed_as_it_was_asked_for(database: Database) -> None:
    def fail(_connection: Connection) -> bool:
        raise LookupError

    results = await asyncio.gather(
        database.write(fail, at=Boundary.STATE, flush=False),
        database.write(is_flushed, at=Boundary.STATE),
        return_exceptions=True,
    )
    assert [type(results[0]), results[1]] == [LookupError, True]


class Looking:
    """Looks, from a connection of its own, at what is committed on each side of a boundary."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.seen: list[tuple[str, Boundary, int]] = []

    def before(self, boundary: Boundary) -> None:
        self.seen.append(("before", boundary, self._facts()))

    def after(self, boundary: Boundary) -> None:
        self.seen.append(("after", boundary, self._facts()))

    def _facts(self) -> int:
        with closing(sqlite3.connect(self._path)) as other:
            return int(other.execute("SELECT count(*) FROM state").fetchone()[0])


async def test_a_fault_can_fall_while_a_write_is_open_and_when_it_is_committed(path: Path) -> None:
    faults = Looking(path)
    async with Database(path, faults=faults) as database:
        await SqlState(database).put("a", "b")
    assert faults.seen == [("before", Boundary.STATE, 0), ("after", Boundary.STATE, 1)]


async def test_before_anybody_is_told_anything_all_that_it_hangs_on_is_flushed(database: Database) -> None:
    """The acknowledgement of a message, the sending of a status message and of a reply, and what became of them."""
    inbox, sent = SqlInbox(database), SqlOutbox(database)
    flushed: list[bool] = []

    def listen(connection: Connection) -> None:
        event.listen(connection.engine, "commit", lambda connection: flushed.append(is_flushed(connection)))

    await database.write(listen, at=Boundary.STATE, flush=False)
    row = await inbox.accept(message(), AISHA_ALONE)
    assert row is not None
    await inbox.queued(row.id)
    await inbox.running(row.id)
    status = await sent.open_status(row.id, row.incoming.address, Part("wait"))
    await sent.status_sent(status.id, MessageId("7"))
    parts = await inbox.finish(row.id, answered("hello", "hi"))
    assert parts is not None
    await sent.mark(parts[0].id, PartState.SENDING)
    await sent.mark(parts[0].id, PartState.SENT, message_id=MessageId("8"))
    assert flushed == [False, True, False, False, True, True, False, True, True]


async def test_readers_neither_write_nor_checkpoint(database: Database) -> None:
    found = await database.read(pragmas)
    assert (found["query_only"], found["journal_mode"]) == (1, "wal")
    limit = await database.read(lambda connection: connection.exec_driver_sql("PRAGMA wal_autocheckpoint"))
    assert limit.scalar() == 0


async def test_every_file_is_its_owners_alone(tmp_path: Path, path: Path) -> None:
    path.chmod(0o644)
    async with Database(path) as database:
        await SqlState(database).put("a", "b")
        files = {file.name: mode(file) for file in tmp_path.glob("botbridge.db*")}
    assert files == {"botbridge.db": 0o600, "botbridge.db-wal": 0o600, "botbridge.db-shm": 0o600}


async def test_a_clean_end_leaves_one_file(tmp_path: Path, path: Path) -> None:
    async with Database(path) as database:
        await SqlState(database).put("a", "b")
    assert [file.name for file in tmp_path.glob("botbridge.db*")] == ["botbridge.db"]


async def test_another_process_holding_the_lock_delays_and_then_fails_a_write(database: Database) -> None:
    """Nothing is acknowledged, reads go on, and later writes go through."""
    inbox = SqlInbox(database)
    with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageUnavailable, match="another process holds its write lock"):
            await inbox.accept(message(), AISHA_ALONE)
        assert await inbox.unfinished() == []
    row = await inbox.accept(message(), AISHA_ALONE)
    assert await inbox.unfinished() == [row]


async def test_a_lock_that_is_given_back_in_time_only_delays(path: Path) -> None:
    async with Database(path, busy_timeout_s=30) as database:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            write = asyncio.create_task(SqlState(database).put("a", "b"))
            assert await SqlState(database).get("a") is None
            other.execute("ROLLBACK")
            await write
        assert await SqlState(database).get("a") == "b"


async def test_a_write_takes_the_lock_before_it_reads(database: Database) -> None:
    """Taken at the first write, the lock is refused at once when another process wrote since the read."""

    def look(connection: Connection) -> str:
        connection.execute(select(state))
        with closing(sqlite3.connect(database.path, timeout=0)) as other:
            try:
                other.execute("DELETE FROM state")
            except sqlite3.OperationalError as error:
                return str(error)
        return "somebody else has written"

    assert await database.write(look, at=Boundary.STATE) == "database is locked"


async def test_a_full_disk_refuses_and_the_work_goes_on_when_there_is_room(database: Database) -> None:
    """What was acknowledged before stays, what was not is not there."""
    inbox = SqlInbox(database)
    kept = await inbox.accept(message("kept"), AISHA_ALONE)

    async def limit_pages(pages: int) -> None:
        await database.write(
            lambda connection: connection.exec_driver_sql(f"PRAGMA max_page_count={pages}"), at=Boundary.STATE
        )

    await limit_pages(1)  # SQLite raises it to the present size: not a page more.
    results = await asyncio.gather(
        *(inbox.accept(message(str(number), "x" * 10_000), AISHA_ALONE) for number in range(5)),
        return_exceptions=True,
    )
    assert {type(result) for result in results} == {StorageUnavailable}
    assert "no space" in str(results[0])
    assert await inbox.unfinished() == [kept]
    await limit_pages(10_000)
    assert await inbox.accept(message("later", "x" * 10_000), AISHA_ALONE) is not None


async def test_the_audit_is_never_changed(database: Database) -> None:
    await SqlAudit(database).record(AuditEntry("1", "reset", "2", allowed=True))
    replaced = (
        insert(audit)
        .prefix_with("OR REPLACE")
        .values(id=1, actor="1", action="reset", subject="2", allowed=False, reason="")
    )
    for act in (update(audit).values(allowed=False), audit.delete(), replaced):
        with pytest.raises(StorageError, match="never changed"):
            await database.write(lambda connection, act=act: connection.execute(act), at=Boundary.STATE)
    stored = await database.read(lambda connection: connection.scalars(select(audit.c.allowed)))
    assert list(stored) == [True]


async def test_references_are_enforced(database: Database) -> None:
    orphan = insert(outbox).values(inbox_id=99, is_status=False, address="{}", text="", markup="", state="pending")
    with pytest.raises(StorageError, match="FOREIGN KEY"):
        await database.write(lambda connection: connection.execute(orphan), at=Boundary.STATE)


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match="its folder does not exist; create .*nowhere"):
        async with Database(tmp_path / "nowhere" / "botbridge.db"):
            pass


async def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match="directory"):
        async with Database(tmp_path):
            pass


async def test_a_damaged_header_is_refused_and_the_file_left_as_it_is(path: Path) -> None:
    damaged = b"\xff" * 100 + path.read_bytes()[100:]
    path.write_bytes(damaged)
    with pytest.raises(StorageUnavailable, match=r"botbridge\.db: it is damaged .* puts a backup in its place"):
        async with Database(path):
            pass
    assert path.read_bytes() == damaged


async def test_an_emptied_file_beside_a_log_is_not_begun_anew(tmp_path: Path) -> None:
    """Its content may still be in the log: starting afresh would throw it away."""
    (tmp_path / "botbridge.db").touch()
    (tmp_path / "botbridge.db-wal").write_bytes(b"frames")
    with pytest.raises(StorageUnavailable, match="botbridge.db-wal is not"):
        async with Database(tmp_path / "botbridge.db"):
            pass
    assert (tmp_path / "botbridge.db-wal").read_bytes() == b"frames"


async def test_a_database_that_did_not_open_leaves_no_thread_and_no_task(path: Path) -> None:
    path.write_bytes(b"no database at all, but long enough to be looked at" * 100)
    tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
    with pytest.raises(StorageUnavailable):
        async with Database(path):
            pass
    assert asyncio.all_tasks() == tasks
    for thread in set(threading.enumerate()) - threads:
        thread.join(timeout=5)
        assert not thread.is_alive()


@pytest.mark.parametrize(
    ("version", "is_noted"), [((3, 40, 1), True), ((3, 51, 2), True), ((3, 51, 3), False), ((4, 0, 0), False)]
)
def test_an_sqlite_with_the_wal_reset_bug_is_noted(version: tuple[int, ...], is_noted: bool) -> None:
    note = sqlite_note(version)
    assert (note is not None) == is_noted
    assert note is None or note.startswith(f"SQLite {'.'.join(map(str, version))} can damage")


async def test_times_without_a_zone_are_refused(database: Database) -> None:
    naive = insert(state).values(name="a", value="", updated_at=datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(StorageError, match="without zone"):
        await database.write(lambda connection: connection.execute(naive), at=Boundary.STATE)
