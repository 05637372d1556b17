"""One process to a database: a lock beside the file that dies with its holder."""

from __future__ import annotations

import fcntl
import os
import socket
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from botbridge.errors import DatabaseInUse
from botbridge.storage.files import open_private, unusable

_HOLDER_BYTES = 512


class DatabaseLock:
    """Holds `<database>.lock` as long as the `with` block runs.

    The kernel drops the lock when the process ends, however it ends, so a
    stale file means nothing; the text in it is for people. The file stays:
    removing it would let two processes lock two files of the same name.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._path = database.with_name(database.name + ".lock")
        self._descriptor = -1

    def __enter__(self) -> Self:
        """Take the lock.

        Raises:
            DatabaseInUse: another process holds it; the sentence names it.
            StorageUnavailable: the lock file cannot be made.
        """
        try:
            descriptor = open_private(self._path)
        except OSError as error:
            raise unusable(self._database, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, _HOLDER_BYTES, 0).decode(errors="replace").strip()
            os.close(descriptor)
            message = f"database {self._database} is in use by {holder or 'another process'}"
            raise DatabaseInUse(message) from error
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        self._tell(f"process {os.getpid()} on {socket.gethostname()}\n")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give the lock back."""
        self._tell("")
        os.close(self._descriptor)

    def _tell(self, holder: str) -> None:
        # A disk that is full or fails takes no text; the lock needs none.
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, holder.encode(), 0)
