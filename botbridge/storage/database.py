"""The database while it is open: reads side by side, writes through one thread."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import Connection

from botbridge.errors import StorageUnavailable
from botbridge.faults import NO_FAULTS, Boundary, Faults, crossing
from botbridge.storage.engines import driver_connection, reader_engine, writer_engine
from botbridge.storage.failures import translated
from botbridge.storage.files import make_private
from botbridge.storage.writer import T, Work, Writer


class Database:
    """An open SQLite file; enter it before use, from one event loop.

    It neither locks nor migrates: hold `lock.DatabaseLock` and call
    `migrate.upgrade` first.
    """

    def __init__(
        self, path: Path, *, busy_timeout_s: float = 5.0, reader_connections: int = 4, faults: Faults = NO_FAULTS
    ) -> None:
        """Note how to open it.

        Args:
            path: The file; created, readable by its owner alone, if there is none.
            busy_timeout_s: How long a write waits for another process's lock.
            reader_connections: How many reads may run side by side; more wait.
            faults: What happens before and after each write.
        """
        self.path = path
        self._faults = faults
        self._writing = writer_engine(path, busy_timeout_s)
        self._reading = reader_engine(path, busy_timeout_s, reader_connections)
        # Statements wait for the disk and for locks, so none runs in the thread of the event loop.
        self._writing_thread = ThreadPoolExecutor(1, "storage-writer")
        self._reading_threads = ThreadPoolExecutor(reader_connections, "storage-reader")
        self._writer = Writer(self._writing, path, self._writing_thread)
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Open it.

        Raises:
            StorageUnavailable: it cannot be opened and written; the sentence says what to do.
        """
        async with AsyncExitStack() as stack:
            make_private(self.path)
            # Closed last: the last connection to close writes the log back and removes it.
            stack.callback(self._close)
            await asyncio.get_running_loop().run_in_executor(self._writing_thread, self._try_to_write)
            stack.push_async_callback(self._writer.close)
            self._open = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Finish the writes that were asked for, then close."""
        await self._open.aclose()

    async def write(self, work: Work[T], *, at: Boundary, flush: bool = True) -> T:
        """Run a piece of work in a write transaction; return its result once that is committed.

        Writes happen in the order of the calls. The work may run beside others
        in one transaction and be tried twice, so it must not commit or roll back
        itself, nor change anything but the database.

        Args:
            work: What to do.
            at: What the commit is called where `Faults` are told of it.
            flush: Whether it outlives a power cut when this returns, with all
                that was written before. False where nobody is told of it before
                a later write that is flushed; the process may die all the same.

        Raises:
            StorageUnavailable: locked by another process beyond the busy
                timeout, full, read-only or damaged; nothing is stored.

        Cancellation: the work is carried out all the same.
        """

        def named(connection: Connection) -> T:
            value = work(connection)
            self._faults.before(at)
            return value

        value = await self._writer.write(named, flush=flush)
        self._faults.after(at)
        return value

    async def read(self, work: Work[T]) -> T:
        """Run a piece of work on a snapshot of what is committed.

        Raises:
            StorageUnavailable: the file cannot be read.
        """
        return await asyncio.get_running_loop().run_in_executor(self._reading_threads, self._read, work)

    async def scrub(self) -> None:
        """Leave no byte on the disk of what was deleted or overwritten before.

        `secure_delete` overwrites what is freed, but not what SQLite left behind
        in the gaps of a page when it moved rows; so the whole file is written
        anew, which takes about a second for each 100 MB and as much free space,
        then the log is cut to nothing. Writes wait meanwhile.

        Raises:
            StorageUnavailable: no space, or somebody reads an older state, which
                keeps the log; try again.
        """
        with crossing(self._faults, Boundary.SCRUB):
            await asyncio.get_running_loop().run_in_executor(self._writing_thread, self._scrub)

    def _read(self, work: Work[T]) -> T:
        with translated(self.path), self._reading.begin() as connection:
            return work(connection)

    def _try_to_write(self) -> None:
        with translated(self.path), self._writing.begin():
            pass

    def _scrub(self) -> None:
        """Run between two transactions, because it has the writer's thread; it begins none."""
        with translated(self.path), self._writing.connect() as connection:
            driver = driver_connection(connection)
            driver.execute("VACUUM")
            ((is_busy, *_),) = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if is_busy:
            message = f"database {self.path}: its log is being read and could not be cut; try again"
            raise StorageUnavailable(message)

    def _close(self) -> None:
        self._reading_threads.shutdown()
        self._writing_thread.shutdown()
        self._reading.dispose()
        self._writing.dispose()
