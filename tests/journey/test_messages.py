"""What people send, however odd, at one botbridge on both platforms whose model says back what it is told.

One service for the whole module; each test has people of its own.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from botbridge.control import ControlClient
from tests.fakes.discord import FakeDiscord
from tests.fakes.telegram.client import Chat, FakeTelegram, Sent
from tests.journey.bridge import Bridge
from tests.journey.hunting import leaks
from tests.journey.town import OPERATOR, Town, is_status, says, settings_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIMIT_CHARS = 16_000
SERVICE_LIMIT_BYTES = 150 * 2**20


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def town(
    tmp_path_factory: pytest.TempPathFactory, telegram_process: str, discord_process: str
) -> AsyncIterator[Town]:
    """Both platforms and a botbridge that is connected to them."""
    home: Path = tmp_path_factory.mktemp("town")
    async with (
        FakeTelegram(running=telegram_process) as telegram,
        FakeDiscord(running=discord_process) as discord,
        Bridge(home, settings_of(telegram, discord)) as bridge,
    ):
        await discord.wait_until("ready")
        yield Town(bridge, telegram, discord)
        assert leaks(bridge) == []


async def reply_to_raw(town: Town, text: str) -> Sent:
    """The reply to a person whose message's text is given as JSON."""
    person = town.somebody()
    before = await town.telegram.say(person, "knock")
    await town.telegram.wait_for_reply(person, after=before.message_id, until=says("knock"))
    message = {"message_id": 900_000 + person.id, "date": 1, "chat": person.chat.as_json, "from": person.as_json}
    await town.telegram.offer_raw(json.dumps({"message": {**message, "text": "@"}}).replace('"@"', text))
    return await town.telegram.wait_for_reply(
        person, until=lambda sent: sent.text != "knock" and not is_status(sent.text)
    )


async def test_a_person_on_each_platform_is_answered(town: Town) -> None:
    sara = town.somebody()
    said = await town.telegram.say(sara, "hello from here")
    asked = await town.discord.say("hello from there")
    await town.telegram.wait_for_reply(sara, after=said.message_id, until=says("hello from here"))
    await town.discord.wait_for_reply(asked, until=lambda text: text == "hello from there")


async def test_health_is_well_while_both_platforms_and_the_model_are(town: Town) -> None:
    """Whoever was answered knows that the model is loaded; before that, health would rightly say no."""
    sara = town.somebody()
    await town.telegram.say(sara, "ready?")
    await town.telegram.wait_for_reply(sara, until=says("ready?"))
    code, out, _ = await town.bridge.command("health")
    assert (code, "telegram" in out, "discord" in out) == (0, True, True)


async def test_the_service_itself_stays_small(town: Town) -> None:
    """Beside a model there is little room; none of the model's libraries may get into this process."""
    sara = town.somebody()
    for text in ("one", "two", "three"):
        said = await town.telegram.say(sara, text)
        await town.telegram.wait_for_reply(sara, after=said.message_id, until=says(text))
        asked = await town.discord.say(text)
        await town.discord.wait_for_reply(asked, until=lambda reply, text=text: reply == text)
    assert psutil.Process(town.bridge.pid).memory_info().rss < SERVICE_LIMIT_BYTES


@pytest.mark.parametrize(
    "content",
    [
        {"sticker": {"file_id": "s", "file_unique_id": "s", "type": "regular", "width": 1, "height": 1}},
        {"photo": [{"file_id": "p", "file_unique_id": "p", "width": 1, "height": 1}]},
        {"text": ""},
        {"text": " \n "},
    ],
    ids=["sticker", "photo", "empty", "blank"],
)
async def test_what_holds_nothing_to_read_is_answered_with_a_sentence(town: Town, content: dict[str, Any]) -> None:
    sara = town.somebody()
    said = await town.telegram.say(sara, **content)
    reply = await town.telegram.wait_for_reply(sara, after=said.message_id)
    assert reply.text.startswith("I can only read text")


async def test_a_picture_on_discord_is_answered_with_a_sentence(town: Town) -> None:
    asked = await town.discord.say("", person="painter", attachments=1)
    assert (await town.discord.wait_for_reply(asked)).text.startswith("I can only read text")


async def test_a_hundred_thousand_characters_from_telegram_are_refused_with_the_limit(town: Town) -> None:
    reply = await reply_to_raw(town, json.dumps("a" * 100_000))
    assert "100000 characters" in reply.text
    assert str(LIMIT_CHARS) in reply.text


async def test_a_hundred_thousand_characters_from_the_terminal_are_refused_with_the_limit(town: Town) -> None:
    client = ControlClient(town.bridge.home / "control.sock")
    shown = [item async for item in client.follow("chat", text="a" * 100_000)]
    assert shown[-1]["is_final"]
    assert str(LIMIT_CHARS) in shown[-1]["text"]


async def test_the_longest_message_that_discord_takes_is_answered_in_pieces_that_it_takes(town: Town) -> None:
    words = " ".join(f"word{number}" for number in range(220))
    asked = await town.discord.say(words, person="writer")
    reply = await town.discord.wait_for_reply(asked, until=lambda text: text.endswith("word219"))
    assert reply.text == words


async def test_half_of_a_surrogate_pair_harms_nothing(town: Town) -> None:
    reply = await reply_to_raw(town, r'"odd\ud800text"')
    assert (reply.text[:3], reply.text[-4:]) == ("odd", "text")


