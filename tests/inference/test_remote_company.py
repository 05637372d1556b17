"""One answer of a remote server fails while others are being answered: it is nobody else's failure."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from botbridge.messages import InboxState
from tests.conversation.conftest import World
from tests.fakes.openai_server import OpenAIServer, Reply
from tests.fakes.remote_generator import PATIENCE
from tests.fakes.remote_town import Town, shows

QUICK = replace(PATIENCE, first_token_s=0.3)
DROPS = Reply(["one", " two"], breaks_after=1)
FAILS = Reply(status=500)
HANGS = Reply(hangs_after=-1)
LONG = Reply(["a long", " answer"], hangs_after=1)
"""One that lasts until it is stopped."""


def asked(server: OpenAIServer) -> Counter[str]:
    """How often the server was asked for what."""
    return Counter(question.texts[-1] for question in server.questions)


async def given_up(world: World, chat: str) -> None:
    """Return when a chat was told that its message failed twice, and nothing else."""
    await world.until(lambda: [text for text in world.platform.texts(chat) if "gave this message up" in text] != [])
    assert len(world.platform.texts(chat)) == 1


@pytest.mark.parametrize(("fails", "times"), [(DROPS, 2), (FAILS, 4), (HANGS, 2)], ids=["drops", "fails", "hangs"])
async def test_others_are_answered_while_one_answer_fails_until_it_is_given_up(
    town: Town, fails: Reply, times: int
) -> None:
    """Somebody is being answered all the time."""
    server = town.server(LONG)
    server.poison = fails
    world = await town.start(server, slots=8, patience=replace(QUICK, between_tokens_s=60.0))
    await world.say("long", user="1")
    await world.until(lambda: world.platform.texts("1") == ["a long"])
    await world.say("poison", user="2")
    await server.until(lambda: asked(server)["poison"] == 1)
    for user in ("3", "4", "5"):
        await world.say(f"hello {user}", user=user)
    for user in ("3", "4", "5"):
        await shows(world, f"hello {user}", user)
    await given_up(world, "2")
    assert world.platform.texts("1") == ["a long"]
    assert asked(server) == {"long": 1, "poison": times, "hello 3": 1, "hello 4": 1, "hello 5": 1}
    ends = [InboxState.RUNNING, InboxState.QUARANTINED, *[InboxState.ANSWERED] * 3]
    await world.until_stored(lambda: world.states() == ends)


@pytest.mark.parametrize("fails", [[DROPS], [FAILS, FAILS], [HANGS]], ids=["drops", "fails", "hangs"])
async def test_an_answer_that_failed_once_is_given_beside_the_others(town: Town, fails: list[Reply]) -> None:
    """It does not wait for those who are being answered, and each chat sees one message with one answer."""
    server = town.server(LONG, *fails)
    world = await town.start(server, slots=8, patience=replace(QUICK, between_tokens_s=60.0))
    await world.say("long", user="1")
    await world.until(lambda: world.platform.texts("1") == ["a long"])
    await world.say("unlucky", user="2")
    await shows(world, "unlucky", "2")
    assert world.platform.texts("1") == ["a long"]
    assert [len(world.platform.texts(chat)) for chat in ("1", "2")] == [1, 1]
    await world.until_stored(lambda: world.states() == [InboxState.RUNNING, InboxState.ANSWERED])
    assert [len(kept) for kept in world.store.turns.values()] == [1]


async def test_an_answer_that_failed_before_a_restart_keeps_nobody_waiting_after_it(town: Town) -> None:
    server = town.server(DROPS, LONG, LONG)
    world = await town.start(server, slots=8)
    await world.say("unlucky", user="1")
    await world.until(lambda: world.platform.texts("1") == ["a long"])
    await world.stop()
    assert [message.crashes for message in world.store.messages.values()] == [1]
    await world.start()
    await server.until(lambda: asked(server)["unlucky"] == 3)
    await world.say("hello", user="2")
    await shows(world, "hello", "2")
    assert world.states()[0] is InboxState.RUNNING


async def test_a_server_that_goes_away_in_mid_answer_is_no_fault_of_those_it_answered(town: Town) -> None:
    """Each lost a stream, which is counted, and then met nobody, which is not."""
    server = town.server(LONG, LONG)
    world = await town.start(server, slots=8)
    for user in ("1", "2"):
        await world.say(f"hello {user}", user=user)
        await world.until(lambda user=user: world.platform.texts(user) == ["a long"])  # type: ignore[misc]
    server.refuse()
    for user in ("1", "2"):
        await world.until(lambda user=user: "cannot run" in world.platform.texts(user)[0])  # type: ignore[misc]
    server.listen()
    for user in ("1", "2"):
        await shows(world, f"hello {user}", user)
    assert [message.crashes for message in world.store.messages.values()] == [1, 1]
    assert len(world.platform.ledger) == 2


async def test_a_server_that_asks_for_a_long_pause_is_no_fault_of_anybody_and_everybody_is_told(town: Town) -> None:
    """As where a day's quota is used up: who is kept waiting is not told that their answer took too long."""
    server = town.server(Reply(status=429, error={"message": "Daily quota"}, headers={"Retry-After": "3600"}))
    world = await town.start(server, slots=8)
    await world.say("hello 1", user="1")
    await world.until(lambda: any("cannot run at the moment" in text for text in world.platform.texts("1")))
    await world.say("hello 2", user="2")
    await world.until(lambda: any("cannot run at the moment" in text for text in world.platform.texts("2")))
    status = world.generator.status()
    assert (status.state, "Daily quota; it asked for a pause until" in status.detail) == ("unavailable", True)
    assert {message.crashes for message in world.store.messages.values()} == {0}
    assert world.states() == [InboxState.QUEUED] * 2
    assert len(server.questions) == 1
    world.clock.ahead_s = world.policy.limits.wait_s + 1
    for user in ("1", "2"):
        await world.until(lambda user=user: "did not get to your message" in world.platform.texts(user)[0])  # type: ignore[misc]


async def test_whoever_met_a_server_that_wanted_a_long_pause_is_answered_after_it(town: Town) -> None:
    server = town.server(*[Reply(status=429, headers={"Retry-After": "0.2"})] * 3)
    world = await town.start(server, slots=8, patience=replace(PATIENCE, busy_s=0.1))
    await world.say("hello")
    await shows(world, "hello")
    assert len(server.questions) == 4


async def test_a_server_that_lists_its_model_while_it_loads_it_is_waited_for(town: Town) -> None:
    """As llama-server does: it is ready by its list, and answers 503."""
    server = town.server(*[Reply(status=503, error={"message": "Loading model"})] * 5)
    world = await town.start(server)
    await world.say("hello")
    await shows(world, "hello")
    assert len(server.questions) == 6


async def test_a_prompt_that_a_router_is_not_ready_for_is_given_up_when_others_are_answered(town: Town) -> None:
    """The server behind it falls over this prompt alone."""
    server = town.server()
    server.poison = Reply(status=503, error={"message": "upstream connect error"})
    world = await town.start(server, slots=8)
    await world.say("poison", user="1")
    await server.until(lambda: asked(server)["poison"] >= 2)
    await world.say("hello", user="2")
    await shows(world, "hello", "2")
    await given_up(world, "1")
