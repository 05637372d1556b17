"""One process to a database."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from botbridge.errors import DatabaseInUse, StorageUnavailable
from botbridge.storage.lock import DatabaseLock

HOLD = """
import sys
from pathlib import Path
from botbridge.storage.lock import DatabaseLock
{before}
with DatabaseLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""

NO_ROOM = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))"
"""No file takes a byte any more, as on a full disk."""


@contextmanager
def holding(database: Path, before: str = "") -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of a database, after it did something else."""
    arguments = [sys.executable, "-c", HOLD.format(before=before), str(database)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Yield another process that holds the lock of `tmp_path / "b.db"`."""
    with holding(tmp_path / "b.db") as process:
        yield process


def test_a_second_process_is_refused_and_told_who_holds_it(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with (
        pytest.raises(DatabaseInUse, match=rf"in use by process {holder.pid} on {socket.gethostname()}$"),
        DatabaseLock(tmp_path / "b.db"),
    ):
        pass


def test_a_holder_that_is_killed_holds_no_more(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    """The text it left behind means nothing."""
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert (tmp_path / "b.db.lock").read_text().startswith(f"process {holder.pid}")
    with DatabaseLock(tmp_path / "b.db"):
        assert (tmp_path / "b.db.lock").read_text() == f"process {os.getpid()} on {socket.gethostname()}\n"


def test_a_disk_without_room_for_a_name_has_the_lock_all_the_same(tmp_path: Path) -> None:
    """C3: whoever holds it can then say what is wrong with the disk."""
    with (
        holding(tmp_path / "b.db", before=NO_ROOM),
        pytest.raises(DatabaseInUse, match="in use by another process$"),
        DatabaseLock(tmp_path / "b.db"),
    ):
        pass


def test_a_refusal_leaves_the_holder_its_lock(tmp_path: Path) -> None:
    with DatabaseLock(tmp_path / "b.db"):
        for _ in range(2):
            with pytest.raises(DatabaseInUse, match=f"process {os.getpid()} "), DatabaseLock(tmp_path / "b.db"):
                pass
    with DatabaseLock(tmp_path / "b.db"):
        pass


def test_only_the_owner_may_read_the_lock(tmp_path: Path) -> None:
    with DatabaseLock(tmp_path / "b.db"):
        assert (tmp_path / "b.db.lock").stat().st_mode & 0o777 == 0o600


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match="create .*nowhere"), DatabaseLock(tmp_path / "nowhere" / "b.db"):
        pass
