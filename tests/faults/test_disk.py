"""The disk under the database fails; what was acknowledged is there, and nothing else was acknowledged."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from tests.fakes.preloaded import FaultyDisk, NoCompilerError
from tests.fakes.telegram.client import FakeTelegram, Person
from tests.faults.chaos import PLAIN
from tests.faults.dying import nothing_open
from tests.journey.bridge import Bridge
from tests.journey.conftest import NewBridge
from tests.journey.test_health import complains, until_health
from tests.journey.town import says, telegram_places

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

ANA, BEN = Person(11), Person(12)
SLOW = "!slow:0.5 " + " ".join(f"word{number}" for number in range(15))
Failing = Literal["flush", "write"]
WAYS: tuple[Failing, ...] = ("flush", "write")


@pytest.fixture
def disk(tmp_path: Path) -> FaultyDisk:
    """A disk that works until it is told otherwise."""
    try:
        return FaultyDisk.compiled("faulty_disk", tmp_path)
    except NoCompilerError as error:
        pytest.skip(f"no disk can be made to fail: {error}")


@pytest.fixture
async def bridge(new_bridge: NewBridge, disk: FaultyDisk) -> Bridge:
    """A service on Telegram over that disk, whose model can be told to be slow."""
    bridge = new_bridge(DISCORD__TOKEN="")
    await bridge.start(command_prefix=disk.prefix, program=PLAIN)
    return bridge


@pytest.mark.parametrize("failing", WAYS)
async def test_while_the_disk_fails_nothing_is_acknowledged_and_afterwards_all_is_answered_once(
    bridge: Bridge, telegram: FakeTelegram, disk: FaultyDisk, failing: Failing
) -> None:
    """C3: a message that came before and is being answered, and one that comes meanwhile."""
    await disk_fails_between_two_messages(bridge, telegram, disk, failing)
    await complains(bridge, "database")
    disk.mend()
    await both_answered_once(bridge, telegram)
    await until_health(bridge, lambda found: found["ok"])
    assert await bridge.terminate() == 0


@pytest.mark.parametrize("failing", WAYS)
async def test_a_service_that_is_killed_while_the_disk_fails_loses_nothing_and_doubles_nothing(
    bridge: Bridge, telegram: FakeTelegram, disk: FaultyDisk, failing: Failing
) -> None:
    """C3: what was written and not flushed may be there afterwards, although it was not acknowledged."""
    await disk_fails_between_two_messages(bridge, telegram, disk, failing)
    await bridge.kill_tree()
    disk.mend()
    await bridge.start()
    await both_answered_once(bridge, telegram)


@pytest.mark.parametrize("failing", WAYS)
async def test_a_service_does_not_begin_on_a_disk_that_fails(
    new_bridge: NewBridge, telegram: FakeTelegram, disk: FaultyDisk, failing: Failing
) -> None:
    """C3: it says so in a sentence and leaves; nothing was acknowledged."""
    disk.fail(failing)
    said = await telegram.say(BEN, "keep this")
    bridge = new_bridge(DISCORD__TOKEN="")
    await bridge.start(command_prefix=disk.prefix)
    assert await bridge.exited() == 1
    assert "look at the disk" in bridge.log
    assert "Traceback" not in bridge.log
    assert said.update_id in (await telegram.ledger()).unconfirmed
    disk.mend()
    await bridge.start()
    await telegram.wait_for_reply(BEN, until=says("keep this"), timeout_s=60)


async def disk_fails_between_two_messages(
    bridge: Bridge, telegram: FakeTelegram, disk: FaultyDisk, failing: Failing
) -> None:
    """Return when Ana's answer could not be stored, or at least not told to her, and Ben's message not be stored.

    The end of an answer is flushed with the note that it is being sent, and not before.
    """
    await telegram.say(ANA, SLOW)
    await telegram.wait_for_reply(ANA, until=lambda sent: SLOW.startswith(sent.text), timeout_s=60)
    disk.fail(failing)
    said = await telegram.say(BEN, "keep this")
    await bridge.logged("message not stored")
    await bridge.logged("database not usable, trying again")
    assert said.update_id in (await telegram.ledger()).unconfirmed
    assert bridge.rows("SELECT state FROM inbox") == [{"state": "running" if failing == "write" else "answered"}]
    assert bridge.rows("SELECT id FROM outbox WHERE state = 'sent' AND NOT is_status") == []


async def both_answered_once(bridge: Bridge, telegram: FakeTelegram) -> None:
    await telegram.wait_for_reply(BEN, until=says("keep this"), timeout_s=60)
    await bridge.until(lambda: nothing_open(bridge))
    places = telegram_places(await telegram.ledger())
    assert places[f"telegram:{ANA.id}"].answers == [SLOW]
    assert places[f"telegram:{BEN.id}"].answers == ["keep this"]
    assert [row["state"] for row in bridge.rows("SELECT state FROM inbox")] == ["answered", "answered"]
    assert bridge.rows("PRAGMA integrity_check") == [{"integrity_check": "ok"}]
    await telegram.wait_until(lambda record: record.unconfirmed == ())
