"""The journey of a message while its worker dies and no other one comes."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from botbridge.answers import Recent
from botbridge.errors import ModelNotFound
from botbridge.inference.client import WorkerClient
from botbridge.inference.options import EngineOptions
from botbridge.messages import ConversationKey, InboxState
from botbridge.models.files import ModelFiles
from botbridge.storage.memory import InMemoryHistory
from botbridge.storage.memory_store import InMemoryStore
from tests.conversation.conftest import World
from tests.fakes.asking import until_state
from tests.inference.conftest import QUICK


class SlowHistory(InMemoryHistory):
    """One whose reading lasts until a test lets it come to its end."""

    def __init__(self, store: InMemoryStore) -> None:
        super().__init__(store)
        self.is_read = asyncio.Event()
        self.may_go_on = asyncio.Event()

    async def recent(self, key: ConversationKey, limit_chars: int) -> Recent:
        self.is_read.set()
        await self.may_go_on.wait()
        return await super().recent(key, limit_chars)


async def test_a_message_that_was_begun_just_before_the_worker_died_is_not_to_blame_for_the_missing_model() -> None:
    """A8, A13: nothing was computed for it, so it waits like all others until there is a model again."""
    prepared, is_mended = 0, False

    async def prepare() -> ModelFiles:
        nonlocal prepared
        prepared += 1
        if prepared > 1 and not is_mended:
            raise ModelNotFound("no model of this name")
        return ModelFiles("m", "r", Path("unused"))

    world = World()
    world.history = history = SlowHistory(world.store)
    async with WorkerClient(prepare, EngineOptions(engine="echo"), patience=QUICK) as client:
        await until_state(client, "ready")
        world.generator = client  # type: ignore[assignment]
        await world.start()
        await world.say("hello")
        await history.is_read.wait()
        assert client.worker_pid is not None
        os.kill(client.worker_pid, signal.SIGKILL)
        await until_state(client, "unavailable")
        history.may_go_on.set()
        await world.until_stored(lambda: world.states() == [InboxState.QUEUED])
        is_mended = True
        await world.until(lambda: world.platform.texts("1") == ["hello"])
        await world.until_stored(lambda: world.states() == [InboxState.ANSWERED])
        await world.stop()
    assert [message.crashes for message in world.store.messages.values()] == [0]
