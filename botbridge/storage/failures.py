"""What goes wrong in SQLite, as errors of ours; the only place that reads its codes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from botbridge.errors import StorageError, StorageUnavailable

_RESTORE = "stop botbridge, then `botbridge db restore FILE` keeps it for later and puts a backup in its place"

# Primary result code -> what the operator reads after "database PATH: ".
# Source: https://www.sqlite.org/rescode.html
_SENTENCES = {
    sqlite3.SQLITE_BUSY: "another process holds its write lock; stop that process",
    sqlite3.SQLITE_LOCKED: "it is locked from within this process",
    sqlite3.SQLITE_FULL: "no space is left for it; free some, then the work goes on by itself",
    sqlite3.SQLITE_IOERR: "reading or writing it failed; look at the disk",
    sqlite3.SQLITE_READONLY: "it is read-only; make the file and its folder writable for this user",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; create its folder and make both accessible for this user",
    sqlite3.SQLITE_PERM: "this user may not open it; make the file and its folder accessible",
    sqlite3.SQLITE_CORRUPT: f"it is damaged; {_RESTORE}",
    sqlite3.SQLITE_NOTADB: f"it is damaged or no SQLite database at all; {_RESTORE}",
    sqlite3.SQLITE_NOMEM: "no memory is left for it",
    sqlite3.SQLITE_INTERRUPT: "the work was interrupted",
}
_PRIMARY_CODE = 0xFF  # The low byte of an extended result code.


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Let errors of SQLite and SQLAlchemy leave as `StorageError`, everything else as it is.

    Raises:
        StorageUnavailable: the database cannot be read or written now; the
            sentence names the path and says what to do.
        StorageError: any other failure, which is a mistake of ours.
    """
    try:
        yield
    except DBAPIError as error:
        raise _ours(path, error.orig or error) from error
    except PoolTimeout as error:
        message = f"database {path}: too many readers wait"
        raise StorageUnavailable(message) from error
    except (sqlite3.Error, SQLAlchemyError) as error:
        raise _ours(path, error) from error


def means_damage(error: StorageError) -> bool:
    """Whether an error that `translated` made says that the file is damaged or no database."""
    cause = error.__cause__
    code: int = getattr(getattr(cause, "orig", None) or cause, "sqlite_errorcode", sqlite3.SQLITE_OK)
    return code & _PRIMARY_CODE in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _ours(path: Path, error: BaseException) -> StorageError:
    # Errors of the driver itself (a closed connection) carry no code.
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    sentence = _SENTENCES.get(code & _PRIMARY_CODE)
    if sentence is None:
        return StorageError(f"database {path}: {type(error).__name__}: {error}")
    return StorageUnavailable(f"database {path}: {sentence} ({error})")
