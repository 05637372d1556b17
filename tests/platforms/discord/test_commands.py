"""Slash commands: told to Discord once, acknowledged when stored, answered for one pair of eyes."""

from __future__ import annotations

import pytest

from botbridge.errors import DeliveryUnknown, PlatformUnavailable, ReplyRejected, StorageUnavailable
from botbridge.messages import ChatKind, InboxId, MessageKind, OutboxPart, Part, PartId, PartState
from botbridge.platforms.discord.commands import Label, Options, SlashCommand, menu
from botbridge.storage.rules import addresses
from tests.fakes.discord import FakeDiscord
from tests.platforms.discord.conftest import MENU, Bot, InMemoryState, OpenBot


async def test_the_menu_is_registered_once_and_again_only_when_it_changes(
    server: FakeDiscord, open_bot: OpenBot
) -> None:
    state = InMemoryState()
    for commands in (MENU, MENU, (*MENU, SlashCommand("about", Label("What I am"))), MENU[:1]):
        async with open_bot(server, state=state, commands=commands):
            pass
    assert [len(entry["names"]) for entry in await server.ledger("commands")] == [4, 5, 1]


async def test_the_menu_holds_descriptions_in_the_languages_that_discord_has(
    server: FakeDiscord, open_bot: OpenBot
) -> None:
    commands = [SlashCommand("help", Label("Help", {"de": "Hilfe", "ar": "مساعدة", "es": "Ayuda"}))]
    async with open_bot(server, commands=commands):
        pass
    (command,) = (await server.ledger("commands"))[0]["payload"]
    assert command["description"] == "Help"
    assert command["description_localizations"] == {"de": "Hilfe", "es-ES": "Ayuda", "es-419": "Ayuda"}
    assert command["name_localizations"] == {}


async def test_a_menu_that_discord_refuses_does_not_stop_the_bot(server: FakeDiscord, open_bot: OpenBot) -> None:
    await server.fail("refuse", method="PUT", path="/commands", status=403, code=50001)
    async with open_bot(server) as bot:
        await server.say("hello")
        assert (await bot.next()).text == "hello"


async def test_a_command_is_acknowledged_and_answered_to_its_sender_alone(server: FakeDiscord, bot: Bot) -> None:
    interaction_id = await server.slash("help", person="ana", thread="boats", locale="de")
    heard = await bot.next()
    assert (heard.kind, heard.text, heard.message_id) == (MessageKind.COMMAND, "/help", interaction_id)
    assert heard.sender.language == "de"
    assert heard.address.thread_id is not None
    assert heard.address.reply_to == heard.message_id
    await bot.answer(heard, "I can help.")
    reply = await server.wait_for_reply(interaction_id)
    assert (reply.text, reply.only_for) == ("I can help.", heard.sender.user_id)
    kinds = [entry["kind"] for entry in await server.ledger() if entry.get("interaction_id") == interaction_id]
    assert kinds == ["slash", "deferred", "answer_edited"]


async def test_a_command_works_in_private(server: FakeDiscord, bot: Bot) -> None:
    await server.slash("whoami", direct=True)
    heard = await bot.next()
    assert heard.address.chat_kind is ChatKind.PRIVATE
    await bot.answer(heard, "You are you.")
    assert (await server.wait_until("answer_edited"))["content"] == "You are you."


async def test_choices_and_people_become_the_words_and_the_target(server: FakeDiscord, bot: Bot) -> None:
    sara = await server.person("sara")
    await server.slash("reset")
    await server.slash("reset", options={"what": "all confirm"})
    await server.slash("reset", options={"person": "sara"})
    await server.slash("reset", options={"what": "chat", "person": "stranger"})
    heard = [await bot.next() for _ in range(4)]
    assert [one.text for one in heard] == ["/reset", "/reset all confirm", "/reset", "/reset chat"]
    assert [one.target and one.target.username for one in heard] == [None, None, "sara", "stranger"]
    assert heard[2].target is not None
    assert heard[2].target.user_id == sara


async def test_words_without_choices_are_typed_freely(server: FakeDiscord, open_bot: OpenBot) -> None:
    """Names of adapters are not known when the menu is made."""
    words = menu({"en": [("adapter", "Choose")]}, {"adapter": Options(words_label=Label("its name, or none"))})
    async with open_bot(server, commands=words) as bot:
        await server.slash("adapter", options={"what": "org/poet-1.5"})
        await server.slash("adapter")
        assert [(await bot.next()).text for _ in range(2)] == ["/adapter org/poet-1.5", "/adapter"]


