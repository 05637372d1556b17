"""Both platforms, people on them, and a botbridge between."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.fakes.discord import FakeDiscord
from tests.fakes.discord import client as discord_client
from tests.fakes.telegram import client as telegram_client
from tests.fakes.telegram.client import FakeTelegram
from tests.journey.bridge import Bridge
from tests.journey.hunting import leaks
from tests.journey.town import settings_of

ROOT = telegram_client.ROOT
NewBridge = Callable[..., Bridge]


def _printed_by(command: tuple[str, ...]) -> Iterator[str]:
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline()


@pytest.fixture(scope="session")
def telegram_process() -> Iterator[str]:
    """One Telegram for all; the line that it printed."""
    yield from _printed_by(telegram_client.server_command())


@pytest.fixture(scope="session")
def discord_process() -> Iterator[str]:
    """One Discord for all; the line that it printed."""
    yield from _printed_by(discord_client.server_command())


@pytest.fixture
async def telegram(telegram_process: str) -> AsyncIterator[FakeTelegram]:
    """An empty Telegram, with its limits."""
    async with FakeTelegram(running=telegram_process) as server:
        yield server


@pytest.fixture
async def discord(discord_process: str) -> AsyncIterator[FakeDiscord]:
    """An empty Discord of this test's own."""
    async with FakeDiscord(running=discord_process) as server:
        yield server


@pytest.fixture
async def new_bridge(tmp_path: Path, telegram: FakeTelegram, discord: FakeDiscord) -> AsyncIterator[NewBridge]:
    """Makes botbridges on both platforms, each with a home of its own; all are gone after the test.

    Whatever the test was about, no secret stands then in what they left behind.
    """
    made: list[Bridge] = []
    async with AsyncExitStack() as stack:

        def new(*, models: Path | None = None, home: Path | None = None, **changes: str) -> Bridge:
            settings = {name: value for name, value in (settings_of(telegram, discord) | changes).items() if value}
            bridge = Bridge(home or tmp_path / f"home{len(made)}", settings, models=models)
            made.append(bridge)
            stack.push_async_callback(bridge.kill_tree)
            return bridge

        yield new
    assert {bridge.home.name: leaks(bridge) for bridge in made if leaks(bridge)} == {}


@pytest.fixture
async def bridge(new_bridge: NewBridge, discord: FakeDiscord) -> Bridge:
    """A botbridge on both platforms, connected, with the echo engine."""
    started = new_bridge()
    await started.start()
    await discord.wait_until("ready")
    return started
