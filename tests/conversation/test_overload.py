"""More than the machine can answer: bounded, told, and fair to whoever asks for little."""

from __future__ import annotations

import re

from botbridge.conversation.limits import Limits
from botbridge.messages import InboxState
from tests.conversation.conftest import World

FLOOD = 500
OTHERS = tuple(str(number) for number in range(100, 120))


async def test_a_person_with_five_hundred_messages_is_told_once_and_delays_others_by_one_answer(world: World) -> None:
    """G1: what is waiting of one person is bounded, and everybody else goes before their second message."""
    world.generator.hold()
    await world.start(limits=Limits(messages_per_minute=20, waiting_per_person=3))
    await world.say("flood 0")
    await world.until(lambda: bool(world.generator.prompts))
    for number in range(1, FLOOD):
        await world.say(f"flood {number}")
    for user in OTHERS:
        await world.say("a word", user=user)
    await world.until_stored(lambda: InboxState.RECEIVED not in world.states())
    assert world.states().count(InboxState.QUEUED) == 3 + len(OTHERS)
    world.generator.release()
    await world.until(lambda: all("echo: a word" in world.platform.texts(user) for user in OTHERS))
    await world.until_stored(lambda: all(state.is_final for state in world.states()))
    await world.until(lambda: "echo: flood 3" in world.platform.texts("1"))
    asked = [prompt.turns[-1].text for prompt in world.generator.prompts]
    assert asked == ["flood 0", *["a word"] * len(OTHERS), "flood 1", "flood 2", "flood 3"]
    assert sum("too fast" in text for text in world.platform.texts("1")) == 1
    assert world.states().count(InboxState.REFUSED) == FLOOD - 4


async def test_a_full_line_refuses_visibly_and_the_places_that_it_shows_are_true(world: World) -> None:
    """G2: ten times what it holds."""
    places = 10
    people = [str(number) for number in range(1, 10 * places + 1)]
    world.generator.hold()
    await world.start(limits=Limits(queue=places))
    await world.say("first", user=people[0])
    await world.until(lambda: bool(world.generator.prompts))
    for user in people[1:]:
        await world.say("me too", user=user)
        await world.until_stored(lambda: InboxState.RECEIVED not in world.states())
    refused = people[1 + places :]
    await world.until(lambda: all("Too many people" in "".join(world.platform.texts(user)) for user in refused))
    await world.until(lambda: all(place_of(world, user) for user in people[1 : 1 + places]))
    shown = {user: place_of(world, user) for user in people[1 : 1 + places]}
    world.generator.release()
    await world.until(lambda: all("echo" in "".join(world.platform.texts(user)) for user in shown))
    assert list(shown.values()) == list(range(1, places + 1))
    begun = [prompt.conversation for prompt in world.generator.prompts[1:]]
    assert begun == sorted(begun, key=lambda conversation: shown[conversation.rpartition("=")[2]])
    await world.until_stored(lambda: all(state.is_final for state in world.states()))
    assert world.states().count(InboxState.REFUSED) == len(refused)


def place_of(world: World, user: str) -> int:
    """The place in the line that a person's chat shows; 0 for none."""
    found = re.search(r"number (\d+) in the line", "".join(world.platform.texts(user)))
    return int(found[1]) if found else 0
