"""How soon botbridge takes messages in, how soon it answers, and how much memory it takes: `make bench`.

`botbridge run` is started several times between the two test servers, with the
real model; the medians are printed beside the goals. Nothing is asserted: a
busy machine is slow, and that is no defect.

What each number is:

* accepting on Telegram: from the start of the command until a message that was
  already waiting is committed and confirmed;
* accepting on Discord: until the gateway has let us in;
* model ready: until the worker can answer, from the control socket;
* resident memory: of the service, and of its worker, after one answer.
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

from botbridge.control import ControlClient
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
MEBIBYTE = 2**20
LOOK_S = 0.02
SARA = Person(42)


class Measured(NamedTuple):
    """One start; seconds since the command, and mebibytes."""

    telegram_s: float
    discord_s: float
    model_s: float
    service_mib: float
    worker_mib: float


GOALS = {"telegram_s": 2.0, "discord_s": 2.0, "service_mib": 150.0}
NAMES = {
    "telegram_s": "accepting on Telegram, s",
    "discord_s": "accepting on Discord, s",
    "model_s": "model ready, s",
    "service_mib": "resident, service, MiB",
    "worker_mib": "resident, worker, MiB",
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
    starts = [asyncio.run(measure(models, options.engine)) for _ in range(options.times)]
    cores = len(os.sched_getaffinity(0))
    print(f"{options.times} starts, engine {options.engine}, {cores} cores, load {os.getloadavg()[0]:.1f}; medians")
    for field, name in NAMES.items():
        values = sorted(getattr(start, field) for start in starts)
        median = statistics.median(values)
        goal = GOALS.get(field)
        beside = f"goal {goal:g}, ratio {median / goal:.2f}" if goal else "no goal"
        print(f"{name:26} {median:8.2f}   {beside:26} (from {values[0]:.2f} to {values[-1]:.2f})")


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
                return Measured(telegram_s, discord_s, model_s, _mebibytes(bridge.pid), _mebibytes(bridge.worker().pid))
            finally:
                await bridge.kill_tree()


def _tell(line: str) -> None:
    print(f"bench: {line}", file=sys.stderr, flush=True)


async def _seconds(begun_s: float, event: Awaitable[object]) -> float:
    await event
    return time.monotonic() - begun_s


async def until_ready(home: Path) -> None:
    """Return as soon as the service of this home can answer."""
    client = ControlClient(home / "control.sock")
    while True:
        try:
            if (await client.ask("health"))["state"] == "ready":
                return
        except ControlError:
            pass  # not there yet
        await asyncio.sleep(LOOK_S)


def _mebibytes(pid: int) -> float:
    return float(psutil.Process(pid).memory_info().rss) / MEBIBYTE


if __name__ == "__main__":
    main()
