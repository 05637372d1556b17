"""Tells the operator when SQLite's write-ahead log grows because somebody keeps reading an old state.

What is written back to the database file is only what no reader may still need
as it was. Our own readers end with each read, so a log that stays large is kept
by another program; nothing is lost by it, but the disk fills.
"""

from __future__ import annotations

from pathlib import Path

import structlog

LARGE_BYTES = 64 * 2**20

log = structlog.get_logger(__name__)


class LogSize:
    """Looks at the log of one database; `look` after every commit."""

    def __init__(self, database: Path) -> None:
        self._file = database.with_name(database.name + "-wal")
        self._was_large = False
        self._is_told = False

    def look(self) -> None:
        """Tell what has changed: once when the log stays large, once when it is small again."""
        try:
            size_bytes = self._file.stat().st_size
        except OSError:
            return
        is_large = size_bytes > LARGE_BYTES
        # After one large change alone the log is cut by the next commit, before this looks again.
        if is_large and self._was_large and not self._is_told:
            log.warning(
                "the database's log grows: another program reads an old state of it and has to end for that to stop",
                file=str(self._file),
                size_bytes=size_bytes,
            )
            self._is_told = True
        elif not is_large and self._is_told:
            log.info("the database's log is small again", file=str(self._file), size_bytes=size_bytes)
            self._is_told = False
        self._was_large = is_large
