"""Processes that end with whoever started them."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

GRANDCHILD = """
import sys, time
held = open(sys.argv[1], "w")
print("started", flush=True)
time.sleep(60)
"""
CHILD = f"""
import subprocess, sys, time
from botbridge.models.child import die_with_parent
die_with_parent()
subprocess.Popen([sys.executable, "-c", {GRANDCHILD!r}, sys.argv[1]], stdin=subprocess.DEVNULL)
time.sleep(60)
"""


async def test_the_leader_of_a_session_takes_along_what_it_started(tmp_path: Path) -> None:
    """The grandchild holds a pipe open for writing and does not look at its own input."""
    pipe = tmp_path / "alive"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    ended = asyncio.Event()
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CHILD, str(pipe)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        async with asyncio.timeout(20):
            assert await child.stdout.readline() == b"started\n"
            with pytest.raises(BlockingIOError):
                os.read(reader, 1)
            child.stdin.close()
            asyncio.get_running_loop().add_reader(reader, ended.set)
            await ended.wait()
            assert os.read(reader, 1) == b""
            assert await child.stdout.read() == b""  # to its end, or the pipe stays open
            await child.wait()
    finally:
        asyncio.get_running_loop().remove_reader(reader)
        os.close(reader)
