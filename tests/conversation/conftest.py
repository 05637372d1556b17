"""A whole conversation service in memory: real line, desk and delivery, a scripted model, a platform with a ledger."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace

import pytest

from botbridge.answers import Sampling
from botbridge.conversation.access import Access
from botbridge.conversation.acts import Acts
from botbridge.conversation.delivery import Delivery
from botbridge.conversation.desk import Desk
from botbridge.conversation.estimates import Estimates
from botbridge.conversation.limits import Limits
from botbridge.conversation.policy import Policy
from botbridge.conversation.rates import Rates
from botbridge.conversation.room import Room
from botbridge.conversation.service import ConversationService
from botbridge.conversation.texts import load_texts
from botbridge.conversation.waits import Waits
from botbridge.messages import (
    InboxState,
    IncomingMessage,
    PlatformName,
    UserId,
)
from botbridge.storage.memory import (
    InMemoryAudit,
    InMemoryHistory,
    InMemoryInbox,
    InMemoryOutbox,
    InMemoryState,
)
from botbridge.storage.memory_people import InMemoryPeople
from botbridge.storage.memory_store import InMemoryStore
from tests.fakes.in_memory_platform import InMemoryPlatform
from tests.fakes.locked import Locked
from tests.fakes.scripted_generator import ScriptedGenerator

OPERATOR = UserId("99")


@dataclass
class Clock:
    """Monotonic time that a test may push forward."""

    ahead_s: float = 0.0

    def now_s(self) -> float:
        return time.monotonic() + self.ahead_s


@dataclass
class World:
    """Everything a test of the conversation looks at."""

    platform: InMemoryPlatform = field(default_factory=InMemoryPlatform)
    generator: ScriptedGenerator = field(default_factory=ScriptedGenerator)
    store: InMemoryStore = field(default_factory=InMemoryStore)
    clock: Clock = field(default_factory=Clock)
    policy: Policy = field(
        default_factory=lambda: Policy(
            system="be brief",
            sampling=Sampling(),
            access=Access(operators=frozenset({(PlatformName("telegram"), OPERATOR)})),
            limits=Limits(),
            scopes={},
        )
    )
    measured: dict[str, Rates] = field(default_factory=dict)
    waits: Waits = field(default_factory=Waits)
    history: InMemoryHistory | None = None
    inbox: InMemoryInbox | None = None
    locked: dict[str, int] = field(default_factory=dict)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    service: ConversationService | None = None
    acts: Acts | None = None
    room: Room | None = None

    async def start(self, **policy: object) -> None:
        """Open the service over what the store holds."""
        self.policy = replace(self.policy, **policy)  # type: ignore[arg-type]
        texts = load_texts()
        platforms = {self.platform.name: self.platform}
        inbox = Locked(self.inbox or InMemoryInbox(self.store), self.locked)
        history = Locked(self.history or InMemoryHistory(self.store), self.locked)
        outbox = Locked(InMemoryOutbox(self.store), self.locked)
        self.room = room = Room(self.clock.now_s)
        delivery = Delivery(outbox, platforms, texts)
        people = InMemoryPeople(self.store)
        self.acts = Acts(
            inbox=inbox,
            history=history,
            people=people,
            generator=self.generator,
            platforms=platforms,
            room=room,
            delivery=delivery,
            texts=texts,
        )
        desk = Desk(
            history=history,
            people=people,
            audit=Locked(InMemoryAudit(self.store), self.locked),
            platforms=platforms,
            room=room,
            acts=self.acts,
            generator=self.generator,
            access=self.policy.access,
            texts=texts,
        )
        self.service = ConversationService(
            inbox=inbox,
            history=history,
            outbox=outbox,
            generator=self.generator,
            platforms=platforms,
            room=room,
            desk=desk,
            acts=self.acts,
            delivery=delivery,
            estimates=Estimates(InMemoryState(self.store), self.measured),
            waits=self.waits,
            policy=self.policy,
            texts=texts,
            now_s=self.clock.now_s,
        )
        await self.service.resume()
        for work in (self.service.run(), delivery.run()):
            task = asyncio.create_task(work)
            self._stack.push_async_callback(_cancel, task)

    async def stop(self) -> None:
        """Stop as a process does that is told to: what is unfinished stays in the store."""
        await self._stack.aclose()

    async def say(self, text: str, **who: object) -> IncomingMessage:
        """Let somebody write, and return when it is committed."""
        message = self.platform.message(text, **who)  # type: ignore[arg-type]
        assert self.service is not None
        await self.service.receive(message)
        return message

    async def until(self, condition: Callable[[], bool]) -> None:
        await self.platform.until(condition)

    async def until_stored(self, condition: Callable[[], bool]) -> None:
        """Return once the store, which tells nobody of changes, satisfies a condition."""
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - a dict has no event
                await asyncio.sleep(0)

    def states(self) -> list[InboxState]:
        """How far each message has come, oldest first."""
        return [message.state for message in self.store.messages.values()]

    async def unfinished(self) -> dict[str, InboxState]:
        return {row.incoming.text: row.state for row in await InMemoryInbox(self.store).unfinished()}


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A world that is stopped after the test; the test starts it."""
    world = World()
    yield world
    await world.stop()
