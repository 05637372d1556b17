"""What people write while the bot is away is taken in at once by its next start, commands and all."""

from __future__ import annotations

import pytest

from tests.fakes.discord import FakeDiscord
from tests.fakes.telegram.client import Chat, FakeTelegram, Person
from tests.journey.bridge import Bridge
from tests.journey.conftest import NewBridge

ANN = Person(42)
UNFINISHED = "SELECT count(*) AS messages FROM inbox WHERE finished_at IS NULL"
REMEMBERED = """
SELECT turn.text FROM turn JOIN conversation ON conversation.id = turn.conversation_id
WHERE conversation.epoch = turn.epoch AND turn.role = 'user' ORDER BY turn.id
"""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("place", ["telegram private", "telegram group", "discord channel"])
async def test_what_stands_behind_a_reset_in_one_batch_is_answered_afresh_and_remembered(
    new_bridge: NewBridge, telegram: FakeTelegram, discord: FakeDiscord, place: str
) -> None:
    """In a group the platform is asked first who may do what."""
    say = {
        "telegram private": lambda text: telegram.say(ANN, text),
        "telegram group": lambda text: telegram.say(ANN, _addressed(text), chat=Chat(-1001)),
        "discord channel": lambda text: discord.say(text, person="ann", channel="batch"),
    }[place]
    bridge = new_bridge()
    await bridge.start()
    await discord.wait_until("ready")
    await say("old words")
    await bridge.until(lambda: _all_ended(bridge, messages=1))
    await bridge.terminate()
    for text in ("/reset", "my name is Ann", "who am I?"):
        await say(text)
    await bridge.start()
    await bridge.until(lambda: _all_ended(bridge, messages=4), timeout_s=60)
    states = bridge.rows("SELECT state FROM inbox ORDER BY id")
    assert [row["state"] for row in states] == ["answered"] * 4
    assert [row["text"] for row in bridge.rows(REMEMBERED)] == ["my name is Ann", "who am I?"]


def _addressed(text: str) -> str:
    return text if text.startswith("/") else f"@OurBot {text}"


def _all_ended(bridge: Bridge, *, messages: int) -> bool:
    accepted = bridge.rows("SELECT count(*) AS messages FROM inbox")
    return accepted == [{"messages": messages}] and bridge.rows(UNFINISHED) == [{"messages": 0}]
