"""`/adapter`: who may choose, what can be chosen, what answers from then on."""

from __future__ import annotations

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from botbridge.answers import KnownAdapter
from botbridge.conversation.scope import Scope
from botbridge.errors import AdapterUnusable
from botbridge.messages import AuditEntry, ChatId, PlatformName, UserId
from tests.conversation.conftest import OPERATOR, World

POET = KnownAdapter("org/poet", "f00")
FOREIGN = KnownAdapter("org/foreign", "f01", "the adapter org/foreign was made for org/large, not for m")


@pytest.fixture
def world(world: World) -> World:
    """A model with one adapter that fits and one that does not."""
    world.generator.tell_adapters(POET, FOREIGN)
    return world


async def told(world: World, chat: str, words: str) -> str:
    """What a chat was told with these words in it."""
    await world.until(lambda: any(words in text for text in world.platform.texts(chat)))
    return next(text for text in reversed(world.platform.texts(chat)) if words in text)


async def answered(world: World, text: str, **who: object) -> str | None:
    """Let somebody say something; the adapter that answers it."""
    await world.say(text, **who)
    await world.until(lambda: any(text in shown.text and "echo" in shown.text for shown in world.platform.ledger))
    return world.generator.prompts[-1].adapter


async def test_an_operator_chooses_the_adapter_of_the_conversation_they_speak_in(world: World) -> None:
    """It holds there and nowhere else, its cache is dropped, and the choice is recorded."""
    await world.start()
    assert await answered(world, "one", user=OPERATOR) is None
    await world.say("/adapter org/poet", user=OPERATOR)
    await told(world, OPERATOR, "Done. This conversation is answered with the adapter org/poet.")
    assert await answered(world, "two", user=OPERATOR) == "org/poet"
    assert await answered(world, "three", user=OPERATOR, chat="-5") is None
    assert await answered(world, "four", user="1") is None
    assert world.generator.forgotten == [world.generator.prompts[0].conversation]
    subject = f"{world.generator.prompts[0].conversation} org/poet"
    assert world.store.audit == [
        AuditEntry(f"telegram:{OPERATOR}", "adapter", subject, allowed=True, reason="operator")
    ]


async def test_the_choice_can_be_taken_back(world: World) -> None:
    await world.start()
    await world.say("/adapter org/poet", user=OPERATOR)
    await told(world, OPERATOR, "with the adapter org/poet")
    await world.say("/adapter none", user=OPERATOR)
    await told(world, OPERATOR, "Done. This conversation is answered without an adapter.")
    assert await answered(world, "one", user=OPERATOR) is None
    assert len(world.generator.forgotten) == 2


async def test_in_a_shared_conversation_the_choice_holds_for_everybody(world: World) -> None:
    await world.start(scopes={PlatformName("telegram"): Scope.CHAT})
    await world.say("/adapter org/poet", user=OPERATOR, chat="-5")
    await told(world, "-5", "with the adapter org/poet")
    assert await answered(world, "one", user="1", chat="-5") == "org/poet"


@pytest.mark.parametrize("named", [{"text": "/adapter org/poet 1"}, {"text": "/adapter org/poet", "target": "1"}])
async def test_an_operator_chooses_for_a_person_by_id_or_by_reply_as_with_a_reset(
    world: World, named: dict[str, str]
) -> None:
    """Wherever that person talks to the bot; nobody else's conversation in the same chat is meant."""
    await world.start()
    await answered(world, "one", user="1")
    await answered(world, "two", user="1", chat="-5")
    await answered(world, "three", user="2", chat="-5")
    await world.say(user=OPERATOR, chat="-5", **named)
    await told(world, "-5", "Done. 2 conversations are answered with the adapter org/poet.")
    assert await answered(world, "four", user="1") == "org/poet"
    assert await answered(world, "five", user="1", chat="-5") == "org/poet"
    assert await answered(world, "six", user="2", chat="-5") is None
    assert world.store.audit[-1].subject == f"person 1 {named['text'].removeprefix('/adapter ')}"
    await world.say("/adapter none 1", user=OPERATOR)
    await told(world, OPERATOR, "Done. 2 conversations are answered without an adapter.")
    assert await answered(world, "seven", user="1") is None


async def test_a_person_who_has_no_conversation_is_said(world: World) -> None:
    await world.start()
    await world.say("/adapter org/poet 12345", user=OPERATOR)
    await told(world, OPERATOR, "This person has no conversation of their own with me.")


async def test_the_choice_outlives_a_reset_and_a_restart(world: World) -> None:
    """A reset is anybody's own; the adapter is the operator's."""
    await world.start(scopes={PlatformName("telegram"): Scope.CHAT})
    await world.say("/adapter org/poet", user=OPERATOR, chat="-5")
    await told(world, "-5", "with the adapter org/poet")
    await world.say("/reset", user=OPERATOR, chat="-5")
    await told(world, "-5", "We start afresh")
    await world.stop()
    await world.start()
    assert await answered(world, "one", user="1", chat="-5") == "org/poet"


