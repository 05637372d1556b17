"""The service ends when it is told to, at whatever moment that comes."""

from __future__ import annotations

import asyncio

import pytest

from tests.conversation.conftest import World


@pytest.mark.parametrize("steps", range(16))
async def test_a_cancel_ends_the_service_at_every_step_after_a_message(world: World, steps: int) -> None:
    """A cancel that arrives while the loop clears up after an event must not be taken for the end of that."""
    await world.start()
    await world.say("hello")
    for _ in range(steps):
        await asyncio.sleep(0)
    await asyncio.wait_for(world.stop(), timeout=10)
