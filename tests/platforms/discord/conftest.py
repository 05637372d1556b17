"""The real adapter on the fake Discord, and a pair of ears."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from botbridge.messages import Address, InboxId, IncomingMessage, MessageId, OutboxPart, Part, PartId, PartState
from botbridge.platforms.discord.adapter import DiscordPlatform
from botbridge.platforms.discord.commands import Label, Options, menu
from tests.fakes.discord import FakeDiscord
from tests.fakes.discord.client import REPOSITORY, server_command

MENU = menu(
    {
        "en": [
            ("reset", "Start afresh"),
            ("help", "What I can do"),
            ("cancel", "Stop my answer"),
            ("whoami", "Who you are to me"),
        ]
    },
    {
        "reset": Options(
            choices=(("chat", Label("this whole channel")), ("all confirm", Label("everybody, really"))),
            words_label=Label("whose conversations"),
            person_label=Label("whose conversation"),
        )
    },
)


class InMemoryState:
    """Keeps small facts."""

    def __init__(self) -> None:
        self.facts: dict[str, str] = {}

    async def get(self, name: str) -> str | None:
        return self.facts.get(name)

    async def put(self, name: str, value: str) -> None:
        self.facts[name] = value


class Bot:
    """An adapter and its ears; what it hands over can be waited for."""

    def __init__(self, server: FakeDiscord | None = None, **options: Any) -> None:
        urls = {} if server is None else {"api_base_url": server.api_url, "gateway_url": server.gateway_url}
        token = "a token" if server is None else server.token
        defaults = {"token": token, "state": InMemoryState(), "ignore": self.ignore, "commands": MENU, "timeout_s": 5.0}
        self.platform = DiscordPlatform(**{**defaults, **urls, **options})
        self.ignored: list[tuple[Address, MessageId, bytes, str]] = []
        self.heard: asyncio.Queue[IncomingMessage] = asyncio.Queue()
        self.errors: list[Exception] = []
        self._parts = 0

    async def intake(self, incoming: IncomingMessage) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.heard.put_nowait(incoming)

    async def ignore(self, address: Address, message_id: MessageId, raw: bytes, reason: str) -> None:
        self.ignored.append((address, message_id, raw, reason))

    async def next(self, wait_s: float = 20.0) -> IncomingMessage:
        """The next message that was handed over."""
        async with asyncio.timeout(wait_s):
            return await self.heard.get()

    def part(self, address: Address, text: str, **details: Any) -> OutboxPart:
        """A part of the outbox, numbered on."""
        self._parts += 1
        number = details.pop("number", self._parts)
        return OutboxPart(PartId(number), InboxId(1), address, Part(text), PartState.SENDING, **details)

    async def answer(self, incoming: IncomingMessage, text: str, **details: Any) -> MessageId:
        """Send a part where a message came from."""
        return await self.platform.send(self.part(incoming.address, text, **details))


OpenBot = Callable[..., AbstractAsyncContextManager[Bot]]


@pytest.fixture(scope="session")
def discord_process() -> Iterator[str]:
    """One process for all; the line that it printed."""
    with subprocess.Popen(
        server_command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline()


@pytest.fixture
async def server(discord_process: str) -> AsyncIterator[FakeDiscord]:
    """A fake Discord of this test's own."""
    async with FakeDiscord(running=discord_process) as fake:
        yield fake


@pytest.fixture
def open_bot() -> OpenBot:
    """Opens an adapter on a server and returns it once it is connected."""

    @contextlib.asynccontextmanager
    async def opened(server: FakeDiscord, *, connected: bool = True, **options: Any) -> AsyncIterator[Bot]:
        bot = Bot(server, **options)
        before = len(await server.ledger())
        running = asyncio.create_task(bot.platform.run(bot.intake))
        try:
            if connected:
                await server.wait_until("ready", after=before)
            yield bot
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await bot.platform.aclose()

    return opened


@pytest.fixture
async def bot(server: FakeDiscord, open_bot: OpenBot) -> AsyncIterator[Bot]:
    """The adapter with its usual settings, connected."""
    async with open_bot(server) as opened:
        yield opened
