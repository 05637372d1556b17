"""The one thread that writes.

Covered: writes happen in the order in which they were asked for; those that
wait at the same moment share one commit, and so one flush of the disk; a write
that fails takes no other with it; a caller is released only after the commit; a
caller that is cancelled leaves no transaction behind, its write is carried out
all the same; a commit is flushed to the disk unless all who share it can bear
that a power cut, not the death of the process, undoes it together with all that
was written later.

Not covered: trying again. A write that failed with `StorageUnavailable` left
nothing, and whether it is worth another try is the caller's to say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine

from botbridge.errors import StorageUnavailable
from botbridge.storage.engines import driver_connection
from botbridge.storage.failures import translated
from botbridge.storage.log_size import LogSize

T = TypeVar("T")
Work = Callable[[Connection], T]

# Bounds how long the first of a batch waits for the last.
_BATCH_LIMIT = 128


@dataclass(frozen=True, slots=True)
class _Job:
    work: Work[object]
    done: asyncio.Future[object]
    flush: bool


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What came of a piece of work: a value that is committed, or an error and nothing stored."""

    value: object = None
    error: Exception | None = None


class Writer:
    """Carries out writes, one after the other, many in one commit."""

    def __init__(self, engine: Engine, path: Path, thread: Executor) -> None:
        self._engine = engine
        self._path = path
        self._thread = thread
        self._waiting: list[_Job] = []
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False
        self._log_size = LogSize(path)

    async def write(self, work: Work[T], *, flush: bool = True) -> T:
        """Run a piece of work in a transaction and return its result once that is committed.

        Args:
            work: What to do; it may be done twice.
            flush: As `Database.write` says.

        Raises:
            StorageError: the database failed; nothing of the work is stored.
            Exception: whatever the work raises; nothing of it is stored.

        Cancellation: the work is carried out all the same.
        """
        if self._closed:
            raise _unavailable(self._path, "it is closed")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._waiting.append(_Job(work, done, flush))  # type: ignore[arg-type]  # A future takes what its work returns.
        if self._idle.is_set():
            self._idle.clear()
            # Not at once: whoever else writes in this turn of the event loop shares the commit.
            loop.call_soon(self._begin)
        return await done

    async def close(self) -> None:
        """Take no more work; returns when what was asked for is done.

        Cancellation: what is not begun is not done, and fails.
        """
        self._closed = True
        try:
            await self._idle.wait()
        finally:
            while self._waiting:
                closed = _unavailable(self._path, "it was closed before this was written")
                _settle(self._waiting.pop(), _Attempt(error=closed))

    def _begin(self) -> None:
        """Hand to the thread what waits, and come back when that is done."""
        batch, self._waiting = self._waiting[:_BATCH_LIMIT], self._waiting[_BATCH_LIMIT:]
        if batch:
            self._thread.submit(self._carry_out, asyncio.get_running_loop(), batch)
        else:
            self._idle.set()

    def _carry_out(self, loop: asyncio.AbstractEventLoop, batch: Sequence[_Job]) -> None:
        """Run in the thread."""
        works, flush = [job.work for job in batch], any(job.flush for job in batch)
        attempts = _attempts(self._engine, self._path, works, flush=flush)
        loop.call_soon_threadsafe(self._carried, batch, attempts)

    def _carried(self, batch: Sequence[_Job], attempts: Sequence[_Attempt]) -> None:
        self._begin()
        for job, attempt in zip(batch, attempts, strict=True):
            _settle(job, attempt)
        self._log_size.look()


def _attempts(engine: Engine, path: Path, works: Sequence[Work[object]], *, flush: bool) -> list[_Attempt]:
    """Do pieces of work in one transaction; when one of them fails, each in a transaction of its own.

    Returns:
        As many attempts as there are works. When the database itself fails, it
        fails for all of them: to wait for a lock again for each would take too long.
    """
    try:
        with translated(path), engine.connect() as connection:
            driver_connection(connection).execute(f"PRAGMA synchronous={'FULL' if flush else 'NORMAL'}")
            with connection.begin():
                return [_Attempt(_do(connection, path, work)) for work in works]
    except StorageUnavailable as error:
        return [_Attempt(error=error)] * len(works)
    except Exception as error:  # noqa: BLE001 - each caller gets its own error
        if len(works) == 1:
            return [_Attempt(error=error)]
    return [attempt for work in works for attempt in _attempts(engine, path, [work], flush=flush)]


def _do(connection: Connection, path: Path, work: Work[object]) -> object:
    value = work(connection)
    # A full disk or a failed read can make SQLite roll everything back by itself; each further
    # statement would then commit alone, and works that are gone would be reported as written.
    # Source: https://www.sqlite.org/lang_transaction.html#response_to_errors_within_a_transaction
    if not driver_connection(connection).in_transaction:
        raise _unavailable(path, "SQLite gave the transaction up")
    return value


def _unavailable(path: Path, why: str) -> StorageUnavailable:
    return StorageUnavailable(f"database {path}: {why}")


def _settle(job: _Job, attempt: _Attempt) -> None:
    # A caller that was cancelled took its future with it; the work ran in the writer's thread and is done.
    if job.done.done():
        return
    if attempt.error is None:
        job.done.set_result(attempt.value)
    else:
        job.done.set_exception(attempt.error)
