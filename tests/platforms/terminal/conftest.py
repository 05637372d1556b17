"""A terminal over a real service in memory with a scripted model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field

import pytest

from botbridge.answers import Sampling
from botbridge.conversation.access import Access
from botbridge.conversation.acts import Acts
from botbridge.conversation.delivery import Delivery
from botbridge.conversation.desk import Desk
from botbridge.conversation.estimates import Estimates
from botbridge.conversation.limits import Limits
from botbridge.conversation.policy import Policy
from botbridge.conversation.room import Room
from botbridge.conversation.service import ConversationService
from botbridge.conversation.texts import load_texts
from botbridge.conversation.waits import Waits
from botbridge.messages import Person, UserId
from botbridge.platforms.terminal.adapter import TerminalPlatform
from botbridge.platforms.terminal.window import Shown
from botbridge.storage.memory import InMemoryAudit, InMemoryHistory, InMemoryInbox, InMemoryOutbox, InMemoryState
from botbridge.storage.memory_people import InMemoryPeople
from botbridge.storage.memory_store import InMemoryStore
from tests.fakes.scripted_generator import ScriptedGenerator

ANN = Person(UserId("ann"), display_name="ann", language="en")


@dataclass
class Desktop:
    """A machine with terminals; `start` and `stop` are the service's process."""

    generator: ScriptedGenerator = field(default_factory=ScriptedGenerator)
    store: InMemoryStore = field(default_factory=InMemoryStore)
    terminal: TerminalPlatform = field(default_factory=TerminalPlatform)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def start(self) -> None:
        self.terminal = TerminalPlatform()
        platforms = {self.terminal.name: self.terminal}
        texts, room = load_texts(), Room(time.monotonic)
        inbox, history, outbox = InMemoryInbox(self.store), InMemoryHistory(self.store), InMemoryOutbox(self.store)
        access = Access(operators=frozenset({(self.terminal.name, ANN.user_id)}))  # as app.py has it
        policy = Policy("be brief", Sampling(), access, Limits(), scopes={})
        delivery = Delivery(outbox, platforms, texts)
        acts = Acts(
            inbox=inbox,
            history=history,
            people=InMemoryPeople(self.store),
            generator=self.generator,
            platforms=platforms,
            room=room,
            delivery=delivery,
            texts=texts,
        )
        desk = Desk(
            history=history,
            people=InMemoryPeople(self.store),
            audit=InMemoryAudit(self.store),
            platforms=platforms,
            room=room,
            acts=acts,
            generator=self.generator,
            access=policy.access,
            texts=texts,
        )
        service = ConversationService(
            inbox=inbox,
            history=history,
            outbox=outbox,
            generator=self.generator,
            platforms=platforms,
            room=room,
            desk=desk,
            acts=acts,
            delivery=delivery,
            estimates=Estimates(InMemoryState(self.store)),
            waits=Waits(),
            policy=policy,
            texts=texts,
            now_s=time.monotonic,
        )
        await service.resume()
        for work in (delivery.run(), service.run(), self.terminal.run(service.receive)):
            self._stack.push_async_callback(_cancel, asyncio.create_task(work))

    async def stop(self) -> None:
        await self._stack.aclose()

    async def ask(self, text: str, *, sampling: Sampling | None = None) -> list[Shown]:
        """Everything that one window shows of one reply."""
        async with aclosing(self.terminal.ask(ANN, text, sampling=sampling)) as replies:
            return [shown async for shown in replies]


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def desktop() -> AsyncIterator[Desktop]:
    desktop = Desktop()
    yield desktop
    await desktop.stop()
