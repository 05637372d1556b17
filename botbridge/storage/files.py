"""Where the database lies, and who may read it: its owner alone."""

from __future__ import annotations

import os
from pathlib import Path

from botbridge.errors import StorageUnavailable

_OWNER_ONLY = 0o600


def make_home(home: Path) -> None:
    """Create the data directory if there is none, for its owner alone.

    Raises:
        StorageUnavailable: it cannot be made; the sentence says why.
    """
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageUnavailable(f"{home} cannot be created: {error.strerror}") from error


def restoring_path(path: Path) -> Path:
    """Return where a verified backup waits while it is put in the database's place.

    >>> restoring_path(Path("botbridge.db")).name
    'botbridge.db.restoring'
    """
    return path.with_name(path.name + ".restoring")


def is_missing(path: Path) -> bool:
    """Tell whether nothing of a database lies there: no file, no log of one, no restore that was cut short."""
    return not any(each.exists() for each in (path, path.with_name(path.name + "-wal"), restoring_path(path)))


def make_private(path: Path) -> None:
    """Create the database file if there is none, and let only its owner read it.

    SQLite gives its `-wal` and `-shm` files the mode of the database, so those
    that it creates later are private, too.

    Raises:
        StorageUnavailable: the file cannot be made or is not ours, it was
            emptied while its write-ahead log still holds data, or a restore
            was cut short before its file was in place.
    """
    wal = path.with_name(path.name + "-wal")
    try:
        is_empty = not path.exists() or path.stat().st_size == 0
        if is_empty and wal.exists() and wal.stat().st_size > 0:
            message = (
                f"database {path}: the file is empty or gone, but its log {wal.name} is not; "
                "put a backup in its place and remove the log"
            )
            raise StorageUnavailable(message)
        if is_empty and restoring_path(path).exists():
            message = f"database {path}: a restore was cut short; run `botbridge db restore` again"
            raise StorageUnavailable(message)
        os.close(open_private(path))
        for name in (wal, path.with_name(path.name + "-shm")):
            if name.exists():
                name.chmod(_OWNER_ONLY)
    except OSError as error:
        raise unusable(path, error) from error


def open_private(path: Path) -> int:
    """Return a descriptor of the file, created if need be, with mode 0600 whatever it was before.

    Raises:
        OSError: as `os.open` and `os.fchmod` do.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _OWNER_ONLY)
    try:
        if os.fstat(descriptor).st_mode & 0o777 != _OWNER_ONLY:
            os.fchmod(descriptor, _OWNER_ONLY)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def unusable(path: Path, error: OSError) -> StorageUnavailable:
    """Return an error that says what to do about a file that cannot be opened or written."""
    if not path.parent.is_dir():
        return StorageUnavailable(f"database {path}: its folder does not exist; create {path.parent}")
    return StorageUnavailable(
        f"database {path}: {error.strerror}; make the file and its folder readable and writable for this user"
    )
