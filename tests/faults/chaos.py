"""Kills the worker, the main process and the network, drawn from a seed; keeps the service running in between."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

import psutil

from botbridge.faults import Boundary
from tests.fakes.discord import FakeDiscord
from tests.fakes.telegram.client import FakeTelegram
from tests.faults.dying import SERVE, SIDES, dying
from tests.faults.figures import LAST_LIFE_SHARE
from tests.journey.bridge import Bridge

PAUSE_S = (2.5, 5.0)
"""Between two kills; how long the act itself takes does not count."""

SHARES = {"worker": 40, "main": 25, "network": 35}
ARMED_SHARE = 0.4
"""So many of the starts are told a fault point at which the process kills itself."""

STOPPED_SHARE, FROZEN_SHARE = 0.15, 0.1
ORPHAN_S = 5.0
"""So long a worker may outlive its parent."""

READY = "Worker 1 started"
IN_A_SEND_S = 4.0

PLAIN: tuple[str, ...] = (SERVE, "--fault-words")
DEADLY = (
    *(Boundary.INGEST, Boundary.QUEUE, Boundary.CLAIM, Boundary.REQUEUE, Boundary.REPLY),
    *(Boundary.OPEN_STATUS, Boundary.SEND_STATUS, Boundary.EDIT_STATUS, Boundary.MARK_SENDING, Boundary.SEND),
    *(Boundary.MARK_SENT, Boundary.MARK_AGAIN, Boundary.LOSE_SIGHT, Boundary.ACKNOWLEDGE, Boundary.RESET),
    *(Boundary.AUDIT, Boundary.STATE, Boundary.CONFIRM, Boundary.TYPING),
)
"""What this load comes to, some of it many times a second, some of it now and then; not what each start begins with."""

NOW_AND_THEN = (
    *(Boundary.REQUEUE, Boundary.MARK_AGAIN, Boundary.LOSE_SIGHT),
    *(Boundary.ACKNOWLEDGE, Boundary.RESET, Boundary.AUDIT),
)
"""Of these the first time is taken."""


Network = Literal["cut", "cut in a send", "refusing", "gateway", "new session", "errors", "answer lost"]

UNCLEAR = """
SELECT outbox.id FROM outbox JOIN inbox ON inbox.id = inbox_id
WHERE platform = 'telegram' AND outbox.state = 'sending' AND edits IS NULL AND NOT is_status
"""
"""What cannot be repeated when it is cut now."""


@dataclass
class Record:
    """What was done, and what came of it at once.

    Attributes:
        kills: By kind.
        ways: The same in detail.
        cut_sends: Ids of the parts that were under way when a process or a connection to Telegram was cut.
        defects: Sentences about processes that did what they must not do.
    """

    kills: Counter[str] = field(default_factory=Counter)
    ways: Counter[str] = field(default_factory=Counter)
    cut_sends: set[int] = field(default_factory=set)
    kills_in_a_send: int = 0
    defects: list[str] = field(default_factory=list)


class Chaos:
    """Disturbs one service; `run` it beside `keep_up`."""

    def __init__(self, bridge: Bridge, telegram: FakeTelegram, discord: FakeDiscord, chance: random.Random) -> None:
        self.record = Record()
        self._bridge = bridge
        self._telegram = telegram
        self._discord = discord
        self._chance = chance
        self._is_armed = False
        self._expects: set[int] = set()
        self._calm = False

    async def start(self) -> None:
        """Start the service for the first time."""
        await self._bridge.start(program=PLAIN)

    async def keep_up(self) -> None:
        """Start the service again whenever it has died, until cancelled."""
        while True:
            code = await self._bridge.exited(timeout_s=10_000)
            if code == -signal.SIGKILL and self._is_armed and code not in self._expects:
                self._count("main", "fault point")
            elif code not in self._expects:
                self.record.defects.append(f"the service ended by itself with {code}: {self._bridge.log[-2000:]}")
            self._cut(self._sending())
            await self._left_nothing()
            await asyncio.sleep(0 if self._calm else self._chance.choice([0.0, 0.3, 1.0]))
            await self._start_again()

    async def run(self, seconds: float) -> None:
        """Kill something every few seconds for so long, then let everything be well."""
        await self._kill_all(seconds * (1 - LAST_LIFE_SHARE), SHARES)
        self._calm = True
        if self._is_armed:  # a process without a fault point has to bring it to an end
            self._kill_main()
        await self._kill_all(seconds * LAST_LIFE_SHARE, {**SHARES, "main": 0})
        await self._telegram.change(listening=True)
        await self._telegram.mend()
        await self._discord.recover()

    async def _kill_all(self, seconds: float, shares: Mapping[str, int]) -> None:
        now_s = asyncio.get_running_loop().time
        ends_s, next_s = now_s() + seconds, now_s()
        while (next_s := next_s + self._chance.uniform(*PAUSE_S)) < ends_s:
            await asyncio.sleep(max(0.0, next_s - now_s()))
            (kind,) = self._chance.choices(list(shares), weights=list(shares.values()))
            killed = (kind == "main" and self._kill_main()) or (kind == "worker" and self._kill_worker())
            if not killed:  # the network is always there
                await self._disturb_network()

    def _kill_main(self) -> bool:
        stops = not self._calm and self._chance.random() < STOPPED_SHARE
        number = signal.SIGTERM if stops else signal.SIGKILL
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            process = psutil.Process(self._bridge.pid)
            if stops and READY not in self._bridge.log:
                return False  # asked to stop before it listens to that, Python ends it like a kill
            self._expects.add(0 if stops else -signal.SIGKILL)  # asked to stop, then killed, it may do either
            process.send_signal(number)
            self._count("stop" if stops else "main", number.name)
            return True
        return False

    def _kill_worker(self) -> bool:
        with suppress(ValueError, psutil.NoSuchProcess):  # there is none at this moment
            worker = self._bridge.worker()
            is_frozen = self._chance.random() < FROZEN_SHARE
            worker.send_signal(signal.SIGSTOP if is_frozen else signal.SIGKILL)
            self._count("worker", "frozen" if is_frozen else "killed")
            return True
        return False

    async def _disturb_network(self) -> None:
        ways: dict[Network, int] = {
            "cut": 20,
            "refusing": 20,
            "cut in a send": 20,
            "gateway": 20,
            "new session": 5,
            "errors": 10,
            "answer lost": 5,
        }
        (way,) = self._chance.choices(list(ways), weights=list(ways.values()))
        self._count("network", way)
        match way:
            case "cut":
                await self._cut_telegram(0.0)
            case "refusing":
                await self._cut_telegram(self._chance.uniform(0.5, 3.0))
            case "cut in a send":
                await self._telegram.break_calls("sendMessage", "accept_and_hang")
                await self._within_a_send()
                await self._cut_telegram(self._chance.uniform(0.0, 1.0))
                await self._telegram.mend()
            case "gateway":
                await self._discord.upset_gateway("drop")
            case "new session":
                await self._discord.upset_gateway("invalidate")
            case "errors":
                await self._telegram.break_calls("sendMessage", "status", status=502, times=2)
                await self._discord.fail("status", method="POST", path="/messages", status=502, times=2)
            case "answer lost":
                await self._discord.fail("swallow", method="POST", path="/messages")

    async def _within_a_send(self) -> None:
        """Return when the answer to a send is being withheld, or nobody sends anything."""
        so_far = (await self._telegram.ledger()).count("fault", fault="accept_and_hang")
        with suppress(TimeoutError):
            await self._telegram.wait_until(
                lambda record: record.count("fault", fault="accept_and_hang") > so_far, timeout_s=IN_A_SEND_S
            )

    async def _cut_telegram(self, refusing_s: float) -> None:
        """Cut all connections and refuse new ones for so long."""
        before = self._sending()
        await self._telegram.change(listening=False)
        self._cut(before | self._sending())
        await asyncio.sleep(refusing_s)
        await self._telegram.change(listening=True)

    async def _start_again(self) -> None:
        self._expects = set()
        self._is_armed = not self._calm and self._chance.random() < ARMED_SHARE
        program = PLAIN
        if self._is_armed:
            boundary, side = self._chance.choice(DEADLY), self._chance.choice(SIDES)
            times = 0 if boundary in NOW_AND_THEN else self._chance.randint(0, 15)
            program = (*dying(side, boundary, times_let_past=times), "--fault-words")
        await self._bridge.start(program=program)

    async def _left_nothing(self) -> None:
        try:
            await self._bridge.until(lambda: self._bridge.processes() == [], timeout_s=ORPHAN_S)
        except TimeoutError:
            left = [process.pid for process in self._bridge.processes()]
            self.record.defects.append(f"processes outlived the service by {ORPHAN_S:g} s: {left}")
            await self._bridge.kill_tree()

    def _cut(self, parts: set[int]) -> None:
        self.record.kills_in_a_send += bool(parts)
        self.record.cut_sends |= parts

    def _sending(self) -> set[int]:
        return {row["id"] for row in self._bridge.rows(UNCLEAR)}

    def _count(self, kind: str, way: str) -> None:
        self.record.kills[kind] += 1
        self.record.ways[f"{kind}: {way}"] += 1
