"""SIGKILL of everything at any moment, with a model that says back what it is told."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from tests.fakes.discord import FakeDiscord
from tests.fakes.telegram.client import FakeTelegram
from tests.journey.bridge import Bridge
from tests.journey.conftest import NewBridge
from tests.journey.town import Place, Town, discord_places, telegram_places

KILLS = 5
MESSAGES_A_ROUND = 4
"""On each platform: with five kills, forty in all."""

MOST_EVENTS = 2 * MESSAGES_A_ROUND
"""So many a round brings forth on either platform, however fast: what was said, and what came back."""


@pytest.mark.timeout(240)
async def test_nothing_is_lost_or_doubled_by_killing_everything_again_and_again(
    new_bridge: NewBridge, telegram: FakeTelegram, discord: FakeDiscord
) -> None:
    """Each kill comes after a random number of things have happened on one of the platforms.

    What Discord told a process that died before it had stored it is gone, since
    Discord tells a thing once; a send to Telegram that was cut in the middle is
    never repeated. Both are counted here, neither may be doubled.
    """
    chance = random.Random(20261122)
    bridge = new_bridge()
    town = Town(bridge, telegram, discord)
    for round_number in range(KILLS):
        await bridge.start()
        await discord.wait_until("ready", after=len(await discord.ledger()))
        so_far = {"telegram": len((await telegram.ledger()).events), "discord": len(await discord.ledger())}
        for number in range(MESSAGES_A_ROUND):
            name = f"{round_number}-{number}"
            await telegram.say(town.somebody(), f"telegram {name}")
            await discord.say(f"discord {name}", person=f"person{name}", channel=f"channel{name}")
        platform = chance.choice(["telegram", "discord"])
        await long_as(town, platform, so_far[platform] + chance.randint(MESSAGES_A_ROUND, MOST_EVENTS))
        await bridge.kill_tree()
        assert bridge.processes() == []
    await bridge.start()
    await telegram.wait_until(lambda record: not lacking(telegram_places(record)) - in_doubt(bridge), timeout_s=90)
    while lost := lacking(await discord_places(discord)) - in_doubt(bridge) - await never_stored(discord, bridge):
        await discord.wait_for(lambda _: True, after=len(await discord.ledger()), timeout_s=60)
    places = telegram_places(await telegram.ledger()) | await discord_places(discord)
    assert sum(len(place.asked) for place in places.values()) == 2 * KILLS * MESSAGES_A_ROUND
    assert (lost, doubled(places) - notices(bridge)) == (Counter(), Counter())
    assert (await telegram.ledger()).unconfirmed == ()
    assert bridge.rows("PRAGMA integrity_check") == [{"integrity_check": "ok"}]


async def long_as(town: Town, platform: str, length: int) -> None:
    """Return when a platform's ledger has so many entries."""
    if platform == "telegram":
        await town.telegram.wait_until(lambda record: len(record.events) >= length)
    else:
        await town.discord.wait_for(lambda entry: entry["number"] >= length)


def lacking(places: dict[str, Place]) -> Counter[str]:
    """What was asked and has no answer to be seen."""
    return sum((Counter(place.asked) - Counter(place.answers) for place in places.values()), Counter[str]())


def doubled(places: dict[str, Place]) -> Counter[str]:
    """What the bot says more often than it was asked, or without being asked."""
    return sum((Counter(place.answers) - Counter(place.asked) for place in places.values()), Counter[str]())


def in_doubt(bridge: Bridge) -> Counter[str]:
    """Answers of which nobody knows whether they were delivered."""
    return Counter(row["text"] for row in bridge.rows("SELECT text FROM outbox WHERE state = 'delivery_unknown'"))


def notices(bridge: Bridge) -> Counter[str]:
    """The words that are owed to those whose answer is in doubt."""
    return Counter(row["text"] for row in bridge.rows("SELECT text FROM outbox WHERE is_notice"))


async def never_stored(discord: FakeDiscord, bridge: Bridge) -> Counter[str]:
    """What was said on Discord and died with a process before it was stored."""
    stored = {row["message_id"] for row in bridge.rows("SELECT message_id FROM inbox WHERE platform = 'discord'")}
    said = await discord.ledger("said")
    return Counter(
        entry["content"].replace(f"<@{discord.bot_id}>", "").strip()
        for entry in said
        if entry["message_id"] not in stored
    )
