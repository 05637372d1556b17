"""From nothing to the newest schema, and what stops on the way."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, update

from botbridge.errors import SchemaOutOfDate, StorageUnavailable
from botbridge.faults import Boundary
from botbridge.storage.database import Database
from botbridge.storage.inbox import SqlInbox
from botbridge.storage.migrate import Checkup, Upgrade, check, migrations_dir, upgrade
from botbridge.storage.tables import inbox, metadata
from tests.contracts.examples import AISHA_ALONE, answered, message

UPGRADE = """
import asyncio, sys
from pathlib import Path
from botbridge.storage.migrate import upgrade
asyncio.run(upgrade(Path(sys.argv[1]), Path(sys.argv[2]), migrations=Path(sys.argv[3]) if len(sys.argv) > 3 else None))
"""

NOBODY = 65534

# A database of its own first: Python then has loaded all it needs when it may no longer read everything.
OPEN = """
import asyncio, os, sys
from pathlib import Path
from botbridge.storage.database import Database
from botbridge.storage.migrate import upgrade

async def use(path):
    await upgrade(path, path.parent / "backups", migrations=Path(sys.argv[2]))
    async with Database(path):
        pass

async def run(path, nobody):
    await use(path.with_name("own.db"))
    path.parent.chmod(0o555)
    if os.getuid() == 0:
        os.setuid(nobody)
    await use(path)

asyncio.run(run(Path(sys.argv[1]), int(sys.argv[3])))
"""

NEXT = """
import os, signal
import sqlalchemy as sa
from alembic import op

revision, down_revision = "0005", "0004"

def upgrade():
    with op.batch_alter_table("inbox") as batch:
        batch.add_column(sa.Column("colour", sa.String(), server_default="red", nullable=False))
    {then}
"""


# A conversation with one answer; the turns after it were forgotten.
FIRST_ANSWERS = """
INSERT INTO conversation VALUES (1, 'telegram/7/1/-/=1', 'telegram', '7', '1', NULL, '1', 0, '2026-01-01 00:00:00');
INSERT INTO turn (id, conversation_id, epoch, role, text, created_at)
VALUES (1, 1, 0, 'user', 'hello', '2026-01-01 00:00:00');
INSERT INTO turn (id, conversation_id, epoch, parent_id, role, text, created_at, prompt_hash)
VALUES (2, 1, 0, 1, 'assistant', 'hi', '2026-01-01 00:00:00', 'ab');
INSERT INTO turn (id, conversation_id, epoch, role, text, created_at)
VALUES (7, 1, 0, 'user', 'x', '2026-01-01 00:00:00');
DELETE FROM turn WHERE id = 7;
"""


def schema(path: Path) -> dict[str, list[str]]:
    """Return what a database is made of: the SQL of each table, index and trigger, what is between commas in any order.

    Not line by line: columns that were added later share one.
    """
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL").fetchall()
    return {name: sorted(part.strip().removesuffix("\n)") for part in re.split(r",\s", sql)) for name, sql in rows}


def next_version(directory: Path, then: str = "") -> Path:
    """Return the migrations of a next version, which adds a column and then does something."""
    newer = directory / "newer"
    shutil.copytree(migrations_dir(), newer, ignore=shutil.ignore_patterns("__pycache__"))
    (newer / "versions" / "0005_colour.py").write_text(NEXT.format(then=then))
    return newer


def first_version(directory: Path) -> Path:
    """Return the migrations of the first version alone."""
    first = directory / "first"
    shutil.copytree(migrations_dir(), first, ignore=shutil.ignore_patterns("__pycache__"))
    for script in (first / "versions").glob("*.py"):
        if not script.name.startswith("0001"):
            script.unlink()
    return first


def test_the_newest_schema_is_what_the_tables_say(path: Path, tmp_path: Path) -> None:
    """Every table, index and constraint; the triggers and Alembic's own table are in the migrations only."""
    engine = create_engine(f"sqlite:///{tmp_path}/made.db")
    metadata.create_all(engine)
    engine.dispose()
    migrated = schema(path)
    for name in ("alembic_version", "audit_refuses_update", "audit_refuses_delete"):
        del migrated[name]
    assert migrated == schema(tmp_path / "made.db")


def test_alembic_finds_no_difference_either(path: Path) -> None:
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


async def test_a_new_database_is_made_without_a_backup(tmp_path: Path) -> None:
    done = await upgrade(tmp_path / "new.db", tmp_path / "backups")
    assert done == Upgrade(None, "0004")
    assert (tmp_path / "new.db").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "backups").exists()


async def test_a_database_of_this_version_is_left_alone(path: Path, tmp_path: Path) -> None:
    before = path.read_bytes()
    assert await upgrade(path, tmp_path / "backups") == Upgrade("0004", "0004")
    assert path.read_bytes() == before


async def test_an_older_database_is_backed_up_and_keeps_its_data(path: Path, tmp_path: Path) -> None:
    """The rebuilt table is the one that others refer to: with foreign keys on it could not be dropped."""
    async with Database(path) as database:
        row = await SqlInbox(database).accept(message(), AISHA_ALONE)
    done = await upgrade(path, tmp_path / "backups", migrations=next_version(tmp_path))
    assert (done.before, done.after) == ("0004", "0005")
    assert done.backup is not None
    assert done.backup.parent == tmp_path / "backups"
    assert done.backup.stat().st_mode & 0o777 == 0o600
    assert "colour" in str(schema(path)["inbox"])
    assert await check(done.backup) == Checkup(None, "0004", "0004")
    for file in (path, done.backup):
        async with Database(file) as database:
            assert await SqlInbox(database).unfinished() == [row]


