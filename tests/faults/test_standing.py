"""Deaths around what the service tells a platform of itself: the commands it knows, and where to bring updates."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from botbridge.conversation.texts import load_texts
from botbridge.faults import Boundary
from botbridge.menus import telegram_menus
from tests.fakes.discord import FakeDiscord
from tests.fakes.telegram.client import FakeTelegram, Person
from tests.faults.dying import SIDES, died, dying
from tests.journey.bridge import Bridge
from tests.journey.conftest import NewBridge
from tests.journey.test_webhook import at_webhook, free_port
from tests.journey.town import says

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

OF_ITSELF = (Boundary.SET_MENU, Boundary.REGISTER, Boundary.SET_WEBHOOK, Boundary.REMOVE_WEBHOOK)
ANA = Person(11)


async def told_by_deaths(bridge: Bridge, boundary: Boundary, told: Callable[[], Awaitable[int]]) -> list[int]:
    """Die before a boundary, then after it; how often the platform had been told each time."""
    counts = []
    for side in SIDES:
        await bridge.start(program=dying(side, boundary))
        await died(bridge)
        counts.append(await told())
    return counts


async def test_telegrams_menus_are_whole_after_deaths_in_their_midst(
    new_bridge: NewBridge, telegram: FakeTelegram
) -> None:
    bridge = new_bridge(DISCORD__TOKEN="")

    async def menus_told() -> int:
        return len((await telegram.ledger()).menus)

    assert await told_by_deaths(bridge, Boundary.SET_MENU, menus_told) == [0, 1]
    await bridge.start()
    await telegram.say(ANA, "words")
    await telegram.wait_for_reply(ANA, until=says("words"))
    languages, scopes = telegram_menus(load_texts()), ("all_private_chats", "all_group_chats")
    menus = (await telegram.ledger()).menus
    assert set(menus) == {f"{scope}/{language}" for scope in scopes for language in languages}


async def test_discord_is_told_the_commands_until_it_is_noted_that_it_knows_them(
    new_bridge: NewBridge, discord: FakeDiscord
) -> None:
    bridge, seen = new_bridge(TELEGRAM__TOKEN=""), 0

    async def commands_told() -> int:
        return len(await discord.ledger("commands"))

    told = await told_by_deaths(bridge, Boundary.REGISTER, commands_told)
    for _ in range(2):
        await bridge.start()
        seen = (await discord.wait_until("ready", after=seen))["number"]
        told.append(await commands_told())
        await bridge.kill_tree()
    assert told == [0, 1, 2, 2]
    first, second = [entry["payload"] for entry in await discord.ledger("commands")]
    assert first == second


async def test_updates_are_heard_once_across_deaths_around_a_webhook_that_comes_and_goes(
    new_bridge: NewBridge, telegram: FakeTelegram
) -> None:
    bridge, texts = at_webhook(new_bridge, free_port()), []
    for boundary, mode in ((Boundary.SET_WEBHOOK, "webhook"), (Boundary.REMOVE_WEBHOOK, "polling")):
        for side in SIDES:
            texts.append(f"{side} {boundary}")
            await telegram.say(ANA, texts[-1])
            await bridge.start(program=dying(side, boundary), TELEGRAM__MODE=mode)
            await died(bridge)
            # A death after it leaves the webhook as it was to be.
            assert bool((await telegram.ledger()).webhook_url) is ((mode == "webhook") is (side == "after"))
        texts.append(f"alive by {mode}")
        await bridge.start()
        await telegram.say(ANA, texts[-1])
        await telegram.wait_for_reply(ANA, until=says(texts[-1]))
        await bridge.kill_tree()
    assert [sent.text for sent in (await telegram.ledger()).to(ANA)] == texts
