"""A backup put in the place of the database; nothing is thrown away, and no crash leaves a blank one.

The old file and its log are renamed, never written. A copy of the backup is
verified and on the disk before the first rename; while the database has no file
of its name, that copy lies beside it under a name at which `files.make_private`
refuses to begin a new one.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from botbridge.errors import StorageError
from botbridge.storage.backup import copy_verified, flush
from botbridge.storage.files import restoring_path, unusable
from botbridge.storage.migrate import known_revision


@dataclass(frozen=True, slots=True)
class Restored:
    """What was done.

    Attributes:
        revision: Of the schema that the backup has; `upgrade` brings an older one to this version's.
        kept: Where the old database lies now; None when there was none.
    """

    revision: str
    kept: Path | None


async def restore(path: Path, source: Path) -> Restored:
    """Put a verified copy of `source` in the place of the database.

    The old one is kept beside it. Call it with `lock.DatabaseLock` held; after
    a crash call it again.

    Args:
        path: The database.
        source: What `backup` made, or any database of botbridge; it is left as it is.

    Raises:
        StorageError: the source is the database itself.
        StorageUnavailable: the source is missing, blank or damaged, or files
            cannot be written; the database is as it was.
        SchemaOutOfDate: a newer version wrote the source, or another program.
    """
    return await asyncio.to_thread(_restore, path, source)


def _restore(path: Path, source: Path) -> Restored:
    revision = known_revision(source, if_damaged="name another backup; nothing was changed")
    try:
        if path.exists() and path.samefile(source):
            message = f"{source} is the database itself; name a backup of it"
            raise StorageError(message)
        unverified = path.with_name(f"{path.name}.restored")
        unverified.unlink(missing_ok=True)
        copy_verified(source, unverified)
        # From here on a database without a file is one whose restore was cut short.
        unverified.replace(restoring_path(path))
        flush(path.parent)
        kept = _set_aside(path)
        restoring_path(path).replace(path)
        flush(path.parent)
    except OSError as error:
        raise unusable(path, error) from error
    return Restored(revision, kept)


def _set_aside(path: Path) -> Path | None:
    """Rename the database and its log; return its new name, None when there was neither."""
    aside = path.with_name(f"{path.name}.before-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
    # The log last: a file without its log would be taken for the whole, a log without its file is refused.
    parts = [(path.with_name(path.name + end), aside.with_name(aside.name + end)) for end in ("", "-wal")]
    there = [(old, new) for old, new in parts if old.exists()]
    for old, new in there:
        old.rename(new)
    # Only an index of the log, which SQLite makes anew; left here it would belong to another file.
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
    flush(path.parent)
    return aside if there else None
