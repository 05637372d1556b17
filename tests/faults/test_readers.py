"""While an answer is computed, the service reads no old state of its database: the log can be written back."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.fakes.telegram.client import FakeTelegram, Person
from tests.faults.dying import SERVE
from tests.journey.conftest import NewBridge
from tests.journey.town import says

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

ANA, OMAR = Person(11), Person(12)
READ_MARKS = range(123, 128)
"""The bytes of the `-shm` file that are locked by who reads through the log.

Source: https://www.sqlite.org/walformat.html, "WAL Locks"
"""


def reads(database: Path, pid: int) -> int:
    """How many read marks of a database a process holds, as the kernel knows it."""
    file = f":{database.with_name(database.name + '-shm').stat().st_ino}"
    locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return sum(
        lock[4] == str(pid) and lock[5].endswith(file) and int(lock[6]) in READ_MARKS for lock in locks if len(lock) > 7
    )


async def test_no_read_stands_open_while_an_answer_is_computed(new_bridge: NewBridge, telegram: FakeTelegram) -> None:
    bridge = new_bridge(DISCORD__TOKEN="", INFERENCE__SLOTS="2")
    await bridge.start(program=(SERVE, "--fault-words"))
    await bridge.logged("Worker 1 started", timeout_s=120)
    with closing(sqlite3.connect(bridge.database, isolation_level=None)) as ours:
        ours.execute("BEGIN")
        ours.execute("SELECT count(*) FROM inbox").fetchone()
        assert reads(bridge.database, os.getpid()) == 1, "a read that stands open would not be seen"
    await telegram.say(ANA, "!slow:0.5 " + "on and " * 200)
    await telegram.wait_for_reply(ANA, until=lambda sent: "on and" in sent.text)
    for text in ("one", "two", "three"):
        await telegram.say(OMAR, text)
        await telegram.wait_for_reply(OMAR, until=says(text))
        await bridge.ask("health")
    await bridge.until(lambda: reads(bridge.database, bridge.pid) == 0)
    assert bridge.rows("SELECT state FROM inbox ORDER BY id LIMIT 1") == [{"state": "running"}]
