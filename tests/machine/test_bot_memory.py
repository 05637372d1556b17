"""What the running bot holds is found by the socket that it listens on, its processes included."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from botbridge.machine.bot_memory import bot_memory_bytes, listening_process
from botbridge.machine.probe import LocalProbe

MEGABYTE = 10**6

BOT = """
import os, socket, subprocess, sys
holds = bytearray(os.urandom(1024)) * 40_000
worker = subprocess.Popen(
    [sys.executable, "-c", "holds = bytearray(b'w' * 60_000_000); print('ready', flush=True); input()"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
)
worker.stdout.readline()
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1])
listening.listen(8)
print("ready", flush=True)
sys.stdin.readline()
worker.communicate(b"end\\n")
"""
"""Holds 41 MB itself and 60 in a worker."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who listens")


@pytest.fixture
def home() -> Iterator[Path]:
    """Short, because a socket's path has to be."""
    with tempfile.TemporaryDirectory(prefix="bb") as directory:
        yield Path(directory)


@pytest.fixture
def bot(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-c", BOT, str(home / "control.sock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.communicate(b"end\n")


def test_a_bot_and_its_worker_are_counted(home: Path, bot: subprocess.Popen[bytes]) -> None:
    assert listening_process(home / "control.sock") == bot.pid
    assert 101 * MEGABYTE <= bot_memory_bytes(home) < 250 * MEGABYTE
    assert LocalProbe().look(home).memory.bot_bytes >= 101 * MEGABYTE


def test_where_no_bot_runs_there_is_nothing_to_count(home: Path) -> None:
    """Nor where a socket is left of one that is gone, or the path is too long to be one."""
    assert bot_memory_bytes(home) == 0
    (home / "control.sock").touch()
    assert bot_memory_bytes(home) == 0
    assert bot_memory_bytes(home / ("long" * 60)) == 0
