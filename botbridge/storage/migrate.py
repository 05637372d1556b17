"""The database's schema, brought to what this version writes; in one transaction, after a backup."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, NullPool, create_engine, event

from botbridge.errors import SchemaOutOfDate, StorageUnavailable
from botbridge.faults import NO_FAULTS, Boundary, Faults
from botbridge.storage.backup import copy_verified, damage
from botbridge.storage.failures import RESTORE, translated
from botbridge.storage.files import make_private, unusable

_REVISIONS = "SELECT version_num FROM alembic_version"


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What was done to a database.

    Attributes:
        before: The revision it had; None for a new one.
        after: The revision it has.
        backup: The copy that was made first; None when nothing had to be done
            or nothing was there.
    """

    before: str | None
    after: str
    backup: Path | None = None


@dataclass(frozen=True, slots=True)
class Checkup:
    """What a database is like.

    Attributes:
        damage: What SQLite found wrong; None when it is sound.
        revision: The revision of its schema; None for an empty file.
        head: The revision that this version writes.
    """

    damage: str | None
    revision: str | None
    head: str


def migrations_dir() -> Path:
    """Return the folder of the migrations: inside the package when installed, beside it in a checkout."""
    inside = Path(__file__).parent / "migrations"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "migrations"


def head_revision() -> str:
    """Return the revision that this version writes."""
    return _head(_script(migrations_dir()))


async def upgrade(
    path: Path,
    backup_dir: Path,
    *,
    migrations: Path | None = None,
    busy_timeout_s: float = 5.0,
    faults: Faults = NO_FAULTS,
) -> Upgrade:
    """Bring a database to the newest revision, creating it if there is none.

    A database that holds anything is copied to `backup_dir` first. All steps
    are one transaction: a crash leaves the old schema. Call it with
    `lock.DatabaseLock` held.

    Args:
        path: The database.
        backup_dir: Created if need be; the copy is named after revision and time.
        migrations: The folder of the migrations; None takes this version's own.
        busy_timeout_s: How long to wait for another process's lock.
        faults: What happens after each migration.

    Raises:
        SchemaOutOfDate: a newer version wrote it, or another program.
        StorageUnavailable: it cannot be written, or it is damaged; it is left
            as it is.
    """
    script = _script(migrations or migrations_dir())
    return await asyncio.to_thread(_upgrade, path, backup_dir, script, busy_timeout_s, faults)


async def require_newest(path: Path) -> None:
    """Refuse a database that is not of this version's schema; nothing is written.

    Raises:
        StorageUnavailable: there is no such file, or it cannot be read.
        SchemaOutOfDate: another version wrote it, or another program.
    """
    head = head_revision()
    _require_file(path)

    def look() -> str | None:
        with translated(path), closing(_open(path)) as connection:
            return _revision(connection, path)

    if (found := await asyncio.to_thread(look)) != head:
        message = (
            f"database {path} has the schema {found or 'of nothing'}, this version of botbridge reads {head}: "
            "`botbridge db upgrade` brings an older one there"
        )
        raise SchemaOutOfDate(message)


async def check(path: Path, *, migrations: Path | None = None) -> Checkup:
    """Look whether a database is sound and of which revision.

    Raises:
        StorageUnavailable: there is no such file, or it cannot be read at all.
        SchemaOutOfDate: another program wrote it.
    """
    return await asyncio.to_thread(checkup, path, migrations)


def checkup(path: Path, migrations: Path | None = None) -> Checkup:
    """Do what `check` does, now.

    Raises:
        StorageUnavailable: as there.
        SchemaOutOfDate: as there.
    """
    script = _script(migrations or migrations_dir())
    _require_file(path)
    with translated(path), closing(_open(path)) as connection:
        return Checkup(damage(connection), _revision(connection, path), _head(script))


def known_revision(path: Path, if_damaged: str = RESTORE) -> str:
    """Return the revision of a sound database that this version can use or upgrade; nothing is written.

    Args:
        path: The file.
        if_damaged: What the operator is to do when that is damaged.

    Raises:
        StorageUnavailable: there is no such file, or it is blank or damaged.
        SchemaOutOfDate: a newer version wrote it, or another program.
    """
    _require_file(path)
    revision = _sound_revision(path, if_damaged)
    if revision is None:
        message = f"database {path}: it holds nothing"
        raise StorageUnavailable(message)
    _require_known(path, revision, _script(migrations_dir()))
    return revision


