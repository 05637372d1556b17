"""G6: how large the write-ahead log grows, alone and under a reader that stands still."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

from structlog.testing import capture_logs

from botbridge.storage.database import Database
from botbridge.storage.inbox import SqlInbox
from botbridge.storage.outbox import SqlOutbox
from botbridge.storage.state import SqlState

MEBIBYTE = 2**20
KEPT_BYTES = 16 * MEBIBYTE


def log_bytes(database: Database) -> int:
    """How large the log's file is now."""
    return database.path.with_name("botbridge.db-wal").stat().st_size


async def write_mebibytes(database: Database, first: int, last: int) -> None:
    """Write so many rows of a mebibyte each, one commit after the other."""
    for number in range(first, last):
        await SqlState(database).put(f"row {number}", f"{number} ".ljust(MEBIBYTE, "x"))


async def rows(database: Database, last: int) -> list[str]:
    """How the rows begin."""
    return [(await SqlState(database).get(f"row {number}") or "").split()[0] for number in range(last)]


async def test_reads_of_our_own_keep_nothing_in_the_log(database: Database) -> None:
    """Between two commits all readers are in use; four times as much is written as the log may hold."""
    inbox, outbox = SqlInbox(database), SqlOutbox(database)
    most_bytes = 0
    for number in range(64):
        await write_mebibytes(database, number, number + 1)
        most_bytes = max(most_bytes, log_bytes(database))
        await asyncio.gather(
            *(read for _ in range(4) for read in (inbox.unfinished(), outbox.due(), rows(database, 1)))
        )
    assert most_bytes < KEPT_BYTES


async def test_a_reader_of_another_program_that_stands_still_is_told_and_loses_nothing(database: Database) -> None:
    """The log grows as long as it stands; when it has left, the next commits cut it."""
    await write_mebibytes(database, 0, 1)
    with capture_logs() as logs, closing(sqlite3.connect(database.path, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM state").fetchone()
        await write_mebibytes(database, 1, 80)
        assert log_bytes(database) > 64 * MEBIBYTE
        assert other.execute("SELECT count(*) FROM state").fetchone() == (1,)
        other.execute("COMMIT")
        await write_mebibytes(database, 80, 83)
        assert log_bytes(database) <= KEPT_BYTES
    assert await rows(database, 83) == [str(number) for number in range(83)]
    assert [(entry["log_level"], entry["event"].split(":")[0]) for entry in logs] == [
        ("warning", "the database's log grows"),
        ("info", "the database's log is small again"),
    ]


async def test_one_change_that_is_large_is_no_reader_that_stands_still(database: Database) -> None:
    with capture_logs() as logs:
        await SqlState(database).put("row 0", "0 ".ljust(80 * MEBIBYTE, "x"))
        assert log_bytes(database) > 64 * MEBIBYTE
        await write_mebibytes(database, 1, 3)
    assert logs == []
    assert log_bytes(database) <= KEPT_BYTES
