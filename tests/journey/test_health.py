"""A service whose parts fail while its process lives: health must not say that all is well."""

from __future__ import annotations

import asyncio
import resource
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psutil
import pytest

from tests.fakes.telegram.client import FakeTelegram
from tests.journey.bridge import LOOK_S, Bridge
from tests.journey.town import SARA, says

PATIENCE_S = 60.0


async def well(bridge: Bridge, telegram: FakeTelegram) -> None:
    """Return once the service has answered somebody and says of itself that it can."""
    said = await telegram.say(SARA, "hello")
    await telegram.wait_for_reply(SARA, after=said.message_id, until=says("hello"))
    await until_health(bridge, lambda found: found["ok"])


async def until_health(bridge: Bridge, is_so: Callable[[dict[str, Any]], bool]) -> None:
    """Ask the service how it is until it says so; it tells nobody by itself.

    Raises:
        TimeoutError: it does not; what it says and the whole log are the message.
    """
    deadline_s = asyncio.get_running_loop().time() + PATIENCE_S
    while not is_so(found := await bridge.ask("health")):
        if asyncio.get_running_loop().time() > deadline_s:
            raise TimeoutError(f"{found}\n{bridge.log}")
        await asyncio.sleep(LOOK_S)


async def complains(bridge: Bridge, part: str) -> None:
    """Return once the service complains of a part; the command then ends with 1 and says why."""
    await until_health(bridge, lambda found: any(line.startswith(f"{part}: ") for line in found["complaints"]))
    code, out, _ = await bridge.command("health")
    assert code == 1
    assert "wrong: " in out


@pytest.mark.slow
async def test_a_worker_that_stands_still_under_a_living_service_is_told(
    bridge: Bridge, telegram: FakeTelegram
) -> None:
    """The process is there, the model was loaded, the socket answers; nothing would be answered."""
    await well(bridge, telegram)
    worker = bridge.worker()
    worker.send_signal(signal.SIGSTOP)
    await complains(bridge, "worker")
    await until_health(bridge, lambda found: found["ok"])
    assert bridge.worker().pid != worker.pid


@pytest.mark.slow
async def test_a_database_that_another_program_locks_is_told(bridge: Bridge, telegram: FakeTelegram) -> None:
    await well(bridge, telegram)
    with closing(sqlite3.connect(bridge.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        await complains(bridge, "database")
    await until_health(bridge, lambda found: found["ok"])


@pytest.mark.slow
async def test_a_disk_that_takes_no_more_is_told_and_loses_nothing(bridge: Bridge, telegram: FakeTelegram) -> None:
    """Every write beyond the first bytes of a file fails, as on a full disk; then there is room again."""
    await well(bridge, telegram)
    service = psutil.Process(bridge.pid)
    unlimited = service.rlimit(psutil.RLIMIT_FSIZE)
    service.rlimit(psutil.RLIMIT_FSIZE, (4096, unlimited[1]))
    await complains(bridge, "database")
    said = await telegram.say(SARA, "keep this")
    await bridge.logged("message not stored")
    assert said.update_id in (await telegram.ledger()).unconfirmed
    service.rlimit(psutil.RLIMIT_FSIZE, (unlimited[1], resource.RLIM_INFINITY))
    await telegram.wait_for_reply(SARA, after=said.message_id, until=says("keep this"), timeout_s=60)
    assert [sent.text for sent in (await telegram.ledger()).to(SARA)] == ["hello", "keep this"]
    assert bridge.rows("PRAGMA integrity_check") == [{"integrity_check": "ok"}]
