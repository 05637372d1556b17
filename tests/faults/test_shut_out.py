"""A chat is closed to the bot while its answer is computed: the real service stops computing it, on both platforms."""

from __future__ import annotations

import pytest

from tests.fakes.discord import FakeDiscord
from tests.fakes.telegram.client import FakeTelegram, Person
from tests.faults.dying import SERVE, nothing_open
from tests.journey.bridge import Bridge
from tests.journey.conftest import NewBridge
from tests.journey.town import says

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

ANA, OMAR = Person(11), Person(12)
WORDS = 300
ENDLESS = "!slow:0.2 " + " ".join(f"w{number}" for number in range(WORDS))
"""A minute of computing."""


async def with_one_slot(new_bridge: NewBridge) -> Bridge:
    """A service that computes one answer at a time."""
    bridge = new_bridge(INFERENCE__SLOTS="1")
    await bridge.start(program=(SERVE, "--fault-words"))
    await bridge.logged("Worker 1 started", timeout_s=120)
    return bridge


async def stopped(bridge: Bridge) -> None:
    """Return when the answer to the first message has been stopped, and nothing is tried again for it."""
    state = "SELECT state FROM inbox ORDER BY id LIMIT 1"
    await bridge.until(lambda: bridge.rows(state) == [{"state": "cancelled"}])
    await bridge.until(lambda: nothing_open(bridge))
    parts = bridge.rows("SELECT state, text FROM outbox WHERE inbox_id = 1 AND NOT is_status ORDER BY id")
    assert {part["state"] for part in parts} == {"undeliverable"}
    assert 0 < sum(len(part["text"].split()) for part in parts) < WORDS / 2


async def test_who_blocks_the_bot_in_mid_answer_on_telegram_costs_nobody_a_slot(
    new_bridge: NewBridge, telegram: FakeTelegram
) -> None:
    bridge = await with_one_slot(new_bridge)
    await telegram.say(ANA, ENDLESS)
    await telegram.wait_for_reply(ANA, until=lambda sent: "w0" in sent.text)
    await telegram.change(shut={"chat_id": ANA.id, "description": "bot was blocked by the user"})
    await stopped(bridge)
    await telegram.say(OMAR, "and me?")
    await telegram.wait_for_reply(OMAR, until=says("and me?"))


@pytest.mark.parametrize(("status", "code"), [(404, 10003), (403, 50001)])
async def test_a_channel_that_goes_in_mid_answer_on_discord_costs_nobody_a_slot(
    new_bridge: NewBridge, discord: FakeDiscord, status: int, code: int
) -> None:
    """It was deleted, or the bot was thrown out of the server."""
    bridge = await with_one_slot(new_bridge)
    await discord.wait_until("ready")
    asked = await discord.say(ENDLESS, channel="doomed")
    reply = await discord.wait_for_reply(asked, until=lambda text: "w0" in text)
    path = f"/channels/{reply.channel_id}"
    await discord.fail("refuse", path=path, status=status, code=code, times=10_000)
    await stopped(bridge)
    other = await discord.say("and me?", channel="other", person="omar")
    await discord.wait_for_reply(other, until="and me?".__eq__)
