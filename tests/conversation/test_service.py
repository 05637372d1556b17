"""The journey of a message, with a scripted model and a platform in memory."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from botbridge.answers import FinishReason, Role, Turn
from botbridge.conversation.access import Access, AccessMode
from botbridge.conversation.estimates import SAVED_EVERY_ANSWERS, STATE_NAME
from botbridge.conversation.limits import Limits
from botbridge.conversation.rates import Rates, decode_rates, encode_rates
from botbridge.conversation.scope import Scope, key_for
from botbridge.errors import GenerationFailed, GenerationTimeout, ModelUnavailable, PromptTooLong, WorkerDied
from botbridge.messages import ChatId, InboxState, MessageKind, PlatformName, UserId
from botbridge.storage.memory import InMemoryInbox
from tests.conversation.conftest import OPERATOR, World
from tests.fakes.in_memory_platform import InMemoryPlatform
from tests.fakes.scripted_generator import PoisonedGenerator, ScriptedGenerator

TELEGRAM = PlatformName("telegram")
BUG = (
    "A mistake in my own program kept me from finishing this, so I gave this message up. "
    "Others are not affected. Reference: {inbox_id}"
)


async def test_a_message_is_answered_once(world: World) -> None:
    await world.start()
    await world.say("hello")
    await world.until(lambda: world.platform.texts("1") == ["echo: hello"])
    assert await world.unfinished() == {}


async def test_the_answer_is_kept_with_the_system_text_that_it_was_given(world: World) -> None:
    """So that it can be computed again when the operator has changed the setting."""
    await world.start(system="Speak like a pirate.")
    await world.say("hello")
    await world.until(lambda: bool(world.store.turns))
    [[kept]] = world.store.turns.values()
    assert (kept.answer.system, kept.answer.text) == ("Speak like a pirate.", "echo: hello")


async def test_the_same_message_delivered_twice_is_answered_once(world: World) -> None:
    await world.start()
    await asyncio.gather(world.say("hello", message_id="5"), world.say("hello", message_id="5"))
    await world.say("more", message_id="6")
    await world.until(lambda: "echo: more" in world.platform.texts("1"))
    assert [prompt.turns[-1].text for prompt in world.generator.prompts] == ["hello", "more"]


async def test_the_next_turn_knows_the_one_before(world: World) -> None:
    await world.start()
    await world.say("one")
    await world.until(lambda: len(world.platform.texts("1")) == 1)
    await world.say("two")
    await world.until(lambda: world.platform.texts("1") == ["echo: one", "echo: two"])
    assert world.generator.prompts[1].turns == (
        Turn(Role.USER, "one"),
        Turn(Role.ASSISTANT, "echo: one"),
        Turn(Role.USER, "two"),
    )
    assert {prompt.system for prompt in world.generator.prompts} == {"be brief"}


async def test_two_people_do_not_see_each_others_conversation(world: World) -> None:
    await world.start()
    await world.say("mine", user="1", chat="-5")
    await world.say("yours", user="2", chat="-5")
    await world.until(lambda: len(world.generator.prompts) == 2)
    assert all(len(prompt.turns) == 1 for prompt in world.generator.prompts)


async def test_in_a_shared_chat_the_speakers_are_named(world: World) -> None:
    await world.start(scopes={TELEGRAM: Scope.CHAT})
    await world.say("hi", user="1", chat="-5")
    await world.until(lambda: len(world.platform.texts("-5")) == 1)
    await world.say("and me", user="2", chat="-5")
    await world.until(lambda: len(world.platform.texts("-5")) == 2)
    assert [turn.text for turn in world.generator.prompts[1].turns] == [
        "User 1: hi",
        "echo: User 1: hi",
        "User 2: and me",
    ]


async def test_the_words_are_shown_as_they_come_and_the_reply_replaces_them(world: World) -> None:
    world.generator.hold()
    world.generator.enqueue(["Par", "is."])
    await world.start()
    await world.say("capital?")
    await world.until(lambda: world.platform.texts("1") == ["Par"] and world.platform.typed > 0)
    world.generator.release()
    await world.until(lambda: world.platform.texts("1") == ["Paris."])
    [reply] = world.platform.ledger
    assert reply.texts == ["Writing…", "Par", "Paris."]  # no word of the answer is sent before its message is noted


async def test_whoever_waits_sees_a_place_and_a_wait_edited_into_the_reply(world: World) -> None:
    """150 tokens at 6 a second, from the measured rates of the engine that runs."""
    world.measured["scripted"] = Rates(decode_tokens_s={1: 6.0}, reply_tokens=130)
    world.generator.hold()
    await world.start()
    await world.say("first", user="1")
    await world.until(lambda: bool(world.platform.texts("1")))
    await world.say("second", user="2")
    await world.until(lambda: world.platform.texts("2") == ["⏳ You are number 1 in the line: about 20 seconds."])
    world.generator.release()
    await world.until(lambda: world.platform.texts("2") == ["echo: second"])
    assert len(world.platform.ledger) == 2


async def test_an_answer_that_cannot_be_shown_keeps_nobody_else_waiting(world: World) -> None:
    """Its status message hangs on the platform while there is one slot, and it was to be answered alone."""
    world.platform.stuck.add(ChatId("1"))
    world.generator.enqueue(WorkerDied("once"))
    world.generator.hold()
    await world.start()
    await world.say("first", user="1")
    await world.platform.sending.wait()
    await world.say("second", user="2")
    world.generator.release()
    await world.until(lambda: world.platform.texts("2") == ["echo: second"])
    assert await world.unfinished() == {"first": InboxState.RUNNING}


async def test_a_wait_that_was_told_is_compared_with_the_real_one(world: World) -> None:
    world.store.state[STATE_NAME] = encode_rates(Rates(None, {1: 6.0}, reply_tokens=120), "m", "r1", "scripted")
    world.generator.hold()
    await world.start()
    await world.say("first", user="1")
    await world.until(lambda: bool(world.platform.texts("1")))
    await world.say("second", user="2")
    await world.until(lambda: "in the line" in "".join(world.platform.texts("2")))
    assert world.waits.summary() == {"count": 0, "median_ratio": None}
    world.clock.ahead_s = 40
    with capture_logs() as logged:
        world.generator.release()
        await world.until(lambda: world.platform.texts("2") == ["echo: second"])
    (line,) = [line for line in logged if line["event"] == "wait estimated"]
    assert line["estimated_s"] == pytest.approx(20, abs=1)
    assert line["actual_s"] == pytest.approx(40, abs=2)
    summary = world.waits.summary()
    assert summary["count"] == 1
    assert summary["median_ratio"] == pytest.approx(0.5, abs=0.05)


async def test_a_person_has_one_answer_at_a_time_whatever_the_slots(world: World) -> None:
    """In two chats of their own; the others find their slots free."""
    world.generator = ScriptedGenerator(slots=4)
    world.generator.hold()
    await world.start()
    await world.say("here", user="1")
    await world.say("there", user="1", chat="-5")
    await world.say("other", user="2")
    await world.until(lambda: bool(world.platform.texts("1")) and bool(world.platform.texts("2")))
    assert [prompt.turns[-1].text for prompt in world.generator.prompts] == ["here", "other"]
    world.generator.release()
    await world.until(lambda: world.platform.texts("-5") == ["echo: there"])


async def test_the_machine_is_known_from_the_answers_that_it_gave(world: World) -> None:
    """After ten of them the next process knows it, too."""
    world.generator.enqueue(*[["one ", "two ", "three"]] * SAVED_EVERY_ANSWERS)
    await world.start()
    for number in range(SAVED_EVERY_ANSWERS):
        await world.say(f"message {number}", user=str(number))
    await world.until(lambda: STATE_NAME in world.store.state)
    rates = decode_rates(world.store.state[STATE_NAME], "m", "r1", "scripted")
    assert rates is not None
    assert rates.reply_tokens == 3
    assert rates.tokens_per_char == pytest.approx(1 / len("be brief" + "message 0"))


async def test_what_an_answer_took_is_charged_to_its_person(world: World) -> None:
    """Of two who wait, the one whose last answer was short is begun first, although the other asked first."""
    world.generator.enqueue(["word "] * 400, ["word "])
    await world.start()
    await world.say("long, please", user="1")
    await world.until(lambda: len(world.platform.texts("1")) == 10)
    await world.say("short, please", user="2")
    await world.until(lambda: world.platform.texts("2") == ["word"])
    world.generator.become("starting")
    await world.say("more", user="1")
    await world.say("again", user="2")
    await world.until(lambda: "starting" in "".join(world.platform.texts("1") + world.platform.texts("2")))
    world.generator.become("ready")
    await world.until(lambda: len(world.generator.prompts) == 4)
    assert [prompt.turns[-1].text for prompt in world.generator.prompts[2:]] == ["again", "more"]


async def test_whoever_waits_only_a_moment_is_not_told_to_wait(world: World) -> None:
    await world.start()
    await asyncio.gather(world.say("first", user="1"), world.say("second", user="2"))
    await world.until(lambda: world.platform.texts("2") == ["echo: second"])
    assert not [text for shown in world.platform.ledger for text in shown.texts if "in the line" in text]


async def test_a_long_reply_comes_in_parts_in_order(world: World) -> None:
    world.generator.enqueue(["a" * 200, "b" * 200, "c" * 10])
    await world.start()
    await world.say("much, please")
    await world.until(lambda: world.platform.texts("1") == ["a" * 200, "b" * 200, "c" * 10])


async def test_an_answer_that_ran_out_of_room_ends_at_a_sentence(world: World) -> None:
    world.generator.enqueue(["One sentence is here. And th"])
    world.generator.finish_reason = FinishReason.LENGTH
    await world.start()
    await world.say("talk")
    await world.until(lambda: world.platform.texts("1") == ["One sentence is here."])


@pytest.mark.parametrize("nothing", ["  ", "\x07", "\u200b\u200d\n"], ids=["blank", "control", "invisible"])
async def test_an_empty_answer_is_told_and_not_remembered(world: World, nothing: str) -> None:
    """Of what shows nothing Discord refuses the message."""
    world.generator.enqueue([nothing])
    await world.start()
    await world.say("say nothing")
    await world.until(lambda: len(world.platform.texts("1")) == 1)
    assert "nothing to say" in world.platform.texts("1")[0]
    await world.say("next")
    await world.until(lambda: len(world.generator.prompts) == 2)
    assert [turn.text for turn in world.generator.prompts[1].turns] == ["next"]


async def test_a_sticker_is_answered_with_a_sentence(world: World) -> None:
    await world.start()
    await world.say("", kind=MessageKind.UNSUPPORTED)
    await world.until(lambda: "only read text" in "".join(world.platform.texts("1")))
    assert world.generator.prompts == []


async def test_an_unknown_command_is_answered_with_the_way_to_help(world: World) -> None:
    await world.start()
    await world.say("/foo bar")
    await world.until(lambda: "/help" in "".join(world.platform.texts("1")))
    assert world.generator.prompts == []


async def test_everybody_is_spoken_to_in_their_language(world: World) -> None:
    await world.start()
    await world.say("/foo", language="ar-EG")
    await world.until(lambda: "لا أعرف" in "".join(world.platform.texts("1")))


async def test_a_dead_worker_costs_one_more_attempt_and_no_answer(world: World) -> None:
    world.generator.enqueue(WorkerDied("signal 9"))
    await world.start()
    await world.say("hello")
    await world.until(lambda: world.platform.texts("1") == ["echo: hello"])
    assert len(world.generator.prompts) == 2


async def test_a_message_that_fails_twice_is_given_up_visibly_and_the_next_is_answered(world: World) -> None:
    world.generator.enqueue(WorkerDied("signal 11"), GenerationFailed("again"))
    await world.start()
    await world.say("poison")
    await world.until(lambda: "gave this message up" in "".join(world.platform.texts("1")))
    await world.say("fine")
    await world.until(lambda: "echo: fine" in world.platform.texts("1"))


async def test_a_poisonous_message_is_found_out_alone_and_costs_nobody_else_an_answer(world: World) -> None:
    """A worker takes all that it holds with it; only the one that kills it again by itself is to blame."""
    generator = PoisonedGenerator(slots=4)
    world.generator = generator
    generator.hold()
    await world.start()
    for user, text in (("1", "one"), ("2", "poison"), ("3", "three")):
        await world.say(text, user=user)
    await generator.died.wait()
    generator.release()
    await world.until(lambda: "gave this message up" in "".join(world.platform.texts("2")))
    await world.until(lambda: world.platform.texts("1") == ["echo: one"])
    await world.until(lambda: world.platform.texts("3") == ["echo: three"])
    assert generator.deaths == 3
    asked = [prompt.turns[-1].text for prompt in generator.prompts]
    assert {text: asked.count(text) for text in asked} == {"one": 2, "poison": 3, "three": 2}


async def test_a_suspect_stays_alone_though_something_else_fails_before_it_is_answered(world: World) -> None:
    world.generator = ScriptedGenerator(slots=2)
    world.generator.enqueue(WorkerDied("x"), ModelUnavailable("x"))
    world.generator.hold()
    await world.start()
    await world.say("suspect", user="1")
    await world.until(lambda: world.platform.texts("1") == ["echo: suspect"])
    await world.say("innocent", user="2")
    await world.until(lambda: "number 1" in "".join(world.platform.texts("2")))
    world.generator.release()
    await world.until(lambda: world.platform.texts("2") == ["echo: innocent"])


async def test_failures_that_no_retry_mends_are_told_at_once(world: World) -> None:
    world.generator.enqueue(PromptTooLong("x"), GenerationTimeout("x"))
    await world.start()
    await world.say("one", user="1")
    await world.say("two", user="2")
    await world.until(lambda: "is too long" in "".join(world.platform.texts("1")))
    await world.until(lambda: "took too long" in "".join(world.platform.texts("2")))
    assert len(world.generator.prompts) == 2


async def test_while_the_model_cannot_run_messages_wait_and_are_told_once(world: World) -> None:
    world.generator.become("unavailable")
    await world.start()
    await world.say("hello")
    await world.until(lambda: "cannot run" in "".join(world.platform.texts("1")))
    world.generator.become("ready")
    await world.until(lambda: world.platform.texts("1") == ["echo: hello"])
    assert len(world.platform.ledger) == 1


async def test_a_message_that_waited_too_long_is_given_up_with_a_word(world: World) -> None:
    world.generator.become("unavailable")
    await world.start(limits=Limits(wait_s=60))
    await world.say("hello")
    await world.until(lambda: len(world.platform.ledger) == 1)
    world.clock.ahead_s = 61
    await world.until(lambda: "in time" in world.platform.texts("1")[0])
    world.generator.become("ready")
    await world.say("again")
    await world.until(lambda: "echo: again" in world.platform.texts("1"))
    assert [prompt.turns[-1].text for prompt in world.generator.prompts] == ["again"]


async def test_what_is_given_up_is_not_begun_though_the_platform_keeps_its_last_word_waiting(world: World) -> None:
    world.generator.hold()
    await world.start(limits=Limits(wait_s=60))
    await world.say("running", user="1")
    await world.until(lambda: world.platform.texts("1") == ["echo: running"])
    world.platform.takes.clear()
    world.platform.sending.clear()
    await world.say("too late", user="2")
    await world.platform.sending.wait()  # its place in the line is on its way to the chat, for ever
    world.clock.ahead_s = 61
    assert world.room is not None
    _, late = world.room.open_turns()
    await world.until_stored(lambda: late.task is not None)  # it is being given up
    await world.say("in time", user="3")
    world.generator.release()
    await world.until_stored(lambda: len(world.generator.prompts) == 2)
    world.platform.takes.set()
    await world.until(lambda: "in time" in "".join(world.platform.texts("2")))
    await world.until(lambda: world.platform.texts("3") == ["echo: in time"])
    assert [prompt.turns[-1].text for prompt in world.generator.prompts] == ["running", "in time"]


async def test_what_a_stopped_process_left_unfinished_is_answered_by_the_next(world: World) -> None:
    world.generator.become("unavailable")
    await world.start()
    await world.say("one", user="1")
    await world.say("two", user="2")
    await world.until(lambda: len(world.platform.ledger) == 2)
    await world.stop()
    world.generator.become("ready")
    await world.start()
    await world.until(lambda: world.platform.texts("1") + world.platform.texts("2") == ["echo: one", "echo: two"])
    assert len(world.platform.ledger) == 2


async def test_a_stranger_is_refused_with_their_own_id(world: World) -> None:
    await world.start(access=Access(AccessMode.LISTED, allow=frozenset({(TELEGRAM, UserId("1"))})))
    await world.say("hello", user="666")
    await world.say("hello", user="1")
    await world.until(lambda: len(world.platform.ledger) == 2)
    assert "666" in world.platform.texts("666")[0]
    assert world.platform.texts("1") == ["echo: hello"]


async def test_each_limit_is_told_to_the_person_it_stops(world: World) -> None:
    world.generator.become("unavailable")
    await world.start(limits=Limits(message_chars=10, waiting_per_person=1, queue=2, messages_per_minute=4))
    await world.say("x" * 11, user="1")
    await world.say("a", user="1")
    await world.say("b", user="1")
    await world.say("c", user="2")
    await world.say("d", user="3")
    await world.until(lambda: "11 characters" in "".join(world.platform.texts("1")))
    await world.until(lambda: "waiting already" in "".join(world.platform.texts("1")))
    await world.until(lambda: "Too many people" in "".join(world.platform.texts("3")))
    assert set(await world.unfinished()) == {"a", "c"}


async def test_a_flood_is_refused_with_one_notice_a_minute(world: World) -> None:
    await world.start(limits=Limits(messages_per_minute=1))
    for number in range(5):
        await world.say(f"m{number}")
    await world.say("other", user="2")
    await world.until(lambda: world.platform.texts("2") == ["echo: other"])
    await world.until(lambda: "echo: m0" in world.platform.texts("1"))
    assert sum("too fast" in text for text in world.platform.texts("1")) == 1
    assert len(world.platform.texts("1")) == 2
    assert await world.unfinished() == {}


async def test_a_command_of_a_platforms_menu_is_answered_each_time_it_is_refused(world: World) -> None:
    """Else its sender would see for ever that the bot is thinking."""
    await world.start(access=Access(mode=AccessMode.LISTED))
    assert world.service is not None
    for number in range(3):
        typed = world.platform.message("/help", chat="-5")
        address = replace(typed.address, interaction=f"token {number}")
        await world.service.receive(replace(typed, address=address))
    await world.say("/help", chat="-5")
    await world.until_stored(lambda: world.states() == [InboxState.REFUSED] * 4)
    await world.until(lambda: len(world.platform.texts("-5")) == 3)
    told = [part.address.interaction for part in world.platform.tries]
    assert sorted(filter(None, told)) == ["token 0", "token 1", "token 2"]


async def test_an_operator_writes_as_fast_as_they_like(world: World) -> None:
    await world.start(limits=Limits(messages_per_minute=1))
    for number in range(3):
        await world.say(f"m{number}", user=OPERATOR)
    await world.until(lambda: len(world.platform.texts(OPERATOR)) == 3)
    assert not any("too fast" in text for text in world.platform.texts(OPERATOR))


async def test_each_answer_gets_a_seed_of_its_own_which_is_kept(world: World) -> None:
    """Drawn before the worker is asked, so that an answer that was lost with it is not another one the next time."""
    await world.start()
    for text in ("one", "two"):
        await world.say(text)
        await world.until(lambda text=text: f"echo: {text}" in world.platform.texts("1"))  # type: ignore[misc]
    first, second = (prompt.sampling.seed for prompt in world.generator.prompts)
    assert first is not None
    assert second is not None
    assert first != second


async def test_what_came_from_a_platform_that_is_off_waits_for_it(world: World) -> None:
    other = InMemoryPlatform("discord")
    incoming = other.message("kept for later")
    await InMemoryInbox(world.store).accept(incoming, key_for(incoming, {}))
    with capture_logs() as logged:
        await world.start()
    assert [line["platform"] for line in logged if "platform is off" in line["event"]] == ["discord"]
    await world.say("hello")
    await world.until(lambda: world.platform.texts("1") == ["echo: hello"])
    assert set(await world.unfinished()) == {"kept for later"}


async def test_the_limit_on_length_never_cuts(world: World) -> None:
    await world.start(limits=Limits(message_chars=5))
    await world.say("12345")
    await world.until(lambda: world.platform.texts("1") == ["echo: 12345"])


@pytest.mark.parametrize("method", ["record", "reset", "queued", "finish", "running", "recent"])
async def test_a_database_that_is_locked_for_a_moment_costs_nobody_an_answer(world: World, method: str) -> None:
    """Wherever on its way a message meets it."""
    await world.start()
    await world.say("hello")
    await world.until(lambda: world.platform.texts("1") == ["echo: hello"])
    world.locked[method] = 1
    await world.say("/reset" if method in {"record", "reset"} else "again")
    last = "Done. We start afresh." if method in {"record", "reset"} else "echo: again"
    await world.until(lambda: world.platform.texts("1")[-1] == last)
    assert world.locked[method] == 0
    assert await world.unfinished() == {}


async def test_a_bug_of_ours_ends_its_message_with_a_word_and_keeps_no_slot(world: World) -> None:
    """The next person is answered, with a single slot, too."""
    await world.start()
    world.platform.unrenderable.add("echo: boom")
    with capture_logs() as logs:
        await world.say("boom")
        await world.until(lambda: world.platform.texts("1") == [BUG.format(inbox_id=1)])
    await world.say("fine", user="2")
    await world.until(lambda: world.platform.texts("2") == ["echo: fine"])
    assert [line["inbox_id"] for line in logs if line["event"] == "unforeseen failure"] == [1]
    assert await world.unfinished() == {}


async def test_a_bug_while_a_command_is_obeyed_is_told(world: World) -> None:
    """Not left for the next start to stumble over; the model, which was never asked, is not said to have failed."""
    await world.start()
    world.platform.unrenderable.add("There is nothing to stop.")
    await world.say("/cancel")
    await world.until(lambda: bool(world.platform.texts("1")))
    assert world.platform.texts("1") == [BUG.format(inbox_id=1)]
    assert await world.unfinished() == {}


async def test_a_stranger_who_goes_on_is_told_once_a_minute(world: World) -> None:
    """Each refusal costs a send, of which a chat has few."""
    await world.start(access=Access(mode=AccessMode.LISTED, operators=world.policy.access.operators))
    for _ in range(5):
        await world.say("let me in")
    await world.say("hello", user=OPERATOR)
    await world.until(lambda: bool(world.platform.texts(OPERATOR)))
    assert len(world.platform.texts("1")) == 1
    assert await world.unfinished() == {}


async def test_size_is_looked_at_in_the_order_of_what_it_costs(world: World) -> None:
    """Characters before the line, the line before one's own place in it, all before the model; the first is told."""
    world.generator.become("unavailable")
    await world.start(limits=Limits(message_chars=10, waiting_per_person=1, queue=1))
    await world.say("a", user="1")
    await world.until(lambda: "cannot run" in "".join(world.platform.texts("1")))
    await world.say("x" * 11, user="2")
    await world.until(lambda: "11 characters" in "".join(world.platform.texts("2")))
    await world.say("y", user="3")
    await world.until(lambda: "Too many people" in "".join(world.platform.texts("3")))
    assert [len(world.platform.texts(user)) for user in ("2", "3")] == [1, 1]
    await world.say("z", user="1")
    await world.until(lambda: "Too many people" in "".join(world.platform.texts("1")))
    assert world.generator.prompts == [], "the model is asked last"
    world.generator.enqueue(PromptTooLong("x"))
    world.generator.become("ready")
    await world.until(lambda: "is too long" in "".join(world.platform.texts("1")))
    assert [prompt.turns[-1].text for prompt in world.generator.prompts] == ["a"]
