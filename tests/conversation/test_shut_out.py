"""An answer that nobody can be told is not computed to its end."""

from __future__ import annotations

import math

import pytest

from botbridge.messages import Address, ChatId, InboxState, PartState
from tests.conversation.conftest import World
from tests.fakes.in_memory_platform import InMemoryPlatform

SHUT = ChatId("1")


async def stopped(world: World) -> None:
    """Return when the first message has ended, and its answer is computed no more."""
    await world.until_stored(lambda: world.states()[0] is InboxState.CANCELLED)
    await world.until_stored(lambda: len(world.generator.cancelled) == 1)


async def next_is_answered(world: World) -> None:
    """Return when somebody else has been answered; there is one slot."""
    world.generator.release()
    await world.say("and me?", user="2")
    await world.until(lambda: world.platform.texts("2")[-1:] == ["echo: and me?"])


class WithoutTyping(InMemoryPlatform):
    """A platform that has no such sign."""

    async def typing(self, address: Address) -> None: ...


@pytest.mark.parametrize(
    "platform",
    [
        pytest.param(InMemoryPlatform(edit_interval_s=math.inf), id="by typing"),
        pytest.param(WithoutTyping(), id="by the status message"),
    ],
)
async def test_what_is_computed_for_a_chat_that_shut_the_bot_out_is_stopped(
    world: World, platform: InMemoryPlatform
) -> None:
    """D11: its message ends once, its last word is refused once, and the slot is free."""
    world.platform = platform
    world.platform.closed.add(SHUT)
    world.generator.hold()
    await world.start()
    await world.say("hello")
    await stopped(world)
    await next_is_answered(world)
    (part,) = (owed.part for owed in world.store.parts.values() if owed.part.inbox_id == 1 and not owed.part.is_status)
    assert part.state is PartState.UNDELIVERABLE
    assert world.platform.texts(SHUT) == []
    assert len(world.generator.prompts) == 2


async def test_a_chat_that_shuts_the_bot_out_in_mid_answer_stops_it_at_its_next_words(world: World) -> None:
    world.generator.hold()
    world.generator.enqueue(["one ", "two ", "three"])
    await world.start()
    await world.say("hello")
    await world.until(lambda: world.platform.texts(SHUT) == ["one "])
    world.platform.closed.add(SHUT)
    world.generator.release()
    world.generator.hold()
    await stopped(world)
    await next_is_answered(world)


async def test_who_waits_in_a_chat_that_shut_the_bot_out_leaves_the_line(world: World) -> None:
    """The place cannot be shown, so neither can the answer; whoever is being answered is left alone."""
    world.platform.closed.add(SHUT)
    world.generator.hold()
    await world.start()
    await world.say("first", user="3")
    await world.until(lambda: bool(world.generator.prompts))
    await world.say("hello")
    world.clock.ahead_s += 1
    await world.until_stored(lambda: world.states() == [InboxState.RUNNING, InboxState.CANCELLED])
    world.generator.release()
    await world.until(lambda: world.platform.texts("3")[-1:] == ["echo: first"])
    assert [prompt.turns[-1].text for prompt in world.generator.prompts] == ["first"]
