"""Backups that the service makes by itself, some of which it keeps.

Covered: each is copied, verified and named as `backup.copy_verified` does it,
by a thread and a connection of its own, so that no write and no answer waits;
how old the newest one is outlives a restart; the oldest go by their number,
whatever the clock says; a failure is logged, told by `health` and tried again;
what is forgotten is erased from them.

Not covered: the death of the disk that they lie on (copy them elsewhere), and
the backups that are made by command or before an upgrade: those are the
operator's.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import structlog

from botbridge.errors import StorageError, StorageUnavailable
from botbridge.health import BackupHealth
from botbridge.storage.backup import copy_verified
from botbridge.storage.engines import backup_engine, driver_connection
from botbridge.storage.failures import means_damage, translated
from botbridge.storage.files import unusable
from botbridge.storage.migrate import checkup
from botbridge.storage.writer import Work
from botbridge.tasks import beside

START_PAUSE_S = 600.0
"""A start is busy enough, and one that dies soon and often must not push the good backups out."""

RETRY_S = 3600.0
BUSY_TIMEOUT_S = 5.0
AT = "%Y%m%dT%H%M%S"

log = structlog.get_logger(__name__)


def first_pause_s(age_s: float | None, every_s: float) -> float:
    """Return after how long the first backup of a start is due, in seconds. Pure.

    Args:
        age_s: How long ago the newest one was made, by the wall clock; below 0
            when that was set back since, which counts as long ago. None: never.
        every_s: The pause between two.

    >>> first_pause_s(None, 86_400), first_pause_s(80_000, 86_400), first_pause_s(90_000, 86_400)
    (600.0, 6400.0, 600.0)
    """
    if age_s is None or age_s < 0:
        return START_PAUSE_S
    return float(max(START_PAUSE_S, every_s - age_s))


def want_of_room(size_bytes: int, free_bytes: int) -> str:
    """Return why a copy had better not be made, empty when there is room. Pure.

    As much as the database takes is left free: it grows, and to forget somebody it is written anew.
    """
    if free_bytes >= 2 * size_bytes:
        return ""
    return f"{free_bytes / 1e6:.0f} MB are free, and {2 * size_bytes / 1e6:.0f} MB are needed"


class TimedBackups:
    """The backups of one database, in one folder."""

    def __init__(
        self,
        source: Path,
        folder: Path,
        *,
        every_s: float,
        keep: int,
        wall_s: Callable[[], float] = time.time,
        steady_s: Callable[[], float] = time.monotonic,
        free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        """Note how they are made.

        Args:
            source: The database file.
            folder: Made where it is missing; other files in it are left alone.
            every_s: Seconds between two; 0 makes none, those of before are kept.
            keep: How many are kept, 1 or more.
            wall_s: Seconds since 1970, for names and for the age at a start.
            steady_s: Seconds of a clock that nobody can set.
            free_bytes: How much room there is.
        """
        self._source = source
        self._folder = folder
        self._every_s = every_s
        self._keep = keep
        self._wall_s = wall_s
        self._steady_s = steady_s
        self._free_bytes = free_bytes
        self._name = re.compile(rf"{re.escape(source.stem)}-timed-(\d+)-(\d{{8}}T\d{{6}}Z)\.db")
        self._one_at_a_time = asyncio.Lock()
        self._made_at_s: float | None = None
        self._error = ""

    def health(self) -> BackupHealth | None:
        """Tell how old the newest one is, and why there is no newer one; None when none are to be made."""
        if not self._every_s:
            return None
        age_s = None if self._made_at_s is None else self._steady_s() - self._made_at_s
        return BackupHealth(age_s, 2 * self._every_s + RETRY_S, self._error)

    @asynccontextmanager
    async def made_by_themselves(
        self, pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> AsyncIterator[None]:
        """Run `keep_making` as long as the block does."""
        async with beside(partial(self.keep_making, pause), "backups", pause=pause):
            yield

    async def keep_making(self, pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Make one whenever it is due, until cancelled; what nobody foresaw ends it, and is told by `health`.

        Args:
            pause: Returns after so many seconds.
        """
        if not self._every_s:
            return
        age_s = self._age_s()
        if age_s is not None:
            self._made_at_s = self._steady_s() - max(0.0, age_s)
        await pause(first_pause_s(age_s, self._every_s))
        while True:
            try:
                await self.make()
            except Exception as error:
                self._error = str(error) or type(error).__name__
                if not isinstance(error, StorageError):
                    raise
                log.error("database not backed up", error=self._error)
                await pause(min(RETRY_S, self._every_s))
            else:
                await pause(self._every_s)

    async def make(self) -> None:
        """Make one now, and remove those that are too many.

        Raises:
            StorageUnavailable: it could not be written or is not sound; those of before are kept.

        Cancellation: the copy is given up within milliseconds, and nothing of it is left.
        """
        async with self._one_at_a_time:
            is_cancelled = threading.Event()
            copying = asyncio.create_task(asyncio.to_thread(self._make, is_cancelled.is_set))
            try:
                made = await asyncio.shield(copying)
            except asyncio.CancelledError:
                is_cancelled.set()
                await asyncio.gather(copying, return_exceptions=True)
                raise
        self._made_at_s, self._error = self._steady_s(), ""
        log.info("database backed up", file=str(made))

    async def erase(self, work: Work[object]) -> None:
        """Do in each what was done in the database to forget somebody, and leave no byte of that in the file.

        One that is damaged or has another schema cannot be changed so; it is removed.

        Raises:
            StorageUnavailable: one of them cannot be written now, and still holds it; repeat it.
        """
        async with self._one_at_a_time:
            await asyncio.to_thread(self._erase, work)

    def _age_s(self) -> float | None:
        newest = max(self._numbered(), default=None)
        if newest is None:
            return None
        # By its name: the file's own time is also that of somebody being forgotten.
        made_at = self._name.fullmatch(newest[1].name)
        assert made_at is not None
        return self._wall_s() - datetime.strptime(made_at[2], f"{AT}%z").timestamp()

    def _numbered(self) -> Iterator[tuple[int, Path]]:
        for file in self._folder.glob("*"):
            if match := self._name.fullmatch(file.name):
                yield int(match[1]), file

    def _make(self, is_told_to_stop: Callable[[], bool]) -> Path:
        number = 1 + max((number for number, _ in self._numbered()), default=0)
        at = datetime.fromtimestamp(self._wall_s(), UTC)
        target = self._folder / f"{self._source.stem}-timed-{number:06}-{at:{AT}}Z.db"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # What a killed process left of its own has another time in its name, so nobody would overwrite it.
            for unfinished in self._folder.glob(f"{self._source.stem}-timed-*.part*"):
                unfinished.unlink()
            if want := want_of_room(self._size_bytes(), self._free_bytes(self._folder)):
                message = f"backup {target}: {want}; free some, or set BOTBRIDGE_BACKUP__KEEP lower"
                raise StorageUnavailable(message)
            with translated(self._source):
                copy_verified(self._source, target, is_told_to_stop)
            for _, old in sorted(self._numbered())[: -self._keep]:
                _remove(old)
        except OSError as error:
            raise unusable(target, error) from error
        return target

    def _size_bytes(self) -> int:
        log_file = self._source.with_name(self._source.name + "-wal")
        return self._source.stat().st_size + (log_file.stat().st_size if log_file.exists() else 0)

    def _erase(self, work: Work[object]) -> None:
        for _, file in sorted(self._numbered()):
            if _was_erased(file, work):
                continue
            try:
                _remove(file)
            except OSError as error:
                raise unusable(file, error) from error
            log.warning(
                "backup removed: it is damaged or of another schema, so nobody can be erased from it", file=str(file)
            )


def _was_erased(file: Path, work: Work[object]) -> bool:
    """Change one backup; False when it is damaged or has another schema."""
    engine = backup_engine(file, BUSY_TIMEOUT_S)
    try:
        found = checkup(file)
        if found.damage is not None or found.revision != found.head:
            return False
        with translated(file):
            with engine.begin() as connection:
                work(connection)
            with engine.connect() as connection:
                driver_connection(connection).execute("VACUUM")
    except StorageError as error:
        if means_damage(error):
            return False
        raise
    finally:
        engine.dispose()
    return True


def _remove(file: Path) -> None:
    """Remove a backup, and what a death while it was changed left beside it."""
    file.unlink()
    file.with_name(file.name + "-journal").unlink(missing_ok=True)
