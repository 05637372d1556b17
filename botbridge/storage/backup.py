"""Verified copies of a database, and its check-up."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from botbridge.errors import StorageError, StorageUnavailable
from botbridge.storage.database import Database
from botbridge.storage.failures import translated
from botbridge.storage.files import make_private, unusable

STEP_PAGES = 2_560
"""Copied between two looks at whether to go on: 10 MiB of SQLite's usual pages."""

STEP_INSTRUCTIONS = 100_000
"""Of SQLite's own machine, between two such looks while a copy is verified: some milliseconds."""


def _not_told() -> bool:
    return False


async def backup(database: Database, path: Path) -> Path:
    """Copy an open database, while it is in use, into one file of its own; verified before it gets its name.

    Returns:
        What was copied.

    Raises:
        StorageError: there is a file of this name already, it is left alone.
        StorageUnavailable: the copy could not be written or is not sound.
    """
    await asyncio.to_thread(copy_verified, database.path, path)
    return database.path


def copy_verified(source: Path, target: Path, is_told_to_stop: Callable[[], bool] = _not_told) -> None:
    """Copy what is committed in `source`; `target` appears only when complete, sound and on the disk.

    Raises:
        StorageError: the target exists already.
        StorageUnavailable: the copy could not be written, is not sound, or was told to stop.
    """
    if target.exists():
        message = f"backup {target}: there is such a file already; choose another name"
        raise StorageError(message)
    unfinished = target.with_name(target.name + ".part")
    try:
        unfinished.unlink(missing_ok=True)
        make_private(unfinished)
        _copy(source, unfinished, is_told_to_stop)
        flush(unfinished)
        unfinished.rename(target)
        flush(target.parent)
    except OSError as error:
        raise unusable(target, error) from error
    finally:
        unfinished.unlink(missing_ok=True)


def damage(connection: sqlite3.Connection) -> str | None:
    """Return what SQLite finds wrong with the file, None when it is sound."""
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    # Several lines, but it becomes a part of one sentence.
    return None if found == "ok" else " ".join(str(found).split())


def flush(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk.

    Raises:
        OSError: as `os.open` and `os.fsync` do.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _copy(source: Path, target: Path, is_told_to_stop: Callable[[], bool]) -> None:
    def look(_status: int, _remaining: int, _total: int) -> None:
        if is_told_to_stop():
            message = f"backup of {source}: it was told to stop"
            raise StorageUnavailable(message)

    with closing(sqlite3.connect(source)) as original, closing(sqlite3.connect(target)) as copy:
        with translated(source):
            original.execute("PRAGMA query_only=ON")
            # The bot's own writer is the only connection that checkpoints.
            original.execute("PRAGMA wal_autocheckpoint=0")
            # One snapshot for all steps: else each write between two of them would begin the copy anew.
            original.execute("BEGIN")
            original.execute("SELECT name FROM sqlite_schema").fetchone()
        with translated(target):
            original.backup(copy, pages=STEP_PAGES, progress=look)
            copy.set_progress_handler(is_told_to_stop, STEP_INSTRUCTIONS)
            # One file without a log beside it: it can be carried away as it is.
            copy.execute("PRAGMA journal_mode=DELETE")
            found = damage(copy)
    if found:
        message = f"backup of {source} is damaged ({found}), and so may be the database"
        raise StorageUnavailable(message)
