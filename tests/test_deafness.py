"""How long the model could not run, from what its status said."""

from __future__ import annotations

import asyncio

from botbridge.running import deaf
from tests.fakes.scripted_generator import ScriptedGenerator


async def test_a_model_that_cannot_run_for_so_long_is_told_with_its_reason() -> None:
    """A13: whether it is tried again meanwhile does not count, only whether it can answer."""
    generator = ScriptedGenerator(state="unavailable")
    waiting = asyncio.create_task(deaf(generator, after_s=0.05))
    await asyncio.sleep(0)
    generator.become("starting")
    assert await asyncio.wait_for(waiting, timeout=10) == generator.status().detail


async def test_a_model_that_is_loaded_for_the_first_time_or_recovers_is_not_deaf() -> None:
    """A13: the time begins anew."""
    generator = ScriptedGenerator(state="starting")
    waiting = asyncio.create_task(deaf(generator, after_s=0.05))
    for state in ("starting", "unavailable", "ready"):
        generator.become(state)
        for _ in range(3):
            await asyncio.sleep(0)
    done, _ = await asyncio.wait({waiting}, timeout=0.2)
    waiting.cancel()
    assert not done
