"""The service is told to stop: what is being answered has some time left, and nothing else is begun (A11)."""

from __future__ import annotations

import asyncio

from botbridge.conversation.delivery import LOOK_EVERY_S
from botbridge.messages import InboxState
from tests.conversation.conftest import World


async def test_an_answer_in_the_making_comes_to_its_end_and_is_sent_before_the_drain_ends(world: World) -> None:
    world.generator.hold()
    await world.start()
    assert world.service is not None
    message = await world.say("hello")
    await world.generator.asked.wait()
    drain = asyncio.create_task(world.service.drain(30))
    await asyncio.sleep(0)
    world.platform.takes.clear()
    world.generator.release()
    await world.until_stored(lambda: world.states() == [InboxState.ANSWERED])
    await asyncio.sleep(4 * LOOK_EVERY_S)
    assert not drain.done()
    world.platform.takes.set()
    await drain
    assert world.platform.texts(message.address.chat_id) == ["echo: hello"]


async def test_what_waits_is_not_begun_and_is_kept(world: World) -> None:
    world.generator.hold()
    await world.start()
    assert world.service is not None
    await world.say("hello")
    await world.generator.asked.wait()
    await world.say("and then?")
    drain = asyncio.create_task(world.service.drain(30))
    await asyncio.sleep(0)
    world.generator.release()
    await drain
    assert [prompt.turns[-1].text for prompt in world.generator.prompts] == ["hello"]
    assert world.states() == [InboxState.ANSWERED, InboxState.QUEUED]


async def test_what_takes_longer_is_kept_for_the_next_start(world: World) -> None:
    world.generator.hold()
    await world.start()
    assert world.service is not None
    await world.say("hello")
    await world.generator.asked.wait()
    await world.service.drain(0)
    assert world.states() == [InboxState.RUNNING]
    await world.stop()
    world.generator.release()
    await world.start()
    await world.until_stored(lambda: world.states() == [InboxState.ANSWERED])


async def test_a_service_at_rest_is_drained_at_once(world: World) -> None:
    await world.start()
    assert world.service is not None
    await asyncio.wait_for(world.service.drain(3600), timeout=10)
