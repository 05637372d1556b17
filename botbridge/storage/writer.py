"""The one task that writes.

Covered: writes happen in the order in which they were asked for; those that
wait at the same moment share one commit, and so one flush of the disk; a write
that fails takes no other with it; a caller is released only after the commit; a
caller that is cancelled leaves no transaction behind, its write is carried out
all the same.

Not covered: trying again. A write that failed with `StorageUnavailable` left
nothing, and whether it is worth another try is the caller's to say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from botbridge.errors import StorageError, StorageUnavailable
from botbridge.storage.failures import translated

T = TypeVar("T")
Work = Callable[[AsyncConnection], Awaitable[T]]

# Bounds how long the first of a batch waits for the last.
_BATCH_LIMIT = 128


@dataclass(frozen=True, slots=True)
class _Job:
    work: Work[object]
    done: asyncio.Future[object]


@dataclass(frozen=True, slots=True)
class _Attempt:
    value: object = None
    error: Exception | None = None


class Writer:
    """Carries out writes, one after the other, many in one commit."""

    def __init__(self, engine: AsyncEngine, path: Path) -> None:
        self._engine = engine
        self._path = path
        self._queue: asyncio.Queue[_Job | None] = asyncio.Queue()
        self._closed = False

    async def write(self, work: Work[T]) -> T:
        """Run a piece of work in a transaction and return its result once that is committed.

        Raises:
            StorageError: the database failed; nothing of the work is stored.
            Exception: whatever the work raises; nothing of it is stored.

        Cancellation: the work is carried out all the same.
        """
        if self._closed:
            raise self._unavailable("it is closed")
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(_Job(work, done))  # type: ignore[arg-type]  # A future takes what its work returns.
        return await done

    async def run(self) -> None:
        """Write until closed; what was asked for before `close` is still done."""
        try:
            while batch := await self._next_batch():
                await self._commit(batch)
        finally:
            # Reached without `close` only when the task is cancelled: nobody may wait for ever.
            self._closed = True
            while not self._queue.empty():
                if (job := self._queue.get_nowait()) is not None:
                    _settle(job, _Attempt(error=self._unavailable("it was closed before this was written")))

    def close(self) -> None:
        """Take no more work; `run` returns when all is done."""
        self._closed = True
        self._queue.put_nowait(None)

    async def _next_batch(self) -> list[_Job]:
        """Return all jobs that wait now, at least one; none at the end."""
        batch: list[_Job] = []
        while not batch or (len(batch) < _BATCH_LIMIT and not self._queue.empty()):
            job = await self._queue.get()
            if job is None:
                if batch:
                    self._queue.put_nowait(None)
                break
            batch.append(job)
        return batch

    async def _commit(self, batch: list[_Job]) -> None:
        attempts = [_Attempt(error=self._unavailable("it was closed while this was written"))] * len(batch)
        try:
            with translated(self._path):
                async with self._engine.begin() as connection:
                    done = [await self._attempt(connection, job) for job in batch]
            attempts = done
        except StorageError as error:
            attempts = [_Attempt(error=error)] * len(batch)
        finally:
            for job, attempt in zip(batch, attempts, strict=True):
                _settle(job, attempt)

    async def _attempt(self, connection: AsyncConnection, job: _Job) -> _Attempt:
        """Run one job inside a savepoint.

        Raises:
            StorageError: the transaction is gone and with it the whole batch.
        """
        try:
            with translated(self._path):
                async with connection.begin_nested():
                    attempt = _Attempt(await job.work(connection))
        except Exception as error:  # noqa: BLE001 - the worker loop of the writes: each caller gets its own error.
            attempt = _Attempt(error=error)
        # A full disk or a failed read can make SQLite roll everything back by itself; each further
        # statement would then commit alone, and jobs that are gone would be reported as written.
        # Source: https://www.sqlite.org/lang_transaction.html#response_to_errors_within_a_transaction
        raw = await connection.get_raw_connection()
        if not raw.driver_connection.in_transaction:  # type: ignore[union-attr]  # aiosqlite's connection.
            if isinstance(attempt.error, StorageError):
                raise attempt.error
            raise self._unavailable("SQLite gave the transaction up") from attempt.error
        return attempt

    def _unavailable(self, why: str) -> StorageUnavailable:
        return StorageUnavailable(f"database {self._path}: {why}")


def _settle(job: _Job, attempt: _Attempt) -> None:
    # A caller that was cancelled took its future with it; the work ran in the writer's task and is done.
    if job.done.done():
        return
    if attempt.error is None:
        job.done.set_result(attempt.value)
    else:
        job.done.set_exception(attempt.error)
