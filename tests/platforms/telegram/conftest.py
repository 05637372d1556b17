"""A server, a bot that listens to it, and what the bot took in."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from botbridge.errors import StorageError, StorageUnavailable
from botbridge.messages import Address, InboxId, IncomingMessage, MessageId, OutboxPart, Part, PartId, PartState
from botbridge.platforms.telegram.adapter import TelegramPlatform, Timing
from botbridge.platforms.telegram.backoff import Backoff
from tests.fakes.telegram.client import ROOT, FakeTelegram, server_command

QUICK = Timing(poll_s=5, connect_s=2.0, answer_s=2.0, backoff=Backoff(first_s=0.05, longest_s=0.2))


@dataclass
class Taken:
    """What the bot took in, and a database that can be away.

    Attributes:
        trouble: What a database that is away says.
    """

    accepted: list[IncomingMessage] = field(default_factory=list)
    ignored: list[tuple[Address, MessageId, bytes, str]] = field(default_factory=list)
    is_away: bool = False
    trouble: StorageError = field(default_factory=lambda: StorageUnavailable("database is locked"))
    refusals: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def intake(self, incoming: IncomingMessage) -> None:
        """Commit, or fail as a database does."""
        if self.is_away:
            self.refusals += 1
            await self._notify()
            raise self.trouble
        self.accepted.append(incoming)
        await self._notify()

    async def ignore(self, address: Address, message_id: MessageId, raw: bytes, reason: str) -> None:
        """Keep what was not understood."""
        self.ignored.append((address, message_id, raw, reason))
        await self._notify()

    async def until(self, is_true: Callable[[Taken], bool]) -> None:
        """Return when a condition holds."""
        async with asyncio.timeout(10), self.changed:
            await self.changed.wait_for(lambda: is_true(self))

    async def _notify(self) -> None:
        async with self.changed:
            self.changed.notify_all()


@pytest.fixture(scope="session")
def server_line() -> Iterator[str]:
    """The line that one server for all tests printed; starting it takes half a second."""
    with subprocess.Popen(
        server_command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True
    ) as server:
        assert server.stdout is not None
        yield server.stdout.readline()
        server.terminate()


@pytest.fixture
async def telegram(server_line: str) -> AsyncIterator[FakeTelegram]:
    """An empty server with Telegram's limits."""
    async with FakeTelegram(running=server_line) as server:
        yield server


@pytest.fixture
def taken() -> Taken:
    """An empty inbox."""
    return Taken()


def platform_on(server: FakeTelegram, taken: Taken, **options: Any) -> TelegramPlatform:
    """A bot for a server, with short waits."""
    arguments: dict[str, Any] = {
        "token": server.token,
        "api_base_url": server.url,
        "timing": QUICK,
        "menus": {},
    } | options
    return TelegramPlatform(ignore=taken.ignore, **arguments)


@asynccontextmanager
async def listening(platform: TelegramPlatform, taken: Taken) -> AsyncIterator[asyncio.Task[None]]:
    """Run a bot for a while; its connections stay usable."""
    task = asyncio.create_task(platform.run(taken.intake))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def outbox_part(address: Address, text: str, markup: str = "", edits: MessageId | None = None) -> OutboxPart:
    """A part as the outbox hands it over."""
    return OutboxPart(PartId(1), InboxId(1), address, Part(text, markup), PartState.SENDING, edits)