@pytest.mark.parametrize(
    "malformed",
    [
        '{"message": 5}',
        '{"message": {}}',
        '{"message": {"text": }}',
        '{"message": {"chat": {"id": "x", "type": "private"}, "from": {"id": 1}, "text": "hi"}}',
    ],
)
async def test_a_malformed_update_between_two_good_ones_is_kept_and_both_are_answered(
    town: Town, malformed: str
) -> None:
    sara, omar = town.somebody(), town.somebody()
    first = await town.telegram.say(sara, "before")
    update_id = await town.telegram.offer_raw(malformed)
    second = await town.telegram.say(omar, "after")
    await town.telegram.wait_for_reply(sara, after=first.message_id, until=says("before"))
    await town.telegram.wait_for_reply(omar, after=second.message_id, until=says("after"))
    await town.telegram.wait_until(lambda record: update_id not in record.unconfirmed)
    kept = town.bridge.rows("SELECT raw FROM inbox WHERE state = 'ignored'")
    assert any(str(update_id).encode() in row["raw"] for row in kept)


async def test_an_unknown_command_is_answered_with_the_way_to_the_known_ones(town: Town) -> None:
    sara = town.somebody()
    said = await town.telegram.say(sara, "/dance")
    reply = await town.telegram.wait_for_reply(sara, after=said.message_id)
    assert reply.text == "I do not know /dance. /help shows what I know."
    asked = await town.discord.say("/dance", person="dancer")
    assert (await town.discord.wait_for_reply(asked)).text == reply.text


async def test_a_command_to_another_bot_is_left_to_it(town: Town) -> None:
    """The next message of the group is answered, and nothing stands before that answer."""
    group, sara = Chat(-2001), town.somebody()
    first = await town.telegram.say(sara, "/reset@otherbot", chat=group)
    await town.telegram.say(sara, f"@{town.telegram.bot_username} still there?", chat=group)
    reply = await town.telegram.wait_for_reply(group, after=first.message_id)
    assert reply.reply_to == first.message_id + 1
    assert town.bridge.rows("SELECT id FROM inbox WHERE message_id = ?", str(first.message_id)) == []


async def test_a_stranger_resets_nobody_and_is_told(town: Town) -> None:
    sara, stranger = town.somebody(), town.somebody()
    await town.telegram.say(sara, "mine")
    said = await town.telegram.say(stranger, f"/reset {sara.id}")
    reply = await town.telegram.wait_for_reply(stranger, after=said.message_id)
    assert reply.text.startswith("You may not reset that")


async def test_an_admin_resets_within_the_own_group_and_nowhere_else(town: Town) -> None:
    here, there, sara, admin = Chat(-2002), Chat(-2003), town.somebody(), town.somebody()
    await town.telegram.change(member={"chat_id": here.id, "user_id": admin.id, "status": "administrator"})
    for group in (here, there):
        said = await town.telegram.say(sara, f"@{town.telegram.bot_username} remember", chat=group)
        await town.telegram.wait_for_reply(group, after=said.message_id, until=says("remember"))
    answers = []
    for group in (there, here):
        said = await town.telegram.say(admin, f"/reset@{town.telegram.bot_username} {sara.id}", chat=group)
        answers.append((await town.telegram.wait_for_reply(group, after=said.message_id)).text)
    assert answers == [
        "You may not reset that. Your own conversation you may: /reset",
        "Done. 1 conversation was reset.",
    ]


async def test_an_operator_resets_a_person_everywhere(town: Town) -> None:
    sara = town.somebody()
    said = await town.telegram.say(sara, "remember")
    await town.telegram.wait_for_reply(sara, after=said.message_id, until=says("remember"))
    said = await town.telegram.say(OPERATOR, f"/reset {sara.id}")
    assert (
        await town.telegram.wait_for_reply(OPERATOR, after=said.message_id)
    ).text == "Done. 1 conversation was reset."


async def test_whoever_manages_a_discord_server_resets_there_and_others_do_not(town: Town) -> None:
    await town.discord.person("boss", manager=True)
    asked = await town.discord.say("remember", person="ben", channel="reset")
    await town.discord.wait_for_reply(asked, until=lambda text: text == "remember")
    refused = await town.discord.slash("reset", person="ana", channel="reset", options={"person": "ben"})
    assert (await town.discord.wait_for_reply(refused)).text.startswith("You may not reset that")
    done = await town.discord.slash("reset", person="boss", channel="reset", options={"person": "ben"})
    assert (await town.discord.wait_for_reply(done)).text == "Done. 1 conversation was reset."


async def test_the_last_question_is_answered_again_on_both_platforms(town: Town) -> None:
    """On Discord by a slash command; each person's own."""
    sara = town.somebody()
    said = await town.telegram.say(sara, "what is a town?")
    answer = await town.telegram.wait_for_reply(sara, after=said.message_id, until=says("what is a town?"))
    await town.telegram.say(sara, "/again")
    await town.telegram.wait_for_reply(sara, after=answer.message_id, until=says("what is a town?"))
    asked = await town.discord.say("what is a village?", person="dan", channel="again")
    await town.discord.wait_for_reply(asked, until=lambda text: text == "what is a village?")
    again = await town.discord.slash("again", person="dan", channel="again")
    assert (await town.discord.wait_for_reply(again)).text == "what is a village?"
    stranger = await town.discord.slash("again", person="eve", channel="again")
    assert (await town.discord.wait_for_reply(stranger)).text.startswith("There is no question of yours here")
