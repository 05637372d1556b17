"""P9: one person with ten requests of 512 tokens, seven with one of 64: what the seven wait, with and without the one.

python -m benchmarks.fair_share [--rounds N]

The whole bridge, four slots. A wait is the time from a message to its whole answer.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import shutil
import tempfile
import time
from pathlib import Path

from benchmarks.comparing import Goal, conclude, say
from benchmarks.contenders import bridge, settings_for
from benchmarks.engine import QUESTIONS
from benchmarks.shapes import embedded
from botbridge.answers import Sampling
from botbridge.messages import Person, UserId
from botbridge.platforms.terminal.chat import LocalChat, final_reply
from botbridge.running import App

SLOTS = 4
LIGHT_PEOPLE = 7
HEAVY_REQUESTS = 10


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fair_share")
    parser.add_argument("--rounds", type=int, default=4)
    rounds = parser.parse_args().rounds
    home = Path(tempfile.mkdtemp(prefix="botbridge-bench-"))
    settings = settings_for(home, embedded(), engine="auto", slots=SLOTS, tokens=512, cache_bytes=2**30)
    names = itertools.count()
    waits: dict[str, list[float]] = {"without": [], "with": []}
    try:
        async with bridge(settings) as (app, _):
            for number in range(rounds + 1):
                for case in waits:
                    found = await _round(app, names, heavy=case == "with")
                    say(f"  round {number}: {case} the tenth person: the longest wait {max(found):.2f} s")
                    if number:
                        waits[case] += found
    finally:
        shutil.rmtree(home)
    p95 = {case: _p95(found) for case, found in waits.items()}
    goal = Goal("P9", "p95 wait of seven light people, with a heavy one", p95["with"] / p95["without"], at_most=1.5)
    conclude("p9", [goal], {"p95_s": p95, "waits_s": waits})


async def _round(app: App, names: itertools.count[int], *, heavy: bool) -> list[float]:
    """Let the heavy person ask first, then the seven; return what the seven waited."""
    greedy = f"heavy-{next(names)}"
    flood = [
        asyncio.create_task(_wait(app, greedy, f"Write a very long story, number {number}.", 512))
        for number in range(HEAVY_REQUESTS if heavy else 0)
    ]
    await asyncio.sleep(0)
    found = await asyncio.gather(
        *(_wait(app, f"light-{next(names)}", QUESTIONS[person], 64) for person in range(LIGHT_PEOPLE))
    )
    if flood:
        await final_reply(LocalChat(app.terminal, Person(UserId(greedy))).ask("/cancel"))
        await asyncio.gather(*flood, return_exceptions=True)
    return list(found)


async def _wait(app: App, name: str, text: str, tokens: int) -> float:
    begun_s = time.perf_counter()
    await final_reply(LocalChat(app.terminal, Person(UserId(name)), Sampling(max_new_tokens=tokens)).ask(text))
    return time.perf_counter() - begun_s


def _p95(values: list[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(0.95 * len(values)))]


if __name__ == "__main__":
    asyncio.run(main())
