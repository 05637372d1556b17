"""P7: how soon botbridge takes messages in, how soon it answers, and what its service takes of memory.

python -m benchmarks.start [--times N] [--engine ENGINE]

`botbridge run` is started several times between the two test servers, with the
real model; the medians are printed beside the goals. Nothing is asserted: a
busy machine is slow, and that is no defect.

What each number is:

* accepting on Telegram: from the start of the command until a message that was
  already waiting is committed and confirmed;
* accepting on Discord: until the gateway has let us in;
* model ready: until the worker can answer, from the control socket;
* resident memory: of the service, and of its worker, after one answer;
* files of torch: how many of its libraries the service has in its memory then.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.comparing import Goal, conclude, say
from botbridge.control import SOCKET_NAME, ControlClient
from botbridge.errors import BotBridgeError, ControlError
from botbridge.models.catalogue import load_catalogue
from botbridge.models.ensure import ensure
from botbridge.models.store import ModelStore
from botbridge.setting_groups import DEFAULT_MODEL
from botbridge.settings import load_settings
from tests.fakes.discord import FakeDiscord
from tests.fakes.telegram.client import FakeTelegram, Person
from tests.journey.bridge import Bridge
from tests.journey.town import settings_of

PULL_TIMEOUT_S = 1800.0
MEGABYTE = 10**6
LOOK_S = 0.02
SARA = Person(42)


class Measured(NamedTuple):
    """One start; seconds since the command, megabytes, and a number of files."""

    telegram_s: float
    discord_s: float
    model_s: float
    service_mb: float
    worker_mb: float
    torch_files: float


GOALS = {"telegram_s": 2.0, "discord_s": 2.0, "model_s": 6.0, "service_mb": 150.0, "torch_files": 0.0}
NAMES = {
    "telegram_s": "accepting on Telegram, s",
    "discord_s": "accepting on Discord, s",
    "model_s": "model ready, s",
    "service_mb": "resident memory of the service, MB",
    "worker_mb": "resident memory of the worker, MB",
    "torch_files": "files of torch in the service",
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start", description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=3, help="how often to start")
    parser.add_argument("--engine", default="auto", help="auto for the real model, echo for none")
    options = parser.parse_args()
    try:
        models = asyncio.run(models_directory(options.engine))
    except BotBridgeError as error:
        sys.exit(f"bench: {error}")
    except TimeoutError:
        sys.exit(f"bench: the model was not fetched within {PULL_TIMEOUT_S:g} s")
    say(f"P7: {options.times} starts, engine {options.engine}")
    starts = [asyncio.run(measure(models, options.engine)) for _ in range(options.times)]
    found = {field: sorted(getattr(start, field) for start in starts) for field in NAMES}
    goals = [
        Goal("P7", NAMES[field], statistics.median(found[field]), at_most=wanted, samples=tuple(found[field]))
        for field, wanted in GOALS.items()
    ]
    conclude("p7", goals, {"engine": options.engine, "load": os.getloadavg()[0], **found})


async def models_directory(engine: str) -> Path:
    """Return where `botbridge run` keeps its models, with the default one in it; fetched if it is not there.

    Raises:
        BotBridgeError: it cannot be had, or your settings are wrong.
        TimeoutError: it took too long.
    """
    home = load_settings().home
    if engine != "echo":
        named = load_catalogue().resolve(DEFAULT_MODEL)
        async with asyncio.timeout(PULL_TIMEOUT_S):
            await ensure(named, ModelStore(home), pull_missing=True, told=_tell)
    return home / "models"


async def measure(models: Path, engine: str) -> Measured:
    """Start once, in a new home."""
    with tempfile.TemporaryDirectory(prefix="botbridge-bench-") as home:
        async with FakeTelegram() as telegram, FakeDiscord() as discord:
            said = await telegram.say(SARA, "hello")
            settings = settings_of(telegram, discord) | {"INFERENCE__ENGINE": engine}
            bridge = Bridge(Path(home), settings, models=models)
            try:
                begun_s = time.monotonic()
                await bridge.start()
                telegram_s, discord_s, model_s = await asyncio.gather(
                    _seconds(begun_s, telegram.wait_until(lambda record: not record.unconfirmed, 60)),
                    _seconds(begun_s, discord.wait_until("ready", timeout_s=60)),
                    _seconds(begun_s, until_ready(bridge.home)),
                )
                await telegram.wait_for_reply(SARA, after=said.message_id, timeout_s=120)
                await bridge.until(lambda: bool(bridge.rows("SELECT 1 FROM inbox WHERE finished_at")), 120)
                memory_mb = _megabytes(bridge.pid), _megabytes(bridge.worker().pid)
                return Measured(telegram_s, discord_s, model_s, *memory_mb, torch_files(bridge.pid))
            finally:
                await bridge.kill_tree()


def _tell(line: str) -> None:
    say(f"bench: {line}")


async def _seconds(begun_s: float, event: Awaitable[object]) -> float:
    await event
    return time.monotonic() - begun_s


async def until_ready(home: Path) -> None:
    """Return as soon as the service of this home can answer."""
    client = ControlClient(home / SOCKET_NAME)
    while True:
        try:
            if (await client.ask("health"))["state"] == "ready":
                return
        except ControlError:
            pass  # not there yet
        await asyncio.sleep(LOOK_S)


def torch_files(pid: int) -> int:
    """Return how many libraries of torch a process has in its memory; one that imported it has dozens."""
    return sum("torch" in Path(mapped.path).parts for mapped in psutil.Process(pid).memory_maps())


def _megabytes(pid: int) -> float:
    return float(psutil.Process(pid).memory_info().rss) / MEGABYTE


if __name__ == "__main__":
    main()