async def test_the_first_released_database_keeps_its_answers(tmp_path: Path) -> None:
    """Filled under revision 0001, as its owner left it; which ids were ever given is remembered, too."""
    path = tmp_path / "first.db"
    await upgrade(path, tmp_path / "backups", migrations=first_version(tmp_path))
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(FIRST_ANSWERS)
    before = schema(path)
    assert (await upgrade(path, tmp_path / "backups")).before == "0001"
    assert set(schema(path)) - set(before) == {"system_text"}
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT id, text, prompt_hash, system_hash, adapter_revision FROM turn").fetchall()
        assert rows == [(1, "hello", None, None, None), (2, "hi", "ab", None, None)]
    async with Database(path) as database:
        row = await SqlInbox(database).accept(message("2"), AISHA_ALONE)
        assert row is not None
        await SqlInbox(database).finish(row.id, answered("more", "and more"))
    with closing(sqlite3.connect(path)) as connection:
        assert [row[0] for row in connection.execute("SELECT id FROM turn")] == [1, 2, 8, 9]


async def test_a_crash_in_a_migration_leaves_the_old_schema(path: Path, tmp_path: Path) -> None:
    """The next start takes it up again."""
    before = schema(path)
    crashing = next_version(tmp_path, then="os.kill(os.getpid(), signal.SIGKILL)")
    arguments = [sys.executable, "-c", UPGRADE, path, str(tmp_path / "backups"), str(crashing)]
    killed = subprocess.run(arguments, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert schema(path) == before
    assert await check(path) == Checkup(None, "0004", "0004")
    shutil.rmtree(crashing)
    assert (await upgrade(path, tmp_path / "backups", migrations=next_version(tmp_path))).after == "0005"


async def test_what_ran_before_claims_had_names_is_put_back(path: Path) -> None:
    async with Database(path) as database:
        row = await SqlInbox(database).accept(message(), AISHA_ALONE)
        assert row is not None
        await SqlInbox(database).running(row.id)
        nameless = update(inbox).values(claimed_by=None)
        await database.write(lambda connection: connection.execute(nameless), at=Boundary.STATE)
        assert await SqlInbox(database).release() == 1


async def test_a_migration_that_fails_leaves_the_old_schema(path: Path, tmp_path: Path) -> None:
    before = schema(path)
    with pytest.raises(StorageUnavailable, match="would break references of inbox; nothing was changed"):
        await upgrade(
            path,
            tmp_path / "backups",
            migrations=next_version(
                tmp_path,
                then="op.execute(\"INSERT INTO inbox VALUES (1,'','','','','','',99,NULL,NULL,0,'',0,"
                "NULL,NULL,'','',NULL,NULL,0,'')\")",
            ),
        )
    assert schema(path) == before


async def test_a_database_of_a_newer_version_is_refused(path: Path, tmp_path: Path) -> None:
    newer = next_version(tmp_path)
    await upgrade(path, tmp_path / "backups", migrations=newer)
    before = path.read_bytes()
    with pytest.raises(SchemaOutOfDate, match="has the schema 0005, which this version of botbridge does not know"):
        await upgrade(path, tmp_path / "backups")
    assert path.read_bytes() == before


async def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE song (title)")
    with pytest.raises(SchemaOutOfDate, match="was not written by botbridge"):
        await upgrade(tmp_path / "other.db", tmp_path / "backups")


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match="create .*nowhere"):
        await upgrade(tmp_path / "nowhere" / "b.db", tmp_path / "backups")


@pytest.mark.parametrize("offset", [0, 4096 * 6], ids=["header", "page"])
async def test_a_damaged_database_is_refused_and_left_as_it_is(path: Path, tmp_path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset : offset + 100] = b"\xff" * 100
    path.write_bytes(content)
    with pytest.raises(StorageUnavailable, match=r"botbridge\.db: it is damaged .* puts a backup in its place"):
        await upgrade(path, tmp_path / "backups")
    assert path.read_bytes() == content
    assert not (tmp_path / "backups").exists()


async def test_another_process_holding_the_lock_refuses_the_upgrade(path: Path, tmp_path: Path) -> None:
    newer = next_version(tmp_path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageUnavailable, match="another process holds its write lock"):
            await upgrade(path, tmp_path / "backups", migrations=newer, busy_timeout_s=0.1)
    assert (await check(path)).revision == "0004"


async def test_a_path_with_a_percent_sign_is_no_trouble(tmp_path: Path) -> None:
    directory = tmp_path / "100%(here)s"
    directory.mkdir()
    newer = next_version(directory)
    assert (await upgrade(tmp_path / "b.db", tmp_path, migrations=newer)).after == "0005"


async def test_a_check_of_a_file_that_is_not_there_creates_none(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match="no such file"):
        await check(tmp_path / "b.db")
    assert not (tmp_path / "b.db").exists()


@pytest.fixture
def public_dir() -> Iterator[Path]:
    """Yield a folder that a process without privileges can reach; pytest's own are closed to it."""
    with TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory
        directory.chmod(0o755)


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_is_read_only_is_refused_with_what_to_do(public_dir: Path, what: str) -> None:
    """In a process without privileges: an administrator may write everywhere."""
    path = public_dir / "b.db"
    migrations = shutil.copytree(migrations_dir(), public_dir / "migrations")
    asyncio.run(upgrade(path, public_dir))
    if os.getuid() == 0:
        os.chown(path, NOBODY, NOBODY)
    path.chmod(0o444 if what == "file" else 0o644)
    arguments = [sys.executable, "-c", OPEN, str(path), str(migrations), str(NOBODY)]
    refused = subprocess.run(arguments, check=False, capture_output=True, text=True)
    assert refused.returncode == 1
    last = refused.stderr.splitlines()[-1]
    assert last.startswith(f"botbridge.errors.StorageUnavailable: database {path}: ")
    assert "for this user" in last
