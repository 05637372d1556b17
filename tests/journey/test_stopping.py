"""The end of the service: by SIGTERM, by a second one, and by its own decision when it is deaf."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest

from tests.fakes.telegram.client import FakeTelegram
from tests.journey.bridge import Bridge
from tests.journey.conftest import NewBridge
from tests.journey.town import SARA, says

pytestmark = pytest.mark.slow


def semaphores_of(process: psutil.Process) -> list[Path]:
    """The files of a process's semaphores, whose names the kernel does not tell."""
    lines = Path(f"/proc/{process.pid}/maps").read_text().splitlines()
    mapped = {line.split()[4] for line in lines if " /dev/shm/" in line}
    return [file for file in Path("/dev/shm").glob("sem.mp-*") if str(file.stat().st_ino) in mapped]


async def test_sigterm_while_nothing_happens_ends_it_in_order(bridge: Bridge) -> None:
    """A11."""
    assert await bridge.terminate() == 0
    assert bridge.processes() == []
    assert bridge.rows("PRAGMA integrity_check") == [{"integrity_check": "ok"}]


async def test_a_second_sigterm_ends_it_at_once_and_loses_nothing(bridge: Bridge, telegram: FakeTelegram) -> None:
    """A11, D8: a send hangs, so that the first one waits; the reply is in doubt, which is told, and given again."""
    await telegram.say(SARA, "awake?")
    await telegram.wait_for_reply(SARA, until=says("awake?"))
    await telegram.break_calls("sendMessage", "hang")
    await telegram.say(SARA, "hello")
    replies = "SELECT state FROM outbox WHERE NOT is_status ORDER BY id"
    await bridge.until(lambda: [row["state"] for row in bridge.rows(replies)] == ["sent", "sending"])
    service = psutil.Process(bridge.pid)
    semaphores = semaphores_of(service)
    assert semaphores
    service.send_signal(signal.SIGTERM)
    await bridge.logged("Stopping")
    service.send_signal(signal.SIGTERM)
    assert await bridge.exited() == 128 + signal.SIGTERM
    assert bridge.log.splitlines()[-1].endswith("Stopping; a second signal leaves at once.")
    assert [file for file in semaphores if file.exists()] == []  # the tracker has done what it no longer speaks of
    assert [row["state"] for row in bridge.rows(replies)] == ["sent", "sending"]
    await telegram.mend()
    await bridge.start()
    notice = await telegram.wait_for_reply(SARA, until=lambda sent: "/again" in sent.text)
    await telegram.say(SARA, "/again")
    await telegram.wait_for_reply(SARA, after=notice.message_id, until=says("hello"))
    assert [row["state"] for row in bridge.rows(replies)][:3] == ["sent", "delivery_unknown", "sent"]


async def test_a_service_that_is_deaf_for_too_long_leaves_with_its_own_exit_code(
    new_bridge: NewBridge, telegram: FakeTelegram
) -> None:
    """A13: only because it was told to; what came in is kept and answered by the next start."""
    bridge = new_bridge(
        INFERENCE__ENGINE="auto", INFERENCE__MODEL="nobody/not-pulled", RUN__EXIT_WHEN_DEAF_S="3", DISCORD__TOKEN=""
    )
    await telegram.say(SARA, "are you there?")
    await bridge.start()
    assert await bridge.exited() == 3
    assert "nobody/not-pulled" in await bridge.logged("The model could not run for 3 s")
    assert bridge.processes() == []
    assert [row["state"] for row in bridge.rows("SELECT state FROM inbox")] == ["queued"]
    await bridge.start(INFERENCE__ENGINE="echo")
    await telegram.wait_for_reply(SARA, until=says("are you there?"))