@pytest.mark.parametrize("words", ["", " org/poet", " none", " org/nobody"])
async def test_nobody_else_sees_or_chooses_adapters_and_the_try_is_recorded(world: World, words: str) -> None:
    """Not even an administrator of the chat, who sees nothing of what there is either."""
    world.platform.admins.add((ChatId("-5"), UserId("2")))
    await world.start()
    await world.say(f"/adapter{words}", user="2", chat="-5")
    said = await told(world, "-5", "Only those who operate this bot choose its adapters.")
    assert "poet" not in said
    assert await answered(world, "one", user="2", chat="-5") is None
    subject = f"{world.generator.prompts[0].conversation}{words}"
    assert world.store.audit == [AuditEntry("telegram:2", "adapter", subject, allowed=False, reason="no right")]
    assert world.generator.forgotten == []


async def test_without_a_name_it_is_told_what_there_is_and_what_is_chosen(world: World) -> None:
    await world.start()
    await world.say("/adapter", user=OPERATOR)
    line = (
        "\n• org/poet\n• org/foreign, which cannot be used: the adapter org/foreign was made for org/large, not for m"
    )
    await world.until(lambda: line in everything(world))
    assert everything(world).startswith("This conversation is answered without an adapter.\n")
    await world.say("/adapter org/poet", user=OPERATOR)
    await told(world, OPERATOR, "Done.")
    await world.say("/adapter", user=OPERATOR)
    await world.until(lambda: "This conversation is answered with the adapter org/poet.\n" in everything(world))


def everything(world: World) -> str:
    return "".join(world.platform.texts(OPERATOR))


async def test_no_adapters_at_all_are_said(world: World) -> None:
    world.generator.tell_adapters()
    await world.start()
    await world.say("/adapter", user=OPERATOR)
    await told(world, OPERATOR, "There are no adapters beside the model.")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("org/nobody", "There is no adapter org/nobody beside the model m."),
        ("org/foreign", "This adapter cannot be used: the adapter org/foreign was made for org/large, not for m"),
        ("org/poet org/foreign", "There is no adapter org/poet org/foreign"),
    ],
)
async def test_an_unknown_adapter_or_one_of_another_base_is_refused_by_name(
    world: World, name: str, words: str
) -> None:
    """What was chosen before stays."""
    await world.start()
    await world.say("/adapter org/poet", user=OPERATOR)
    await told(world, OPERATOR, "Done.")
    await world.say(f"/adapter {name}", user=OPERATOR)
    await told(world, OPERATOR, words)
    assert await answered(world, "one", user=OPERATOR) == "org/poet"


async def test_while_the_model_starts_nothing_can_be_chosen_but_the_bare_model(world: World) -> None:
    world.generator.become("starting")
    await world.start()
    await world.say("/adapter org/poet", user=OPERATOR)
    await told(world, OPERATOR, "The model is not running, so I do not know its adapters.")
    await world.say("/adapter none", user=OPERATOR)
    await told(world, OPERATOR, "Done. This conversation is answered without an adapter.")


async def test_arabic_operators_read_arabic(world: World) -> None:
    await world.start()
    for words, said in (
        ("/adapter", "أجيب في هذه المحادثة بلا محوّل"),
        ("/adapter org/poet", "تمّ. أجيب في هذه المحادثة بالمحوّل \u2068org/poet\u2069."),
        ("/adapter org/nobody", "لا يوجد محوّل باسم \u2068org/nobody\u2069"),
    ):
        await world.say(words, user=OPERATOR, language="ar")
        await told(world, OPERATOR, said)
    await world.say("/adapter", user="1", language="ar")
    await told(world, "1", "لا يختار المحوّلات إلا من يشغّل هذا البوت.")


@pytest.mark.parametrize(
    ("language", "words"), [("en", "cannot be used. My operator"), ("ar", "لا يمكن استعمال المحوّل")]
)
async def test_an_adapter_that_has_gone_is_told_to_the_sender_at_once_and_to_the_operator(
    world: World, language: str, words: str
) -> None:
    """Another try would fail alike; the choice stays until an operator makes another."""
    world.generator.enqueue(AdapterUnusable("there is no adapter 'org/gone' beside this model"))
    with capture_logs() as logged:
        await world.start()
        await world.say("hello", language=language)
        await told(world, "1", words)
    assert len(world.generator.prompts) == 1
    [line] = [line for line in logged if line["event"] == "chosen adapter cannot be used"]
    assert "org/gone" in line["error"]


async def test_a_choice_that_cannot_be_used_any_more_is_shown_as_such(world: World) -> None:
    await world.start()
    await world.say("/adapter org/poet", user=OPERATOR)
    await told(world, OPERATOR, "Done.")
    world.generator.tell_adapters(replace(POET, obstacle="the adapter org/poet needs peft"))
    await world.say("/adapter", user=OPERATOR)
    await told(world, OPERATOR, "This adapter cannot be used: the adapter org/poet needs peft")
