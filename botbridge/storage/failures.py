"""What goes wrong in SQLite, as errors of ours; the only place that reads its codes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from botbridge.errors import StorageError, StorageUnavailable

RESTORE = "stop botbridge, then `botbridge db restore FILE` keeps it for later and puts a backup in its place"

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
    sqlite3.SQLITE_CORRUPT: "it is damaged",
    sqlite3.SQLITE_NOTADB: "it is damaged or no SQLite database at all",
    sqlite3.SQLITE_NOMEM: "no memory is left for it",
    sqlite3.SQLITE_INTERRUPT: "the work was interrupted",
}
_DAMAGES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_PRIMARY_CODE = 0xFF  # The low byte of an extended result code.


@contextmanager
def translated(path: Path, if_damaged: str = RESTORE) -> Iterator[None]:
    """Let errors of SQLite and SQLAlchemy leave as `StorageError`, everything else as it is.

    Args:
        path: The file that is read or written.
        if_damaged: What the operator is to do when that is damaged.

    Raises:
        StorageUnavailable: the database cannot be read or written now; the
            sentence names the path and says what to do.
        StorageError: any other failure, which is a mistake of ours.
    """
    try:
        yield
    except DBAPIError as error:
        raise _ours(path, error.orig or error, if_damaged) from error
    except PoolTimeout as error:
        message = f"database {path}: too many readers wait"
        raise StorageUnavailable(message) from error
    except (sqlite3.Error, SQLAlchemyError) as error:
        raise _ours(path, error, if_damaged) from error


def means_damage(error: StorageError) -> bool:
    """Whether an error that `translated` made says that the file is damaged or no database."""
    cause = error.__cause__
    code: int = getattr(getattr(cause, "orig", None) or cause, "sqlite_errorcode", sqlite3.SQLITE_OK)
    return code & _PRIMARY_CODE in _DAMAGES


def _ours(path: Path, error: BaseException, if_damaged: str) -> StorageError:
    # Errors of the driver itself (a closed connection) carry no code.
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    sentence = _SENTENCES.get(code & _PRIMARY_CODE)
    if sentence is None:
        return StorageError(f"database {path}: {type(error).__name__}: {error}")
    advice = f"; {if_damaged}" if code & _PRIMARY_CODE in _DAMAGES else ""
    return StorageUnavailable(f"database {path}: {sentence}{advice} ({error})")
