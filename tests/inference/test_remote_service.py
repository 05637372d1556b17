"""The journey of a message where the model runs elsewhere: what a person sees of a server's failures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from botbridge.answers import FinishReason
from botbridge.conversation.limits import Limits
from botbridge.messages import InboxState
from tests.fakes.openai_server import Reply
from tests.fakes.remote_generator import PATIENCE
from tests.fakes.remote_town import Town, shows

QUICK = replace(PATIENCE, first_token_s=0.3, between_tokens_s=0.3)


async def test_a_message_is_answered_and_the_answer_remembered(town: Town) -> None:
    server = town.server()
    world = await town.start(server)
    await world.say("hello there")
    await shows(world, "hello there")
    await world.say("and again")
    await shows(world, "and again")
    assert server.questions[1].texts == ["be brief", "hello there", "hello there", "and again"]
    await world.until_stored(lambda: world.states() == 2 * [InboxState.ANSWERED])


@pytest.mark.parametrize("reply", [Reply(hangs_after=-1), Reply(["one", " two"], hangs_after=1)])
async def test_a_server_that_hangs_ends_in_a_sentence(town: Town, reply: Reply) -> None:
    server = town.server(reply, reply)
    world = await town.start(server, patience=QUICK)
    await world.say("hello")
    await world.until(lambda: any("twice in a row" in text for text in world.platform.texts("1")))
    assert len(world.platform.texts("1")) == 1
    assert await world.unfinished() == {}
    await world.say("still there?")
    await shows(world, "still there?")


async def test_a_server_that_hangs_beyond_the_deadline_ends_in_a_sentence(town: Town) -> None:
    server = town.server(Reply(hangs_after=-1))
    world = await town.start(server, limits=Limits(wait_s=1))
    await world.say("hello")
    await world.until(lambda: any("took too long" in text for text in world.platform.texts("1")))
    await server.until(lambda: server.questions[0].hung_up)


async def test_after_a_stream_that_broke_off_the_text_starts_anew(town: Town) -> None:
    server = town.server(Reply(["one", " two", " three"], breaks_after=2), Reply(["all", " new", " words"]))
    world = await town.start(server)
    await world.say("hello")
    await shows(world, "all new words")
    (shown,) = world.platform.ledger
    assert not [text for text in shown.texts if "one" in text and "all" in text]
    assert len(server.questions) == 2


async def test_half_an_answer_that_a_server_gave_up_is_replaced_by_a_whole_one(town: Town) -> None:
    server = town.server(Reply(["half", " an"], finish_reason="abort"), Reply(["a whole", " answer"]))
    world = await town.start(server)
    await world.say("hello")
    await shows(world, "a whole answer")
    await world.until_stored(lambda: world.states() == [InboxState.ANSWERED])
    ((kept,),) = world.store.turns.values()
    assert kept.answer.text == "a whole answer"
    assert len(world.platform.ledger) == 1


async def test_what_a_servers_filter_withheld_is_told_and_the_rest_marked_as_cut(town: Town) -> None:
    world = await town.start(town.server(Reply(["one", " two"], finish_reason="content_filter")))
    await world.say("hello")
    await world.until(lambda: any("its filter objected" in text for text in world.platform.texts("1")))
    await world.until_stored(lambda: world.states() == [InboxState.ANSWERED])
    ((kept,),) = world.store.turns.values()
    assert (kept.answer.text, kept.answer.finish_reason) == ("one two […]", FinishReason.FILTERED)


async def test_an_answer_of_thoughts_alone_ends_in_a_sentence(town: Town) -> None:
    """A server that tells thoughts apart sends no text where they have used the answer up."""
    thought = b'data: {"choices": [{"index": 0, "delta": {"reasoning_content": "Hm"}, "finish_reason": null}]}\n\n'
    end = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}\n\ndata: [DONE]\n\n'
    world = await town.start(town.server(Reply(raw=thought + end), Reply(["<think>Hm"], finish_reason="length")))
    for answers in (1, 2):
        await world.say("hello")
        await world.until(
            lambda answers=answers: sum("nothing to say" in text for text in world.platform.texts("1")) == answers  # type: ignore[misc]
        )
    assert not world.store.turns


async def test_of_two_servers_with_the_first_dead_everybody_is_answered(town: Town) -> None:
    one, two = town.server(), town.server()
    one.refuse()
    world = await town.start(one, two)
    for user in range(6):
        await world.say(f"hello {user}", user=str(user))
    for user in range(6):
        await shows(world, f"hello {user}", str(user))


async def test_while_no_server_can_be_reached_people_wait_and_are_told(town: Town) -> None:
    server = town.server()
    world = await town.start(server)
    server.refuse()
    await world.say("hello")
    await world.until(lambda: any("cannot run at the moment" in text for text in world.platform.texts("1")))
    server.listen()
    await shows(world, "hello")


async def test_a_wrong_key_is_for_the_operator_and_people_wait(town: Town) -> None:
    server = town.server(key="right-key")
    server.lists_freely = True
    world = await town.start(server, key="wrong-key")
    await world.say("hello")
    await world.until(lambda: any("my operator can see why" in text for text in world.platform.texts("1")))
    server.key = "wrong-key"
    await shows(world, "hello")


async def test_a_message_that_is_too_long_for_the_server_is_refused_with_a_sentence(town: Town) -> None:
    world = await town.start(town.server(context_tokens=20))
    await world.say("word " * 30)
    await world.until(lambda: any("too long for the model" in text for text in world.platform.texts("1")))


async def test_a_cancel_reaches_the_server(town: Town) -> None:
    server = town.server(Reply(["one", " two"], hangs_after=1))
    world = await town.start(server)
    await world.say("hello")
    await server.until(lambda: len(server.questions) == 1)
    await world.say("/cancel")
    await server.until(lambda: server.questions[0].hung_up)
    await world.until(lambda: any("Stopped 1 message" in text for text in world.platform.texts("1")))