async def test_a_long_answer_fills_the_first_message_and_follows_up_unseen_by_others(
    server: FakeDiscord, bot: Bot
) -> None:
    interaction_id = await server.slash("help")
    heard = await bot.next()
    first, second, third = [await bot.answer(heard, text) for text in ("one", "two", "three")]
    assert len({first, second, third}) == 3
    written = await server.ledger("answer_edited", "followed_up")
    assert [entry["content"] for entry in written] == ["one", "two", "three"]
    assert {entry["only_for"] for entry in written} == {heard.sender.user_id}
    assert {entry["interaction_id"] for entry in written} == {interaction_id}


async def test_an_answer_tried_before_a_crash_is_not_given_twice(server: FakeDiscord, bot: Bot) -> None:
    await server.slash("help")
    heard = await bot.next()
    first = await bot.answer(heard, "one")
    assert await bot.answer(heard, "one", attempts=1) == first
    assert len(await server.ledger("answer_edited", "followed_up")) == 1


async def test_a_first_answer_without_an_outcome_is_repeated_in_its_place(
    server: FakeDiscord, open_bot: OpenBot
) -> None:
    """The process lives on, so that it counts no new attempt of its own."""
    async with open_bot(server, timeout_s=1.0) as bot:
        await server.slash("help")
        heard = await bot.next()
        part = bot.part(heard.address, "one")
        await server.fail("swallow", method="PATCH", path="/webhooks/")
        with pytest.raises(PlatformUnavailable):
            await bot.platform.send(part)
        assert await bot.platform.send(part)
        assert [entry["content"] for entry in await server.ledger("answer_edited", "followed_up")] == ["one"]


async def test_a_follow_up_without_an_outcome_is_not_repeated(server: FakeDiscord, open_bot: OpenBot) -> None:
    """It has no nonce: a second try could be a second message."""
    async with open_bot(server, timeout_s=0.5) as bot:
        await server.slash("help")
        heard = await bot.next()
        await bot.answer(heard, "one")
        await server.fail("swallow", method="POST", path="/webhooks/")
        with pytest.raises(DeliveryUnknown):
            await bot.answer(heard, "two")


@pytest.mark.parametrize("status", [500, 502, 503, 504, 524])
async def test_a_follow_up_that_discord_took_and_answered_with_a_server_error_is_one_message(
    server: FakeDiscord, bot: Bot, status: int
) -> None:
    """discord.py itself sends again after most of them."""
    await server.slash("help")
    heard = await bot.next()
    await bot.answer(heard, "one")
    await server.fail("accept_and_status", method="POST", path="/webhooks/", status=status)
    with pytest.raises(DeliveryUnknown):
        await bot.answer(heard, "two")
    assert [entry["content"] for entry in await server.ledger("followed_up")] == ["two"]


async def test_after_a_crash_only_the_first_answer_to_a_command_may_be_repeated(server: FakeDiscord, bot: Bot) -> None:
    """A4, A5: what follows it has no nonce and no place of its own."""
    await server.slash("help")
    heard = await bot.next()
    first, second = (
        OutboxPart(PartId(1), InboxId(1), address, Part("text"), PartState.SENDING)
        for address in addresses(heard.address, 2)
    )
    assert bot.platform.repeats_safely(first)
    assert not bot.platform.repeats_safely(second)


async def test_an_answer_can_be_edited(server: FakeDiscord, bot: Bot) -> None:
    await server.slash("help")
    heard = await bot.next()
    first = await bot.answer(heard, "one")
    assert await bot.answer(heard, "two", edits=first) == first
    assert (await server.ledger("answer_edited"))[-1]["content"] == "two"


async def test_after_fifteen_minutes_an_answer_is_refused(server: FakeDiscord, bot: Bot) -> None:
    await server.slash("help")
    heard = await bot.next()
    await server.wait_until("deferred")
    await server.advance(901)
    with pytest.raises(ReplyRejected):
        await bot.answer(heard, "too late")


AGAIN = menu({"en": [("again", "Answer again"), ("whoami", "Who you are to me")]})


