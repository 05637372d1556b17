"""One thread writes: order, shared commits, failures that stay alone, callers that go away."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, func, insert, select, update

from botbridge.errors import StorageError, StorageUnavailable
from botbridge.faults import Boundary
from botbridge.storage.database import Database
from botbridge.storage.engines import writer_engine
from botbridge.storage.state import SqlState
from botbridge.storage.tables import state
from botbridge.storage.writer import Work, Writer


def put(name: str) -> Work[None]:
    """Return the work that stores a fact; the same name twice fails."""

    def work(connection: Connection) -> None:
        connection.execute(insert(state).values(name=name, value=""))

    return work


def names(connection: Connection) -> list[str]:
    """Return the names of all facts."""
    return sorted(connection.scalars(select(state.c.name)))


@asynccontextmanager
async def counted_writer(path: Path) -> AsyncIterator[tuple[Writer, list[str]]]:
    """Yield a running writer, and a list that grows by one at each commit."""
    engine = writer_engine(path, busy_timeout_s=0.1)
    commits: list[str] = []
    event.listen(engine, "commit", lambda _connection: commits.append("commit"))
    thread = ThreadPoolExecutor(1)
    writer = Writer(engine, path, thread)
    yield writer, commits
    await writer.close()
    thread.shutdown()
    engine.dispose()


async def test_writes_that_wait_together_share_a_commit(path: Path) -> None:
    async with counted_writer(path) as (writer, commits):
        await asyncio.gather(*(writer.write(put(str(number))) for number in range(100)))
        assert len(commits) == 1


async def test_a_caller_is_released_only_after_the_commit(path: Path) -> None:
    async with counted_writer(path) as (writer, commits):
        for number in range(3):
            await writer.write(put(str(number)))
            assert len(commits) == number + 1


async def test_a_write_that_fails_fails_alone(database: Database) -> None:
    """Each caller gets its own result or its own error, of the database or not."""

    def raise_lookup(connection: Connection) -> None:
        put("half")(connection)
        raise LookupError

    results = await asyncio.gather(
        *(database.write(work, at=Boundary.STATE) for work in (put("a"), put("a"), raise_lookup, put("b"))),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [type(None), StorageError, LookupError, type(None)]
    assert await database.read(names) == ["a", "b"]


async def test_writes_happen_in_the_order_of_the_calls(database: Database) -> None:
    seen: list[int] = []

    def note(number: int) -> Work[None]:
        def work(_connection: Connection) -> None:
            seen.append(number)

        return work

    await asyncio.gather(*(database.write(note(number), at=Boundary.STATE) for number in range(300)))
    assert seen == list(range(300))


async def test_a_read_sees_what_was_written_before_it(database: Database) -> None:
    for number in range(20):
        await database.write(put(str(number)), at=Boundary.STATE)
        count = await database.read(lambda connection: connection.scalar(select(func.count()).select_from(state)))
        assert count == number + 1


async def test_a_read_cannot_write(database: Database) -> None:
    with pytest.raises(StorageUnavailable, match="read-only"):
        await database.read(put("a"))


@pytest.mark.parametrize("steps", range(12))
async def test_a_cancelled_caller_strands_nothing(database: Database, steps: int) -> None:
    """Wherever it is cancelled, the write is whole and the next one goes through."""

    def two(connection: Connection) -> None:
        put("one")(connection)
        put("two")(connection)

    caller = asyncio.create_task(database.write(two, at=Boundary.STATE))
    for _ in range(steps):
        await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await database.write(put("next"), at=Boundary.STATE)
    # Cancelled before it ever ran, the call asked for nothing.
    assert await database.read(names) == (["next"] if steps == 0 else ["next", "one", "two"])


async def test_a_cancelled_caller_in_mid_transaction_strands_nothing(database: Database) -> None:
    """Between two statements of the work the write lock is held; whoever shares the transaction gets an answer."""
    reached, go_on = threading.Event(), threading.Event()

    def work(connection: Connection) -> None:
        put("one")(connection)
        reached.set()
        go_on.wait()
        put("two")(connection)

    caller = asyncio.create_task(database.write(work, at=Boundary.STATE))
    beside = asyncio.create_task(database.write(put("beside"), at=Boundary.STATE))
    await asyncio.to_thread(reached.wait)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    go_on.set()
    async with asyncio.timeout(10):
        await beside
    await database.write(put("next"), at=Boundary.STATE)
    assert await database.read(names) == ["beside", "next", "one", "two"]


async def test_a_cancelled_read_gives_its_connection_back(path: Path) -> None:
    async with Database(path, reader_connections=1) as database:
        started, go_on = threading.Event(), threading.Event()

        def hang(connection: Connection) -> None:
            names(connection)
            started.set()
            go_on.wait()

        reader = asyncio.create_task(database.read(hang))
        await asyncio.to_thread(started.wait)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        go_on.set()
        assert await database.read(names) == []


async def test_closing_finishes_what_was_asked_for(path: Path) -> None:
    async with Database(path) as database:
        writes = [asyncio.create_task(database.write(put(str(number)), at=Boundary.STATE)) for number in range(300)]
        await asyncio.sleep(0)
    await asyncio.gather(*writes)
    async with Database(path) as database:
        assert len(await database.read(names)) == 300


async def test_a_closed_database_takes_no_writes(path: Path) -> None:
    async with Database(path) as database:
        pass
    with pytest.raises(StorageUnavailable, match="closed"):
        await database.write(put("a"), at=Boundary.STATE)


async def test_when_its_closing_is_cancelled_nobody_waits_for_ever(path: Path) -> None:
    """The write that is under way comes to its end, for nothing stops a thread; those behind it are not stored."""
    engine = writer_engine(path, busy_timeout_s=0.1)
    thread = ThreadPoolExecutor(1)
    writer = Writer(engine, path, thread)
    started, go_on = threading.Event(), threading.Event()

    def hang(connection: Connection) -> None:
        put("one")(connection)
        started.set()
        go_on.wait()

    running = asyncio.create_task(writer.write(hang))
    await asyncio.to_thread(started.wait)
    waiting = asyncio.create_task(writer.write(put("two")))
    closing = asyncio.create_task(writer.close())
    await asyncio.sleep(0)
    closing.cancel()
    results = await asyncio.gather(waiting, closing, return_exceptions=True)
    assert [type(result) for result in results] == [StorageUnavailable, asyncio.CancelledError]
    go_on.set()
    await running
    thread.shutdown()
    engine.dispose()
    async with Database(path) as database:
        assert await database.read(names) == ["one"]


async def test_a_work_that_ends_the_transaction_itself_acknowledges_nothing(database: Database) -> None:
    """What SQLite does on a full disk, a faulty work does here: the others must not be told they are stored."""

    def roll_back(connection: Connection) -> None:
        connection.exec_driver_sql("ROLLBACK")

    results = await asyncio.gather(
        *(database.write(work, at=Boundary.STATE) for work in (put("a"), roll_back, put("b"))), return_exceptions=True
    )
    assert {type(result) for result in results} <= {StorageUnavailable, StorageError}
    assert await database.read(names) == []
    await database.write(put("c"), at=Boundary.STATE)
    assert await database.read(names) == ["c"]


@pytest.mark.parametrize("rounds", [30, pytest.param(1000, marks=pytest.mark.slow)])
async def test_two_who_read_and_then_write_never_refuse_one_another(path: Path, rounds: int) -> None:
    """A transaction that takes the write lock late fails when somebody else wrote since it read: busy snapshot."""

    async def count_up(database: Database) -> None:
        def work(connection: Connection) -> None:
            value = connection.scalars(select(state.c.value).where(state.c.name == "count")).one()
            change = update(state).where(state.c.name == "count").values(value=str(int(value) + 1))
            connection.execute(change)

        for _ in range(rounds):
            await database.write(work, at=Boundary.STATE)

    async with Database(path, busy_timeout_s=30) as one, Database(path, busy_timeout_s=30) as other:
        await SqlState(one).put("count", "0")
        await asyncio.gather(count_up(one), count_up(other))
        assert await SqlState(one).get("count") == str(2 * rounds)
