"""What was acknowledged is there after the process was killed, at whatever instruction."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

WRITE = """
import asyncio, sys
from pathlib import Path
from botbridge.storage.database import Database
from botbridge.storage.inbox import SqlInbox
from tests.contracts.examples import AISHA_ALONE, answered, message

async def talk(inbox, worker, run):
    for number in range(10**9):
        row = await inbox.accept(message(f"{run}-{worker}-{number}", "x" * 500), AISHA_ALONE)
        sys.stdout.write(f"accepted {row.id}\\n")
        await inbox.finish(row.id, answered("question", "answer"))
        sys.stdout.write(f"answered {row.id}\\n")
        sys.stdout.flush()

async def run():
    async with Database(Path(sys.argv[1])) as database:
        await asyncio.gather(*(talk(SqlInbox(database), worker, sys.argv[2]) for worker in range(5)))

asyncio.run(run())
"""


@pytest.mark.parametrize(
    "lines", [[1, 20, 55], pytest.param([17 * run for run in range(1, 21)], marks=pytest.mark.slow)]
)
def test_a_writer_that_is_killed_loses_nothing_it_acknowledged(blank: Path, tmp_path: Path, lines: list[int]) -> None:
    """Killed again and again, each time after so many acknowledgements, on the same file."""
    path = shutil.copy(blank, tmp_path / "botbridge.db")
    acknowledged: dict[str, set[int]] = {"accepted": set(), "answered": set()}
    for run, count in enumerate(lines):
        arguments = [sys.executable, "-c", WRITE, str(path), str(run)]
        root = Path(__file__).parents[2]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, cwd=root) as writer:
            assert writer.stdout is not None
            said = [writer.stdout.readline() for _ in range(count)]
            writer.kill()
            said += writer.stdout.readlines()
        assert writer.returncode == -signal.SIGKILL
        for what, inbox_id in (line.split() for line in said if line.endswith("\n")):
            acknowledged[what].add(int(inbox_id))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        stored = {inbox_id for (inbox_id,) in connection.execute("SELECT id FROM inbox")}
        assert acknowledged["accepted"] <= stored
        assert stored == set(range(1, max(stored) + 1)), "a number was given that is not there"
        query = "SELECT id FROM inbox WHERE state = 'answered' ORDER BY id"
        answered = [inbox_id for (inbox_id,) in connection.execute(query)]
        assert acknowledged["answered"] <= set(answered)
        # An end is whole: each answered message has one question, one answer, one part; no other has any.
        for query in (
            "SELECT inbox_id FROM turn WHERE role = 'user' ORDER BY inbox_id",
            "SELECT inbox_id FROM turn WHERE role = 'assistant' ORDER BY inbox_id",
            "SELECT inbox_id FROM outbox ORDER BY inbox_id",
        ):
            assert [inbox_id for (inbox_id,) in connection.execute(query)] == answered
