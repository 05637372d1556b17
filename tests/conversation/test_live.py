"""What a chat sees of an answer in the making."""

from __future__ import annotations

import asyncio

from botbridge.conversation.live import Live
from botbridge.conversation.scope import key_for
from botbridge.storage.memory import InMemoryInbox, InMemoryOutbox
from botbridge.storage.memory_store import InMemoryStore
from tests.fakes.in_memory_platform import InMemoryPlatform


async def live_of(platform: InMemoryPlatform) -> Live:
    """The progress of the first message."""
    store, incoming = InMemoryStore(), platform.message("hello")
    row = await InMemoryInbox(store).accept(incoming, key_for(incoming, {}))
    assert row is not None
    return Live(row, platform, InMemoryOutbox(store), placeholder="…", shut_out=lambda: None)


async def test_an_answer_that_is_there_at_once_is_not_announced() -> None:
    platform = InMemoryPlatform(edit_interval_s=1.0)
    live = await live_of(platform)
    live.typing()
    for _ in range(3):  # begins what was only planned
        await asyncio.sleep(0)
    await live.close()
    assert platform.typed == 0


async def test_where_a_sign_costs_nothing_it_is_given_at_once() -> None:
    platform = InMemoryPlatform()
    live = await live_of(platform)
    live.typing()
    for _ in range(3):
        await asyncio.sleep(0)
    await live.close()
    assert platform.typed > 0


async def test_one_that_takes_longer_is() -> None:
    platform = InMemoryPlatform(edit_interval_s=1.0)
    live = await live_of(platform)
    live.typing()
    await platform.until(lambda: platform.typed > 0)
    await live.close()
