"""What the bot hears on Discord: the real discord.py on a real gateway."""

from __future__ import annotations

import json

import discord
import pytest
from structlog.testing import capture_logs

from botbridge.messages import ChatKind, MessageKind
from botbridge.platforms.discord.ingest import IngestClient, intents
from tests.fakes.discord import FakeDiscord
from tests.platforms.discord.conftest import Bot, OpenBot


def test_no_privileged_intent_is_asked_for_by_default() -> None:
    """An operator has to tick nothing in Discord's portal."""
    asked = intents(message_content=False)
    assert not any((asked.message_content, asked.members, asked.presences))
    assert all((asked.guild_messages, asked.dm_messages))
    assert intents(message_content=True).message_content


def test_whatever_the_client_itself_would_say_rings_nobody() -> None:
    """Also a message that is sent past the adapter, which forbids mentions in each of its own."""
    client = IngestClient(
        lambda _: None, message_content=False, begun=lambda: None, heartbeat_timeout_s=60.0, longest_pause_s=60.0
    )
    assert client.allowed_mentions is not None
    assert client.allowed_mentions.to_dict() == {"parse": []}  # also of the one who is replied to
    assert client.allowed_mentions.replied_user is False


async def test_the_gateway_is_asked_for_these_intents_and_no_others(server: FakeDiscord, bot: Bot) -> None:
    identified = await server.wait_until("identified")
    assert identified["intents"] == intents(message_content=False).value
    assert not discord.Intents(message_content=True).value & identified["intents"]


async def test_a_mention_in_a_channel_is_heard_without_the_mention(server: FakeDiscord, bot: Bot) -> None:
    message_id = await server.say("what is a harbour?", person="ana")
    heard = await bot.next()
    assert (heard.text, heard.kind, heard.message_id) == ("what is a harbour?", MessageKind.TEXT, message_id)
    assert heard.address.chat_kind is ChatKind.GROUP
    assert heard.address.reply_to == message_id
    assert heard.address.thread_id is None
    assert heard.address.bot_id == server.bot_id
    assert (heard.sender.username, heard.sender.display_name) == ("ana", "Ana")


async def test_whoever_picks_the_role_with_the_bots_name_is_heard(discord_process: str, open_bot: OpenBot) -> None:
    """Discord offers both where people choose, and many take the role; another role is nobody's business here."""
    async with (
        FakeDiscord(grant_message_content=True, running=discord_process) as server,
        open_bot(server, message_content=True) as bot,
    ):
        await server.say("hello there", mention=False, mention_role=True)
        await server.say("<@&123456789012345678> not you", mention=False)
        await server.say("and you", mention=True, mention_role=True)
        assert [heard.text for heard in (await bot.next(), await bot.next())] == ["hello there", "and you"]


async def test_a_mention_of_the_role_whose_text_is_withheld_is_heard_as_such(server: FakeDiscord, bot: Bot) -> None:
    """So that it can be answered with a sentence."""
    await server.say("hello there", mention=False, mention_role=True)
    heard = await bot.next()
    assert (heard.text, heard.kind) == ("", MessageKind.UNSUPPORTED)


async def test_a_file_beside_a_text_is_noticed(server: FakeDiscord, bot: Bot) -> None:
    await server.say("what is this?", attachments=1)
    await server.say("and that?")
    assert [(heard.text, heard.has_attachment) for heard in (await bot.next(), await bot.next())] == [
        ("what is this?", True),
        ("and that?", False),
    ]


async def test_a_thread_is_told_apart_from_its_channel(server: FakeDiscord, bot: Bot) -> None:
    await server.say("in the channel")
    await server.say("in the thread", thread="boats")
    channel, thread = await bot.next(), await bot.next()
    assert thread.address.chat_id == channel.address.chat_id
    assert thread.address.thread_id is not None


async def test_a_thread_that_was_never_announced_is_looked_up(server: FakeDiscord, bot: Bot) -> None:
    """Discord does not announce a thread that is archived when the session begins."""
    await server.say("before")
    await server.say("hello", thread="hidden", hidden_thread=True)
    channel, thread = await bot.next(), await bot.next()
    assert thread.address.chat_id == channel.address.chat_id
    assert thread.address.thread_id not in (None, channel.address.chat_id)


async def test_a_thread_that_cannot_be_looked_up_for_a_moment_is_looked_up_again(server: FakeDiscord, bot: Bot) -> None:
    await server.say("before")
    await bot.next()
    await server.fail("status", method="GET", path="/channels/", status=503)
    await server.say("hello", thread="hidden", hidden_thread=True)
    assert (await bot.next()).text == "hello"


async def test_a_thread_that_cannot_be_looked_up_is_told_in_the_log(server: FakeDiscord, bot: Bot) -> None:
    await server.fail("refuse", method="GET", path="/channels/", status=403, code=50001)
    with capture_logs() as logs:
        await server.say("hello", thread="hidden", hidden_thread=True)
        await server.say("after")
        assert (await bot.next()).text == "after"
    assert [line["log_level"] for line in logs if "thread_id" in line] == ["error"]


