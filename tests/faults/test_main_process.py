"""The service dies by its own hand at each boundary, on both platforms; the next one makes the best of it."""

from __future__ import annotations

from collections.abc import Awaitable

import pytest

from botbridge.faults import Boundary
from tests.fakes.discord import FakeDiscord
from tests.fakes.telegram.client import FakeTelegram, Person
from tests.faults.dying import SIDES, Side, died, dying, nothing_open
from tests.journey.bridge import Bridge
from tests.journey.conftest import NewBridge
from tests.journey.town import discord_places, says, telegram_places

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

ANA = Person(11)


async def on_telegram(new_bridge: NewBridge, telegram: FakeTelegram, side: Side, boundary: Boundary) -> Bridge:
    """A service that answered one message, died over the second at a point, and runs again."""
    bridge = new_bridge(DISCORD__TOKEN="")
    await bridge.start(program=dying(side, boundary, times_let_past=1))
    await telegram.say(ANA, "first words")
    await telegram.wait_for_reply(ANA, until=says("first words"))
    await telegram.say(ANA, "second words")
    await died(bridge)
    await bridge.start()
    return bridge


async def on_discord(new_bridge: NewBridge, discord: FakeDiscord, side: Side, boundary: Boundary) -> Bridge:
    """The same on Discord, with the second message last seen alive in the same channel."""
    bridge = new_bridge(TELEGRAM__TOKEN="")
    await bridge.start(program=dying(side, boundary, times_let_past=1))
    await discord.wait_until("ready")
    await discord.wait_for_reply(await discord.say("first words"), until="first words".__eq__)
    await discord.say("second words")
    await died(bridge)
    await bridge.start()
    return bridge


async def settled(bridge: Bridge) -> None:
    """Return when nothing is owed to anybody any more."""
    accepted = "SELECT count(*) AS accepted FROM inbox"
    await bridge.until(lambda: bridge.rows(accepted) == [{"accepted": 2}])
    await bridge.until(lambda: nothing_open(bridge))


def parts(bridge: Bridge) -> list[str]:
    """In which state each part of the answers is, oldest first."""
    return [row["state"] for row in bridge.rows("SELECT state FROM outbox WHERE NOT is_status ORDER BY id")]


async def heard_on_telegram(telegram: FakeTelegram) -> list[str]:
    return telegram_places(await telegram.ledger())[f"telegram:{ANA.id}"].answers


async def heard_on_discord(discord: FakeDiscord) -> list[str]:
    (place,) = (await discord_places(discord)).values()
    return place.answers


async def both_answered_once(bridge: Bridge, heard: Awaitable[list[str]]) -> None:
    """Return when nothing is owed any more; every message has one answer that is seen, and is noted as sent."""
    await settled(bridge)
    assert await heard == ["first words", "second words"]
    assert parts(bridge) == ["sent", "sent"]


AT_A_COMMIT = (Boundary.INGEST, Boundary.REPLY)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("boundary", AT_A_COMMIT)
async def test_a_death_at_a_commit_loses_nothing_and_doubles_nothing_on_telegram(
    new_bridge: NewBridge, telegram: FakeTelegram, side: Side, boundary: Boundary
) -> None:
    bridge = await on_telegram(new_bridge, telegram, side, boundary)
    await both_answered_once(bridge, heard_on_telegram(telegram))
    attempts = [row["attempts"] for row in bridge.rows("SELECT attempts FROM inbox ORDER BY id")]
    assert attempts == ([1, 2] if (side, boundary) == ("before", Boundary.REPLY) else [1, 1])
    await telegram.wait_until(lambda record: record.unconfirmed == ())


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("boundary", AT_A_COMMIT)
async def test_a_death_at_a_commit_loses_nothing_and_doubles_nothing_on_discord(
    new_bridge: NewBridge, discord: FakeDiscord, side: Side, boundary: Boundary
) -> None:
    bridge = await on_discord(new_bridge, discord, side, boundary)
    await both_answered_once(bridge, heard_on_discord(discord))


async def test_telegram_is_not_asked_again_when_a_death_leaves_it_open_whether_a_part_went_out(
    new_bridge: NewBridge, telegram: FakeTelegram
) -> None:
    bridge = await on_telegram(new_bridge, telegram, "before", Boundary.SEND)
    await settled(bridge)
    assert "second words" not in await heard_on_telegram(telegram)
    assert parts(bridge)[:2] == ["sent", "delivery_unknown"]


async def test_telegram_gets_no_second_copy_of_a_part_that_it_took_before_a_death(
    new_bridge: NewBridge, telegram: FakeTelegram
) -> None:
    bridge = await on_telegram(new_bridge, telegram, "after", Boundary.SEND)
    await settled(bridge)
    assert (await heard_on_telegram(telegram)).count("second words") == 1
    assert parts(bridge)[:2] == ["sent", "delivery_unknown"]


@pytest.mark.parametrize("side", SIDES)
async def test_discord_shows_one_message_wherever_a_death_falls_around_its_send(
    new_bridge: NewBridge, discord: FakeDiscord, side: Side
) -> None:
    bridge = await on_discord(new_bridge, discord, side, Boundary.SEND)
    await both_answered_once(bridge, heard_on_discord(discord))


async def test_two_equal_answers_are_both_shown_though_a_death_falls_before_the_second(
    new_bridge: NewBridge, discord: FakeDiscord
) -> None:
    """In private nothing is quoted: the first answer must not be taken for an earlier try of the second."""
    bridge = new_bridge(TELEGRAM__TOKEN="")
    await bridge.start(program=dying("before", Boundary.SEND, times_let_past=1))
    await discord.wait_until("ready")
    await discord.fail("rate_limit", method="POST", path="/messages", retry_after_s=2.0)
    for _ in range(2):  # both are asked before the first is answered
        await discord.say("the same words", direct=True)
    await died(bridge)
    await bridge.start()
    await settled(bridge)
    assert await heard_on_discord(discord) == ["the same words"] * 2
    assert parts(bridge) == ["sent", "sent"]


async def test_a_death_between_two_migrations_leaves_the_schema_whole(new_bridge: NewBridge) -> None:
    bridge = new_bridge(TELEGRAM__TOKEN="", DISCORD__TOKEN="")
    await bridge.start(program=dying("before", Boundary.MIGRATION, times_let_past=1))
    await died(bridge)
    assert bridge.rows("SELECT name FROM sqlite_schema") == []
    await bridge.start()
    await bridge.until((bridge.home / "control.sock").exists)
    assert bridge.rows("PRAGMA integrity_check") == [{"integrity_check": "ok"}]
    assert len(bridge.rows("SELECT version_num FROM alembic_version")) == 1
