"""`/again`: a person's last question is answered once more, by a message of its own."""

from __future__ import annotations

from botbridge.answers import Role
from botbridge.conversation.limits import Limits
from botbridge.conversation.scope import Scope
from botbridge.errors import DeliveryUnknown, GenerationFailed
from botbridge.messages import InboxState, PlatformName
from tests.conversation.conftest import World

TELEGRAM = PlatformName("telegram")


async def test_after_a_reply_that_may_be_lost_the_question_is_answered_again(world: World) -> None:
    """The whole way: an ambiguous send, one notice, the command, a new turn with a row of its own."""
    world.platform.faults.append(DeliveryUnknown("no answer"))
    await world.start()
    await world.say("what is a town?")
    await world.until(lambda: len(world.platform.texts("1")) == 1)
    assert "/again" in world.platform.texts("1")[0]
    await world.say("/again")
    await world.until(lambda: world.platform.texts("1")[1:] == ["echo: what is a town?"])
    assert [prompt.turns[-1].text for prompt in world.generator.prompts] == ["what is a town?"] * 2
    [turns] = world.store.turns.values()
    assert [turn.answer.question for turn in turns] == ["what is a town?"] * 2
    assert len({turn.inbox_id for turn in turns}) == 2
    assert world.states() == [InboxState.ANSWERED] * 2


async def test_again_and_again_is_the_same_question(world: World) -> None:
    await world.start()
    await world.say("hello")
    for answers in (1, 2, 3):
        await world.until(lambda answers=answers: world.platform.texts("1") == ["echo: hello"] * answers)  # type: ignore[misc]
        await world.say("/again")
    await world.until(lambda: len(world.platform.texts("1")) == 4)


async def test_in_a_shared_chat_everybody_has_their_own_last_question(world: World) -> None:
    """Nobody needs a right for it, and nobody is named twice."""
    await world.start(scopes={TELEGRAM: Scope.CHAT})
    for number, user in enumerate(("1", "2"), start=1):
        await world.say(f"question of {user}", user=user, chat="-5")
        await world.until(lambda number=number: len(world.platform.texts("-5")) == number)  # type: ignore[misc]
    await world.say("/again", user="1", chat="-5")
    await world.until(lambda: world.platform.texts("-5")[2:] == ["echo: User 1: question of 1"])
    assert [turn.text for turn in world.generator.prompts[2].turns if turn.role is Role.USER] == [
        "User 1: question of 1",
        "User 2: question of 2",
        "User 1: question of 1",
    ]


async def test_without_a_question_there_is_nothing_to_answer_again(world: World) -> None:
    await world.start()
    await world.say("/again")
    await world.until(lambda: "no question of yours" in "".join(world.platform.texts("1")))
    assert world.generator.prompts == []


async def test_a_question_that_was_given_up_is_not_taken_for_the_one_before_it(world: World) -> None:
    await world.start()
    await world.say("first")
    await world.until(lambda: world.platform.texts("1") == ["echo: first"])
    world.generator.enqueue(GenerationFailed("a"), GenerationFailed("b"))
    await world.say("second")
    await world.until(lambda: len(world.platform.texts("1")) == 2)
    await world.say("/again")
    await world.until(lambda: "write it anew" in world.platform.texts("1")[-1])
    assert [prompt.turns[-1].text for prompt in world.generator.prompts] == ["first", "second", "second"]


async def test_a_question_that_is_not_answered_yet_is_not_asked_twice(world: World) -> None:
    world.generator.become("unavailable")
    await world.start()
    await world.say("hello")
    await world.say("/again")
    await world.until(lambda: "not answered your last message yet" in "".join(world.platform.texts("1")))
    world.generator.become("ready")
    await world.until(lambda: "echo: hello" in world.platform.texts("1"))
    assert len(world.generator.prompts) == 1


async def test_a_reset_forgets_the_last_question(world: World) -> None:
    await world.start()
    await world.say("hello")
    await world.until(lambda: world.platform.texts("1") == ["echo: hello"])
    await world.say("/reset")
    await world.until(lambda: len(world.platform.texts("1")) == 2)
    await world.say("/again")
    await world.until(lambda: "no question of yours" in world.platform.texts("1")[-1])


async def test_the_question_survives_a_restart_before_it_is_answered_again(world: World) -> None:
    """The next process finds the words to answer, not the command."""
    await world.start()
    await world.say("hello")
    await world.until(lambda: world.platform.texts("1") == ["echo: hello"])
    world.generator.become("unavailable")
    await world.say("/again")
    await world.until(lambda: "cannot run" in world.platform.texts("1")[-1])
    await world.stop()
    world.generator.become("ready")
    await world.start()
    await world.until(lambda: world.platform.texts("1") == ["echo: hello", "echo: hello"])


async def test_the_limits_hold_for_it_too(world: World) -> None:
    await world.start(limits=Limits(queue=1))
    await world.say("hello")
    await world.until(lambda: world.platform.texts("1") == ["echo: hello"])
    world.generator.become("unavailable")
    await world.say("wait", user="2")
    await world.until(lambda: bool(world.platform.texts("2")))
    await world.say("/again")
    await world.until(lambda: "Too many people" in world.platform.texts("1")[-1])
