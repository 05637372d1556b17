"""P5: what the bridge itself takes, from a message received to its answer sent, with an engine that only echoes.

python -m benchmarks.hot_path [--seconds S]

Four processes share the cores: the bridge, its worker, Telegram's stand-in
(with its ledger, without its rate rules) and whoever writes. Each answer is
committed in every state that it goes through, and flushed to the disk before
anybody is told anything.

* messages/s: people write again as soon as somebody was answered, so that
  always as many messages are on their way;
* added latency: 50 messages a second, evenly; from the moment when Telegram
  has a message until it has the answer. Two flushes of the disk lie on that
  way; how long one takes here by itself is printed beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.comparing import Goal, conclude, quantile, say
from benchmarks.start import until_ready
from tests.fakes.telegram.client import FakeTelegram, Person, Record
from tests.journey.bridge import clean_environment

PEOPLE = tuple(Person(number) for number in range(1000, 2000))
ON_THEIR_WAY = 64
"""Enough that it is the cores that are waited for, not the disk."""

SLOTS = 64
"""As many as are on their way: nobody waits in the line, where a status message would be sent for each."""

LOOK_S = 0.02
MESSAGES_PER_S = 50
WARM_UP = 50
TEXT = "hello"
PATIENCE_S = 120.0
FLUSHES = 200
DELIVERED = "SELECT count(*) FROM outbox WHERE state = 'sent' AND NOT is_status"


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hot_path")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each of the two measurements takes")
    seconds_s = parser.parse_args().seconds
    say("P5: the whole bridge with an echo for a model")
    async with FakeTelegram(limits=False) as telegram, bridge(telegram) as service:
        crowd = Crowd(telegram, service)
        await crowd.write(WARM_UP)
        await crowd.all_answered()
        with cpu_ms_each(crowd, service) as at_most:
            throughput = await messages_per_s(crowd, seconds_s)
        say(f"  sustained: {throughput:.0f} messages/s; {shown(at_most)}")
        before = crowd.written
        with cpu_ms_each(crowd, service) as evenly:
            await write_evenly(crowd, seconds_s)
        waits_s = latencies_s(await telegram.ledger(), before)
        say(f"  at {MESSAGES_PER_S} messages/s: half within {1000 * quantile(waits_s, 0.5):.1f} ms; {shown(evenly)}")
        flushes_s = flush_times_s(service.database.with_name("flushed"))
        say(f"  a flush of this disk: half within {1000 * quantile(flushes_s, 0.5):.1f} ms")
    goals = [
        Goal("P5", "messages a second, echo engine, against 300", throughput / 300, at_least=1.0),
        Goal("P5", f"p99 of the added latency at {MESSAGES_PER_S}/s, ms", 1000 * quantile(waits_s, 0.99), at_most=25.0),
    ]
    details = {
        "messages/s": throughput,
        "on their way": ON_THEIR_WAY,
        "slots": SLOTS,
        "CPU a message, sustained, ms": at_most,
        f"CPU a message, at {MESSAGES_PER_S}/s, ms": evenly,
        "p99 of a flush, ms": 1000 * quantile(flushes_s, 0.99),
        "latencies_s": waits_s,
    }
    conclude("p5", goals, details)


@dataclass(frozen=True)
class Service:
    """The bridge's own process and its database."""

    process: psutil.Process
    database: Path

    def answered(self) -> int:
        """Return how many answers were delivered so far."""
        with closing(sqlite3.connect(f"{self.database.as_uri()}?mode=ro", uri=True)) as connection:
            return int(connection.execute(DELIVERED).fetchone()[0])

    def cpu_s(self) -> dict[str, float]:
        """Return what each process computed since it was started, in seconds."""
        ours = psutil.Process()
        (worker,) = (child for child in self.process.children() if "spawn_main" in " ".join(child.cmdline()))
        (telegram,) = (child for child in ours.children() if "tests.fakes.telegram" in child.cmdline())
        processes = {"service": self.process, "worker": worker, "telegram": telegram, "crowd": ours}
        return {name: sum(process.cpu_times()[:2]) for name, process in processes.items()}


