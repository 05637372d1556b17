"""Commands: who may reset and stop what, and what everybody is told."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from botbridge.conversation.commands import NAMES
from botbridge.conversation.desk import command_menu
from botbridge.conversation.scope import Scope, key_for
from botbridge.conversation.texts import load_texts
from botbridge.messages import AuditEntry, BotId, ChatId, InboxState, PlatformName, UserId
from tests.conversation.conftest import OPERATOR, World

TELEGRAM = PlatformName("telegram")


async def talked(world: World, text: str, **who: object) -> None:
    """Let somebody say something and wait for the answer."""
    await world.say(text, **who)
    await world.until(lambda: any(text in shown.text and "echo" in shown.text for shown in world.platform.ledger))


async def told(world: World, chat: str, words: str) -> None:
    await world.until(lambda: words in "".join(world.platform.texts(chat)))


async def test_everybody_resets_their_own_conversation(world: World) -> None:
    await world.start()
    await talked(world, "one")
    await world.say("/reset")
    await told(world, "1", "We start afresh")
    await talked(world, "two")
    assert [turn.text for turn in world.generator.prompts[-1].turns] == ["two"]
    assert world.store.audit == [AuditEntry("telegram:1", "reset", "own", allowed=True, reason="own")]


async def test_a_reset_ends_what_runs_and_what_waits_with_a_word_each(world: World) -> None:
    world.generator.hold()
    await world.start()
    await world.say("running")
    await told(world, "1", "echo: running")
    await world.say("waiting")
    await told(world, "1", "number 1")
    await world.say("/reset")
    await told(world, "1", "We start afresh")
    await world.until(lambda: sum("was reset" in text for text in world.platform.texts("1")) == 2)
    assert [prompt.turns[-1].text for prompt in world.generator.cancelled] == ["running"]
    world.generator.release()
    await talked(world, "new")
    assert [turn.text for turn in world.generator.prompts[-1].turns] == ["new"]
    assert len(world.generator.prompts) == 2
    assert len(world.platform.texts("1")) == 4


async def test_a_reset_stops_nobody_else(world: World) -> None:
    world.generator.hold()
    await world.start()
    await world.say("mine", user="1", chat="-5")
    await told(world, "-5", "echo: mine")
    await world.say("/reset", user="2", chat="-5")
    await told(world, "-5", "We start afresh")
    world.generator.release()
    await world.until(lambda: "echo: mine" in world.platform.texts("-5"))
    assert world.generator.cancelled == []


@pytest.mark.parametrize("words", ["1", "chat", "all", "all confirm"])
async def test_a_stranger_is_refused_and_audited(world: World, words: str) -> None:
    await world.start()
    await talked(world, "one", user="1", chat="-5")
    await world.say(f"/reset {words}", user="2", chat="-5")
    await told(world, "-5", "may not reset")
    await talked(world, "two", user="1", chat="-5")
    assert len(world.generator.prompts[-1].turns) == 3
    assert [entry.allowed for entry in world.store.audit] == [False]


async def test_a_stranger_does_not_learn_whether_there_is_something_to_reset(world: World) -> None:
    await world.start()
    await world.say("/reset 12345", user="2", chat="-5")
    await told(world, "-5", "may not reset")


async def test_a_chat_admin_resets_people_in_their_chat_only(world: World) -> None:
    world.platform.admins.add((ChatId("-5"), UserId("2")))
    await world.start()
    await talked(world, "here", user="1", chat="-5")
    await talked(world, "private", user="1")
    await talked(world, "elsewhere", user="1", chat="-6")
    await world.say("/reset 1", user="2", chat="-5")
    await told(world, "-5", "1 conversation was reset")
    for chat, length in (("-5", 1), (None, 3), ("-6", 3)):
        await talked(world, f"then in {chat}", user="1", chat=chat)
        assert len(world.generator.prompts[-1].turns) == length


async def test_an_admin_of_another_chat_is_refused(world: World) -> None:
    world.platform.admins.add((ChatId("-6"), UserId("2")))
    await world.start()
    await talked(world, "here", user="1", chat="-5")
    await world.say("/reset 1", user="2", chat="-5")
    await told(world, "-5", "may not reset")
    await world.say("/reset chat -5", user="2", chat="-6")
    await told(world, "-6", "may not reset")


async def test_an_admin_does_not_learn_who_talks_to_the_bot_elsewhere(world: World) -> None:
    """A private chat's id is on Telegram its person's."""
    world.platform.admins.add((ChatId("-6"), UserId("2")))
    await world.start()
    await talked(world, "private", user="1")
    for chat in ("1", "12345"):
        await world.say(f"/reset chat {chat}", user="2", chat="-6")
    await world.until(lambda: len(world.platform.texts("-6")) == 2)
    assert set(world.platform.texts("-6")) == {"You may not reset that. Your own conversation you may: /reset"}


@pytest.mark.parametrize(("words", "done"), [("chat", "2 conversations were reset"), ("1", "1 conversation was reset")])
async def test_what_an_earlier_bot_left_in_the_database_stands_in_no_admins_way(
    world: World, words: str, done: str
) -> None:
    """Its conversations stay as they are: what was said to another bot is not theirs to reset."""
    world.platform.admins.add((ChatId("-6"), UserId("2")))
    await world.start()
    said = world.platform.message("to the former bot", user="1", chat="-6")
    former = replace(said, address=replace(said.address, bot_id=BotId("6")))
    assert world.service is not None
    await world.service.receive(former)
    await told(world, "-6", "to the former bot")
    await talked(world, "hi", user="1", chat="-6")
    before = world.store.epochs[key_for(former, {})]
    await world.say(f"/reset {words}", user="2", chat="-6")
    await told(world, "-6", done)
    assert world.store.epochs[key_for(former, {})] == before


async def test_an_operator_resets_another_chat(world: World) -> None:
    await world.start()
    await talked(world, "one", user="1", chat="-5")
    await world.say("/reset chat -5", user=OPERATOR, chat="-6")
    await told(world, "-6", "1 conversation was reset")


async def test_an_admins_right_ends_with_the_private_chat(world: World) -> None:
    """A private chat has no administrators, whatever the platform says of its only member."""
    world.platform.admins.add((ChatId("2"), UserId("2")))
    await world.start()
    await talked(world, "private", user="1")
    await world.say("/reset 1", user="2")
    await told(world, "2", "may not reset")


async def test_a_chat_admin_resets_the_whole_chat(world: World) -> None:
    world.platform.admins.add((ChatId("-5"), UserId("2")))
    await world.start()
    await talked(world, "apple", user="1", chat="-5")
    await talked(world, "banana", user="3", chat="-5")
    await talked(world, "cherry", user="3", chat="-6")
    await world.say("/reset chat", user="2", chat="-5")
    await told(world, "-5", "conversations were reset")
    await talked(world, "damson", user="3", chat="-5")
    assert len(world.generator.prompts[-1].turns) == 1
    await talked(world, "elder", user="3", chat="-6")
    assert len(world.generator.prompts[-1].turns) == 3


async def test_an_operator_resets_a_person_everywhere(world: World) -> None:
    await world.start()
    await talked(world, "here", user="1", chat="-5")
    await talked(world, "there", user="1")
    await world.say("/reset 1", user=OPERATOR)
    await told(world, OPERATOR, "2 conversations were reset")
    await talked(world, "again", user="1")
    assert len(world.generator.prompts[-1].turns) == 1


async def test_an_operator_resets_everything_only_after_confirming(world: World) -> None:
    await world.start()
    await talked(world, "one", user="1")
    await world.say("/reset all", user=OPERATOR)
    await told(world, OPERATOR, "/reset all confirm")
    await talked(world, "two", user="1")
    assert len(world.generator.prompts[-1].turns) == 3
    await world.say("/reset all confirm", user=OPERATOR)
    await told(world, OPERATOR, "conversations were reset")
    await talked(world, "three", user="1")
    assert len(world.generator.prompts[-1].turns) == 1


async def test_the_person_replied_to_is_meant(world: World) -> None:
    await world.start()
    await talked(world, "one", user="1", chat="-5")
    await world.say("/reset", user=OPERATOR, chat="-5", target="1")
    await told(world, "-5", "1 conversation was reset")


async def test_a_name_is_only_translated_into_an_id(world: World) -> None:
    """Names can be taken by others, so nothing is reset before the id was sent."""
    world.platform.admins.add((ChatId("-5"), UserId("2")))
    await world.start()
    await talked(world, "one", user="1", chat="-5")
    await world.say("/reset @USER1", user="2", chat="-5")
    await told(world, "-5", "send: /reset 1")
    await world.say("/reset @nobody", user="2", chat="-5")
    await told(world, "-5", "cannot tell who @nobody is")
    await talked(world, "two", user="1", chat="-5")
    assert len(world.generator.prompts[-1].turns) == 3


async def test_in_a_shared_conversation_only_admins_reset(world: World) -> None:
    world.platform.admins.add((ChatId("-5"), UserId("2")))
    await world.start(scopes={TELEGRAM: Scope.CHAT})
    await talked(world, "one", user="1", chat="-5")
    await world.say("/reset", user="1", chat="-5")
    await told(world, "-5", "only an administrator")
    await world.say("/reset", user="2", chat="-5")
    await told(world, "-5", "We start afresh")


async def test_cancel_stops_the_running_answer_and_keeps_what_was_said(world: World) -> None:
    world.generator.hold()
    world.generator.enqueue(["Half", " whole"])
    await world.start()
    await world.say("talk")
    await told(world, "1", "Half")
    await world.say("/cancel")
    await told(world, "1", "Stopped 1 message.")
    await world.until(lambda: "Half\n\n⏹ Stopped." in world.platform.texts("1"))
    assert len(world.generator.cancelled) == 1
    assert await world.unfinished() == {}


async def test_cancel_stops_only_ones_own_messages(world: World) -> None:
    world.generator.hold()
    await world.start(scopes={TELEGRAM: Scope.CHAT})
    await world.say("mine", user="1", chat="-5")
    await told(world, "-5", "echo: User 1: mine")
    await world.say("/cancel", user="2", chat="-5")
    await told(world, "-5", "nothing to stop")
    assert world.generator.cancelled == []
    world.generator.release()


async def test_cancelling_a_waiting_message_leaves_the_running_one_alone(world: World) -> None:
    world.generator.hold()
    await world.start()
    await world.say("running", user="1")
    await told(world, "1", "echo: running")
    await world.say("waiting", user="2")
    await told(world, "2", "number 1")
    await world.say("/cancel", user="2")
    await told(world, "2", "Stopped 1 message.")
    assert world.generator.cancelled == []
    world.generator.release()
    await world.until(lambda: world.platform.texts("1") == ["echo: running"])
    assert len(world.generator.prompts) == 1


async def test_cancel_stops_what_was_asked_in_the_same_conversation_and_nothing_elsewhere(world: World) -> None:
    world.generator.hold()
    await world.start()
    await world.say("in private", user="1")
    await told(world, "1", "echo: in private")
    await world.say("/cancel", user="1", chat="-5")
    await told(world, "-5", "nothing to stop")
    assert world.generator.cancelled == []
    world.generator.release()
    await world.until_stored(lambda: all(state is InboxState.ANSWERED for state in world.states()))


async def test_whoami_names_the_id_and_the_rights(world: World) -> None:
    world.platform.admins.add((ChatId("-5"), UserId("2")))
    await world.start()
    await world.say("/whoami", user="2", chat="-5")
    await told(world, "-5", "you are 2")
    assert "administer this chat" in world.platform.texts("-5")[0]
    await world.say("/whoami", user=OPERATOR)
    await told(world, OPERATOR, "operate this bot")


@pytest.mark.parametrize("name", sorted(NAMES | {name for name, _ in command_menu(load_texts().language("en"))}))
async def test_what_is_called_a_command_of_the_bot_is_obeyed(world: World, name: str) -> None:
    assert name in NAMES
    await world.start()
    await world.say(f"/{name}")
    await world.until(lambda: bool(world.platform.texts("1")))
    assert "I do not know" not in world.platform.texts("1")[0]


async def test_help_and_start_are_answered_even_while_the_model_is_down(world: World) -> None:
    world.generator.become("unavailable")
    await world.start()
    await asyncio.gather(world.say("/start"), world.say("/help"))
    await told(world, "1", "own computer")
    await told(world, "1", "AI generated")
    await told(world, "1", "/cancel")


async def test_a_stranger_does_not_learn_whose_id_a_name_is(world: World) -> None:
    """And is on record for having asked."""
    await world.start()
    await world.say("hello", user="1", chat="-5")
    await world.until(lambda: bool(world.platform.texts("-5")))
    await world.say("/reset @user1", user="2", chat="-5")
    await world.until(lambda: len(world.platform.texts("-5")) == 2)
    assert world.platform.texts("-5")[-1].startswith("You may not reset that.")
    assert [(entry.actor, entry.subject, entry.allowed) for entry in world.store.audit] == [
        ("telegram:2", "a name", False)
    ]


async def test_who_is_forgotten_is_forgotten_by_the_model_too(world: World) -> None:
    await world.start()
    await world.say("hello")
    await world.until(lambda: bool(world.platform.texts("1")))
    await world.acts.forget(world.platform.name, UserId("1"))
    assert world.generator.forgotten == [world.generator.prompts[0].conversation]


async def test_a_reset_drops_what_the_model_keeps_of_the_conversation(world: World) -> None:
    await world.start()
    await world.say("hello")
    await world.until(lambda: bool(world.platform.texts("1")))
    await world.say("/reset")
    await world.until(lambda: len(world.platform.texts("1")) == 2)
    assert world.generator.forgotten == [world.generator.prompts[0].conversation]
