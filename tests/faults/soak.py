"""Lets people talk on both platforms while everything is killed again and again, then asks the oracle.

`python -m tests.faults.soak --minutes 10 --seed 1` writes `soak-report.json`, prints
a table, and exits 1 with a sentence for each of `figures` that was not met: something
was lost, doubled or shown to others, or too little was killed and said to prove it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.comparing import quantile
from botbridge.errors import ControlError
from tests.fakes.discord import FakeDiscord
from tests.fakes.telegram.client import FakeTelegram
from tests.faults.chaos import Chaos
from tests.faults.dying import nothing_open
from tests.faults.figures import shortcomings
from tests.faults.load import Load, Saying
from tests.faults.oracle import ENDS
from tests.faults.speaking import Speakers
from tests.journey.bridge import Bridge
from tests.journey.hunting import leaks
from tests.journey.town import settings_of

ACTS_A_SECOND = 1.8
START_S, QUIET_S = 90.0, 180.0
SAMPLE_EVERY_S = 1.0
WARM_S = 15.0
"""A process younger than this still grows: modules are imported, pools fill, caches warm."""

SETTINGS = {
    "LIMITS__MESSAGES_PER_MINUTE": "1000",  # every refusal is to be seen, and this one is told once a minute
    "LIMITS__TOKENS_PER_MINUTE": "1000000000",
    "LIMITS__WAIT_S": "120",
    "INFERENCE__MAX_NEW_TOKENS": "4000",
    "LOG__FORMAT": "json",
}

LAST_NUMBER = 1_000_000
"""Of the last question, which no act has."""

WAITS = """
SELECT (julianday(max(outbox.settled_at)) - julianday(inbox.accepted_at)) * 86400 AS wait_s
FROM inbox JOIN outbox ON outbox.inbox_id = inbox.id
WHERE inbox.state = 'answered' AND outbox.state = 'sent' AND NOT outbox.is_status GROUP BY inbox.id
"""


@dataclass(frozen=True)
class Sample:
    """One look at the main process."""

    pid: int
    age_s: float
    rss_bytes: int
    descriptors: int
    threads: int
    wal_bytes: int


@dataclass
class Soak:
    """One run."""

    bridge: Bridge
    telegram: FakeTelegram
    discord: FakeDiscord
    seed: int
    samples: list[Sample] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chaos = Chaos(self.bridge, self.telegram, self.discord, random.Random(self.seed))
        self._speakers = Speakers(self.telegram, self.discord)
        self._speaking: set[asyncio.Task[None]] = set()

    async def run(self, seconds: float) -> dict[str, Any]:
        """Talk and kill for so long, wait until everything has ended; the report."""
        await self.chaos.start()
        await self.discord.wait_until("ready", timeout_s=START_S)
        keeping = asyncio.create_task(self.chaos.keep_up())
        talking = asyncio.create_task(self._talk())
        sampling = asyncio.create_task(self._sample())
        try:
            await self.chaos.run(seconds)
            await _ended(talking)
            await asyncio.gather(*self._speaking)
            is_quiet = await self._until_quiet()
            await _ended(sampling)
        finally:
            await _ended(keeping, talking, sampling)
        return await self._report(seconds, is_quiet=is_quiet)

    async def _talk(self) -> None:
        chance = random.Random(self.seed + 1)
        for act in Load(chance).acts():
            task = asyncio.create_task(self._perform(act))
            self._speaking.add(task)
            task.add_done_callback(self._speaking.discard)
            await asyncio.sleep(chance.expovariate(ACTS_A_SECOND))

    async def _perform(self, act: Sequence[Saying]) -> None:
        for saying in act:
            await asyncio.sleep(saying.pause_s)
            await self._speakers.say(saying)

    async def _sample(self) -> None:
        wal = self.bridge.database.with_name(self.bridge.database.name + "-wal")
        while True:
            with suppress(psutil.Error, OSError):
                process = psutil.Process(self.bridge.pid)
                self.samples.append(
                    Sample(
                        process.pid,
                        time.time() - process.create_time(),
                        process.memory_info().rss,
                        process.num_fds(),
                        process.num_threads(),
                        wal.stat().st_size if wal.exists() else 0,
                    )
                )
            await asyncio.sleep(SAMPLE_EVERY_S)

    async def _until_quiet(self) -> bool:
        try:
            await self._until_discord_was_heard()
            await self.bridge.until(lambda: nothing_open(self.bridge), timeout_s=QUIET_S)
            await self.telegram.wait_until(lambda record: record.unconfirmed == (), timeout_s=QUIET_S)
            await self.bridge.until(lambda: nothing_open(self.bridge), timeout_s=QUIET_S)
        except TimeoutError:
            return False
        return True

    async def _until_discord_was_heard(self) -> None:
        """Say one thing more, and return when it was taken in, for whatever was said before it was taken in before."""
        async with asyncio.timeout(QUIET_S):
            while await self._discord_health() != "on":  # noqa: ASYNC110 - the service tells nobody by itself
                await asyncio.sleep(SAMPLE_EVERY_S)
        last = await self._speakers.say(Saying(LAST_NUMBER, "discord", 0, None, f"q{LAST_NUMBER}w0"))
        accepted = "SELECT count(*) AS accepted FROM inbox WHERE platform = 'discord' AND message_id = ?"
        await self.bridge.until(
            lambda: self.bridge.rows(accepted, last.message_id) == [{"accepted": 1}], timeout_s=QUIET_S
        )

    async def _discord_health(self) -> str:
        with suppress(ControlError):
            return str((await self.bridge.ask("health"))["platforms"]["discord"])
        return ""

    async def _report(self, seconds: float, *, is_quiet: bool) -> dict[str, Any]:
        record = self.chaos.record
        exit_code = await self.bridge.terminate()
        if exit_code != 0:
            record.defects.append(f"the last service was asked to stop and ended with {exit_code}")
        if left := self.bridge.processes():
            record.defects.append(f"processes are left: {[process.pid for process in left]}")
        if (integrity := self.bridge.rows("PRAGMA integrity_check")) != [{"integrity_check": "ok"}]:
            record.defects.append(f"the database is damaged: {integrity}")
        if not is_quiet:
            record.defects.append(f"not everything had ended {QUIET_S:g} s after the last kill")
        record.defects += [f"the secret {name} stands in {place}" for place, name in leaks(self.bridge)]
        verdict = await self._speakers.verdict(self.bridge)
        unknown = {row["id"] for row in self.bridge.rows("SELECT id FROM outbox WHERE state = 'delivery_unknown'")}
        waits_s = [row["wait_s"] for row in self.bridge.rows(WAITS)]
        ends = {name: verdict.ends[name] for name in (*ENDS, "unknown")}
        return {
            "seed": self.seed,
            "seconds": round(seconds),
            "said": len(self._speakers.said),
            "accepted": sum(verdict.ends.values()),
            **ends,
            "lost": len(verdict.lost),
            "doubled": len(verdict.doubled),
            "in_a_wrong_chat": len(verdict.in_a_wrong_chat),
            "unheard_by_discord": verdict.unheard,
            "void_on_discord": verdict.void,
            "status_lines_left": verdict.leftovers,
            "kills": {kind: record.kills[kind] for kind in ("worker", "main", "network")},
            "stops": record.kills["stop"],
            "ways": dict(sorted(record.ways.items())),
            "kills_in_a_send": record.kills_in_a_send,
            "unknown_parts": len(unknown),
            "sends_cut": len(record.cut_sends),
            "unknown_parts_unexplained": len(unknown - record.cut_sends),
            "wait_p50_s": round(quantile(waits_s, 0.5), 2) if waits_s else None,
            "wait_p95_s": round(quantile(waits_s, 0.95), 2) if waits_s else None,
            **growth(self.samples),
            "defects": record.defects,
            "findings": verdict.lost + verdict.doubled + verdict.in_a_wrong_chat,
        }


def growth(samples: Sequence[Sample]) -> dict[str, float | None]:
    """How the main process grew in its last life, which is the longest: least squares over what was seen of it warm."""
    life = [sample for sample in samples if sample.pid == samples[-1].pid and sample.age_s > WARM_S]

    def slope(value: Callable[[Sample], float]) -> float | None:
        if len(life) < 2:
            return None
        line = statistics.linear_regression([sample.age_s for sample in life], [value(sample) for sample in life])
        return round(line.slope * 60, 2)

    return {
        "rss_slope_mb_a_minute": slope(lambda sample: sample.rss_bytes / 1e6),
        "rss_most_mb": round(max((sample.rss_bytes for sample in samples), default=0) / 1e6, 1),
        "descriptors_slope_a_minute": slope(lambda sample: sample.descriptors),
        "descriptors_most": max((sample.descriptors for sample in samples), default=0),
        "threads_most": max((sample.threads for sample in samples), default=0),
        "wal_most_mb": round(max((sample.wal_bytes for sample in samples), default=0) / 1e6, 1),
        "last_life_s": round(samples[-1].age_s) if samples else 0,
    }


async def _ended(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks; one that failed before says so."""
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def soak(home: Path, seconds: float, seed: int) -> dict[str, Any]:
    """Run one soak with platforms of its own; the report."""
    async with FakeTelegram() as telegram, FakeDiscord() as discord:
        bridge = Bridge(home, settings_of(telegram, discord) | SETTINGS)
        try:
            return await Soak(bridge, telegram, discord, seed).run(seconds)
        finally:
            await bridge.kill_tree()


def table(report: dict[str, Any]) -> str:
    """The report for people."""
    left_out = {"ways", "findings", "defects", "kills"}
    rows = [(name, value) for name, value in report.items() if name not in left_out]
    rows += [(f"kills of {kind}", number) for kind, number in report["kills"].items()]
    lines = [f"{name.replace('_', ' '):32}{value}" for name, value in rows]
    return "\n".join([*lines, *report["defects"], *report["findings"]])


def main() -> int:
    """Run; 0 when the promise was kept, and enough was tried to say so."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--report", type=Path, default=Path("soak-report.json"))
    parser.add_argument("--home", type=Path, help="keep database and log here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as directory:
        home = options.home or Path(directory) / "home"
        report = asyncio.run(soak(home, options.minutes * 60, options.seed))
    options.report.write_text(json.dumps(report, indent=2) + "\n")
    print(table(report))
    short = shortcomings(report)
    print("\n".join(short), file=sys.stderr)
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