@asynccontextmanager
async def bridge(telegram: FakeTelegram) -> AsyncIterator[Service]:
    """Run the bridge in a process of its own, in a home that is gone afterwards."""
    settings = {
        "TELEGRAM__TOKEN": telegram.token,
        "TELEGRAM__API_BASE_URL": telegram.url,
        "INFERENCE__ENGINE": "echo",
        "INFERENCE__SLOTS": str(SLOTS),
        "LIMITS__MESSAGES_PER_MINUTE": "10000",
        "LIMITS__TOKENS_PER_MINUTE": "1000000000",
        "LIMITS__QUEUE": "10000",
        "LOG__LEVEL": "ERROR",
    }
    with tempfile.TemporaryDirectory(prefix="botbridge-bench-") as home:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.unpaced_bridge"),
            env=clean_environment(Path(home), settings),
            stdin=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(PATIENCE_S):
                await until_ready(Path(home))
            yield Service(psutil.Process(process.pid), Path(home) / "botbridge.db")
        finally:
            process.terminate()
            await process.wait()


class Crowd:
    """People who write one after the other, each again when all the others have."""

    def __init__(self, telegram: FakeTelegram, service: Service) -> None:
        self.written = 0
        self._telegram = telegram
        self._service = service

    async def write(self, number: int) -> None:
        """Let so many of them write at once."""
        people = [PEOPLE[place % len(PEOPLE)] for place in range(self.written, self.written + number)]
        await self._telegram.say_each(people, TEXT)
        self.written += number

    async def answered(self) -> int:
        """Return how many were answered so far, after a moment."""
        await asyncio.sleep(LOOK_S)
        return self._service.answered()

    async def all_answered(self) -> None:
        """Wait for the last answer."""
        async with asyncio.timeout(PATIENCE_S):
            while await self.answered() < self.written:
                pass


@contextmanager
def cpu_ms_each(crowd: Crowd, service: Service) -> Iterator[dict[str, float]]:
    """Measure what each process computes for a message meanwhile, in milliseconds; known when the block is left."""
    each: dict[str, float] = {}
    written, before_s = crowd.written, service.cpu_s()
    yield each
    for name, after_s in service.cpu_s().items():
        each[name] = round(1000 * (after_s - before_s[name]) / (crowd.written - written), 3)


def shown(each: Mapping[str, float]) -> str:
    """Say what each process takes for a message."""
    return "CPU a message: " + ", ".join(f"{name} {cpu_ms:.2f} ms" for name, cpu_ms in each.items())


def flush_times_s(path: Path) -> list[float]:
    """Return how long each of some commits of one small row takes when it is flushed, with nothing else beside it."""
    times_s: list[float] = []
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE one (text)")
        for _ in range(FLUSHES):
            begun_s = time.perf_counter()
            connection.execute("INSERT INTO one VALUES ('a message')")
            times_s.append(time.perf_counter() - begun_s)
    return times_s


async def messages_per_s(crowd: Crowd, seconds_s: float) -> float:
    """Keep as many messages on their way as there are to be, and count what is answered in so many seconds."""
    begun, begun_s = crowd.written, time.perf_counter()
    answered = begun
    while (passed_s := time.perf_counter() - begun_s) < seconds_s:
        await crowd.write(answered + ON_THEIR_WAY - crowd.written)
        answered = await crowd.answered()
    await crowd.all_answered()
    return (answered - begun) / passed_s


async def write_evenly(crowd: Crowd, seconds_s: float) -> None:
    """Let somebody write every few milliseconds, whatever becomes of it; returns after the last answer."""
    begun_s = time.perf_counter()
    for place in range(round(seconds_s * MESSAGES_PER_S)):
        await asyncio.sleep(max(0.0, begun_s + place / MESSAGES_PER_S - time.perf_counter()))
        await crowd.write(1)
    await crowd.all_answered()


def latencies_s(record: Record, left_out: int) -> list[float]:
    """Return how long each message waited for the last that was sent or edited because of it, oldest message first.

    Args:
        record: Of private chats, in which nobody writes again before the answer.
        left_out: How many of the first messages do not count.
    """
    chats = {update["update_id"]: json.loads(update["content"])["message"]["chat"]["id"] for update in record.updates}
    open_in: dict[int, tuple[int, float]] = {}
    waits_s: dict[int, float] = {}
    for event in record.events:
        if event["kind"] == "update":
            open_in[chats[event["update_id"]]] = event["update_id"], event["at_s"]
        elif event["kind"] in {"message", "edit"}:
            update_id, written_s = open_in[event["chat_id"]]
            waits_s[update_id] = event["at_s"] - written_s
    return [waits_s[update_id] for update_id in sorted(waits_s)][left_out:]


if __name__ == "__main__":
    asyncio.run(main())