@pytest.mark.parametrize(
    ("command", "place"), [("again", {}), ("again", {"direct": True}), ("whoami", {"direct": True})]
)
async def test_what_is_said_too_late_for_the_menu_is_said_in_the_channel(
    server: FakeDiscord, open_bot: OpenBot, command: str, place: dict[str, bool]
) -> None:
    """The word that a message is given up comes after 15 minutes, too, and so may an answer; each once."""
    async with open_bot(server, commands=AGAIN, timeout_s=1.0) as bot:
        await server.slash(command, **place)  # type: ignore[arg-type]
        heard = await bot.next()
        await server.wait_until("deferred")
        await server.advance(901)
        parts = [bot.part(address, text) for address, text in zip(addresses(heard.address, 2), "ab", strict=True)]
        await server.fail("swallow", method="POST", path="/messages")
        with pytest.raises(PlatformUnavailable):
            await bot.platform.send(parts[0])
        for part in parts:
            await bot.platform.send(part)
        sent = await server.ledger("sent")
        asked = (await server.ledger("deferred"))[0]
        assert [(entry["content"], entry["channel_id"]) for entry in sent] == [
            ("a", asked["channel_id"]),
            ("b", asked["channel_id"]),
        ]
        assert {entry["reply_to"] for entry in sent} == {None}


async def test_an_answer_that_may_have_been_given_in_time_is_not_said_again_in_the_channel(
    server: FakeDiscord, open_bot: OpenBot
) -> None:
    """The notice about it is, which offers `/again`."""
    async with open_bot(server, commands=AGAIN) as bot:
        await server.slash("again")
        heard = await bot.next()
        await bot.answer(heard, "an answer")
        await server.advance(901)
        with pytest.raises(DeliveryUnknown):
            await bot.answer(heard, "an answer", attempts=1)
        assert await server.ledger("sent") == []


async def test_what_one_person_alone_was_to_see_is_not_said_in_a_server(server: FakeDiscord, open_bot: OpenBot) -> None:
    async with open_bot(server, commands=AGAIN) as bot:
        await server.slash("whoami")
        heard = await bot.next()
        await server.wait_until("deferred")
        await server.advance(901)
        with pytest.raises(ReplyRejected):
            await bot.answer(heard, "your rights")
        assert await server.ledger("sent") == []


async def test_what_discord_refuses_for_another_reason_is_not_said_in_the_channel(
    server: FakeDiscord, open_bot: OpenBot
) -> None:
    async with open_bot(server, commands=AGAIN) as bot:
        await server.slash("again")
        heard = await bot.next()
        await server.wait_until("deferred")
        await server.fail("refuse", method="PATCH", path="/webhooks/", status=400, code=50035)
        with pytest.raises(ReplyRejected):
            await bot.answer(heard, "an answer")
        assert await server.ledger("sent") == []


async def test_a_command_that_waits_too_long_for_the_database_is_refused_and_costs_nothing_else(
    server: FakeDiscord, bot: Bot
) -> None:
    """It is not acknowledged before it is stored; Discord itself then says that nobody answered."""
    bot.errors.append(StorageUnavailable("locked"))
    await server.fail("refuse", path="/callback", status=404, code=10062)
    await server.slash("help")
    heard = await bot.next()
    with pytest.raises(ReplyRejected):
        await bot.answer(heard, "too late")
    await server.say("and now?")
    assert (await bot.next()).text == "and now?"


async def test_nothing_is_acknowledged_that_could_not_be_stored(server: FakeDiscord, bot: Bot) -> None:
    bot.errors.append(RuntimeError("a bug of ours"))
    await server.slash("help")
    await server.say("next")
    assert (await bot.next()).text == "next"
    assert await server.ledger("deferred") == []


async def test_an_answer_that_is_ready_before_the_acknowledgement_waits_for_it(server: FakeDiscord, bot: Bot) -> None:
    """The service may be quicker than Discord."""
    await server.fail("status", path="/callback", status=502)
    await server.slash("help")
    await bot.answer(await bot.next(), "quick")
    assert (await server.ledger("answer_edited"))[0]["content"] == "quick"


async def test_an_acknowledgement_that_is_never_answered_does_not_hold_up_the_others(
    server: FakeDiscord, bot: Bot
) -> None:
    await server.fail("swallow", path="/callback")
    await server.slash("help")
    await server.say("next")
    assert (await bot.next()).text == "/help"
    assert (await bot.next()).text == "next"