def _require_file(path: Path) -> None:
    if not path.is_file():
        message = f"database {path}: there is no such file"
        raise StorageUnavailable(message)


def _sound_revision(path: Path, if_damaged: str) -> str | None:
    """Read the revision; None for an empty file. Damage is refused, with advice for the operator."""
    with translated(path, if_damaged), closing(_open(path)) as connection:
        if found := damage(connection):
            message = f"database {path}: it is damaged ({found}); {if_damaged}"
            raise StorageUnavailable(message)
        return _revision(connection, path)


def _require_known(path: Path, revision: str, script: ScriptDirectory) -> None:
    if revision not in {known.revision for known in script.walk_revisions()}:
        message = (
            f"database {path} has the schema {revision}, which this version of botbridge does not know: "
            "a newer one wrote it; install that version, or put a backup in the file's place"
        )
        raise SchemaOutOfDate(message)


def _upgrade(path: Path, backup_dir: Path, script: ScriptDirectory, busy_timeout_s: float, faults: Faults) -> Upgrade:
    make_private(path)
    head = _head(script)
    before = _sound_revision(
        path,
        f"{RESTORE} (backups made before upgrades lie in {backup_dir})",
    )
    if before == head:
        return Upgrade(before, head)
    copy = None
    if before is not None:
        _require_known(path, before, script)
        copy = _back_up(path, backup_dir, before)
    with translated(path):
        _migrate(path, script, busy_timeout_s, faults)
    faults.after(Boundary.MIGRATION)
    return Upgrade(before, head, copy)


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA query_only=ON")
    return connection


def _revision(connection: sqlite3.Connection, path: Path) -> str | None:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if not tables:
        return None
    if "alembic_version" in tables:
        row = connection.execute(_REVISIONS).fetchone()
        if row is not None:
            return str(row[0])
    message = f"database {path} was not written by botbridge: choose another file"
    raise SchemaOutOfDate(message)


def _back_up(path: Path, backup_dir: Path, revision: str) -> Path:
    copy = backup_dir / f"{path.stem}-{revision}-{datetime.now(UTC):%Y%m%dT%H%M%S%f}.db"
    try:
        backup_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise unusable(copy, error) from error
    copy_verified(path, copy)
    return copy


def _migrate(path: Path, script: ScriptDirectory, busy_timeout_s: float, faults: Faults) -> None:
    with _transaction(path, busy_timeout_s) as connection:
        config = Config()
        # Percent signs begin a substitution in Alembic's configuration.
        config.set_main_option("script_location", script.dir.replace("%", "%%"))
        config.attributes["connection"] = connection
        config.attributes["migrated"] = partial(faults.before, Boundary.MIGRATION)
        command.upgrade(config, "head")
        if broken := connection.exec_driver_sql("PRAGMA foreign_key_check").first():
            message = f"database {path}: the upgrade would break references of {broken[0]}; nothing was changed"
            raise StorageUnavailable(message)


@contextmanager
def _transaction(path: Path, busy_timeout_s: float) -> Iterator[Connection]:
    """Yield a connection inside a write transaction, without enforcement of foreign keys.

    Alembic's batch mode drops and rebuilds tables, which enforcement would
    turn into deleted rows; it cannot be switched inside a transaction.
    """
    engine = create_engine(
        URL.create("sqlite", database=str(path)), connect_args={"timeout": busy_timeout_s}, poolclass=NullPool
    )

    @event.listens_for(engine, "connect")
    def set_up(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys=OFF")
        connection.execute("PRAGMA synchronous=FULL")

    @event.listens_for(engine, "begin")
    def start(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    with engine.begin() as connection:
        yield connection


def _script(migrations: Path) -> ScriptDirectory:
    return ScriptDirectory(str(migrations))


def _head(script: ScriptDirectory) -> str:
    head = script.get_current_head()
    assert head is not None, "there is no migration"
    return head