async def test_a_direct_message_needs_no_mention(server: FakeDiscord, bot: Bot) -> None:
    message_id = await server.say("hello", direct=True)
    heard = await bot.next()
    assert heard.text == "hello"
    assert heard.address.chat_kind is ChatKind.PRIVATE
    assert heard.address.reply_to == message_id


async def test_a_reply_with_the_ping_off_is_passed_on_as_unsupported(server: FakeDiscord, bot: Bot) -> None:
    """Discord withholds its text; the person must not wait for ever."""
    await server.say("hello")
    answer_id = await bot.answer(await bot.next(), "yes?")
    await server.say("and this?", mention=False, reply_to=answer_id, ping=False)
    heard = await bot.next()
    assert (heard.kind, heard.text) == (MessageKind.UNSUPPORTED, "")


async def test_a_reply_with_the_ping_on_is_heard_whole(server: FakeDiscord, bot: Bot) -> None:
    await server.say("hello")
    answer_id = await bot.answer(await bot.next(), "yes?")
    await server.say("and this?", mention=False, reply_to=answer_id)
    assert (await bot.next()).text == "and this?"


async def test_with_the_intent_a_reply_with_the_ping_off_is_heard_whole(
    discord_process: str, open_bot: OpenBot
) -> None:
    async with (
        FakeDiscord(grant_message_content=True, running=discord_process) as server,
        open_bot(server, message_content=True) as bot,
    ):
        await server.say("hello")
        answer_id = await bot.answer(await bot.next(), "yes?")
        await server.say("and this?", mention=False, reply_to=answer_id, ping=False)
        assert (await bot.next()).text == "and this?"


@pytest.mark.parametrize(
    "speaker",
    [{"bot": True, "person": "robot"}, {"webhook": True, "person": "hook"}, {"mention": False}],
    ids=["a bot", "a webhook", "a talk among others"],
)
async def test_what_is_not_for_the_bot_is_passed_over(
    server: FakeDiscord, bot: Bot, speaker: dict[str, object]
) -> None:
    await server.say("not for you", **speaker)  # type: ignore[arg-type]
    await server.say("for you")
    assert (await bot.next()).text == "for you"


async def test_its_own_words_and_bots_that_reply_to_it_are_passed_over(server: FakeDiscord, bot: Bot) -> None:
    """Else two bots would talk for ever."""
    await server.say("hello")
    question = await bot.next()
    answer_id = await bot.answer(question, f"I am <@{server.bot_id}>")
    await server.say("me too", person="robot", bot=True, mention=False, reply_to=answer_id)
    await server.say("still there?")
    assert (await bot.next()).text == "still there?"


async def test_a_picture_without_words_is_unsupported(server: FakeDiscord, bot: Bot) -> None:
    await server.say("", attachments=1)
    await server.say("", direct=True, attachments=1)
    assert [(await bot.next()).kind for _ in range(2)] == [MessageKind.UNSUPPORTED] * 2


async def test_notices_such_as_a_pin_are_passed_over(server: FakeDiscord, bot: Bot) -> None:
    """They come in the name of a person and can refer to the bot's messages."""
    await server.say("", direct=True, type=6)
    await server.say("hello", direct=True)
    assert (await bot.next()).text == "hello"


async def test_a_typed_command_names_a_person_by_mention_or_reply(server: FakeDiscord, bot: Bot) -> None:
    sara = await server.person("sara")
    her_message = await server.say("hi all", person="sara", mention=False)
    await server.say(f"/reset <@{sara}>")
    await server.say("/reset", reply_to=her_message)
    for heard in (await bot.next(), await bot.next()):
        assert (heard.kind, heard.text) == (MessageKind.COMMAND, "/reset")
        assert heard.target is not None
        assert heard.target.user_id == sara


async def test_a_malformed_event_between_two_good_ones_costs_neither(server: FakeDiscord, bot: Bot) -> None:
    await server.say("one")
    await server.dispatch("MESSAGE_CREATE", {"id": "no number", "channel_id": "5", "mentions": "nobody"})
    await server.dispatch("GUILD_CREATE", {"nothing": "of what is needed"})
    await server.say("two")
    assert [(await bot.next()).text for _ in range(2)] == ["one", "two"]
    assert len(await server.ledger("identified")) == 1
    ((address, message_id, raw, reason),) = bot.ignored
    assert (address.chat_id, message_id) == ("5", "no number")
    assert json.loads(raw)["mentions"] == "nobody"
    assert "Error" in reason


async def test_lone_surrogates_and_long_texts_arrive(server: FakeDiscord, bot: Bot) -> None:
    await server.say("half \ud83d of a pair", direct=True)
    await server.say("x" * 100_000, direct=True)
    assert (await bot.next()).text == "half \ufffd of a pair"
    assert len((await bot.next()).text) == 100_000
