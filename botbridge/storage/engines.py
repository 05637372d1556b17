"""How connections to SQLite files are opened: one that writes, some that only read, one that changes a backup.

Pragmas hold for one connection, so they are set on each as it is opened.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event

from botbridge.errors import StorageUnavailable

_WAL_RESET_FIXED = (3, 51, 3)

_LOG_KEPT_BYTES = 16 * 2**20
"""To this the log's file is cut when it begins anew; it grows to a quarter of it before it is written back."""


def writer_engine(path: Path, busy_timeout_s: float) -> Engine:
    """Return an engine with one connection, whose transactions take the write lock at their start.

    A deferred transaction that reads first and writes later fails at once when
    somebody else wrote in between, whatever the busy timeout is; an immediate
    one waits.
    """
    pragmas = (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "recursive_triggers=ON",  # else INSERT OR REPLACE deletes without asking the trigger that refuses it
        "secure_delete=ON",
        f"journal_size_limit={_LOG_KEPT_BYTES}",
    )
    return _engine(path, busy_timeout_s, pragmas, begin="BEGIN IMMEDIATE", connections=1)


def reader_engine(path: Path, busy_timeout_s: float, connections: int) -> Engine:
    """Return an engine whose connections see one snapshot a transaction, never write and never checkpoint."""
    pragmas = ("query_only=ON", "wal_autocheckpoint=0", "foreign_keys=ON")
    return _engine(path, busy_timeout_s, pragmas, begin="BEGIN DEFERRED", connections=connections)


def backup_engine(path: Path, busy_timeout_s: float) -> Engine:
    """Return an engine with one connection that changes a backup, which stays one file."""
    pragmas = ("journal_mode=DELETE", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON")
    return _engine(path, busy_timeout_s, pragmas, begin="BEGIN IMMEDIATE", connections=1)


def driver_connection(connection: Connection) -> sqlite3.Connection:
    """Return the connection of SQLite's own module, which knows more than SQLAlchemy asks."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def sqlite_note(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> str | None:
    """Return what the operator should know about the SQLite at hand; None if there is nothing.

    Source: https://www.sqlite.org/changes.html, 3.51.3 (the WAL-reset bug).
    """
    if version >= _WAL_RESET_FIXED:
        return None
    return (
        f"SQLite {'.'.join(map(str, version))} can damage a database that several connections write or checkpoint "
        "at the same moment (fixed in 3.51.3); botbridge writes and checkpoints through one connection and locks "
        "the database against a second botbridge, so let no other program write to it"
    )


def _engine(path: Path, busy_timeout_s: float, pragmas: tuple[str, ...], *, begin: str, connections: int) -> Engine:
    engine = create_engine(
        URL.create("sqlite+pysqlite", database=str(path)),
        # A connection serves one thread at a time, but not always the same one: the pool hands it on.
        connect_args={"timeout": busy_timeout_s, "check_same_thread": False},
        pool_size=connections,
        max_overflow=0,
    )

    @event.listens_for(engine, "connect")
    def set_up(connection: sqlite3.Connection, _record: object) -> None:
        # SQLAlchemy emits BEGIN itself, below; the driver must not. Should a pragma
        # fail, the pool closes the connection.
        connection.isolation_level = None
        for pragma in pragmas:
            _set(connection, path, pragma)

    @event.listens_for(engine, "begin")
    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _set(connection: sqlite3.Connection, path: Path, pragma: str) -> None:
    with closing(connection.execute(f"PRAGMA {pragma}")) as cursor:
        if pragma == "journal_mode=WAL" and (mode := cursor.fetchone()[0]) != "wal":
            message = f"database {path}: no write-ahead log is possible here (mode {mode}); use a local disk"
            raise StorageUnavailable(message)
