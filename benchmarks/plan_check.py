"""How right `botbridge plan` is: the waits that it foresees against those of real people's stand-ins at a real bridge.

python -m benchmarks.plan_check [--seconds S] [--slots N]

The embedded model is measured as by `botbridge bench`; then people write to the
whole bridge over Telegram's stand-in, at random times, everybody once, at three
fifths or so of what the machine can answer and at more and less than that. What
is foreseen is told how often they wrote and how long the answers were; all else
comes from the measurement. Telegram's rate rules are off, as `plan` leaves the
platform out; its messages still cross two processes.

A word counts as read when Telegram has it: words travel every 1.2 s, so that
short waits look longer there than they are in the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.comparing import conclude, quantile, say
from benchmarks.engine import QUESTIONS
from benchmarks.shapes import embedded
from benchmarks.start import until_ready
from botbridge.inference.choice import engine_order, installed_engines
from botbridge.inference.options import EngineOptions
from botbridge.machine.bench import Effort, measure
from botbridge.machine.queueing import LATE, Service, Speed, Talk, Waits
from tests.fakes.telegram.client import FakeTelegram, Person, Record
from tests.journey.bridge import clean_environment
from tests.journey.town import is_status

LOADS = (0.3, 0.6, 0.8)
MAX_NEW_TOKENS = 96
WARM_UP = 12
FIRST_PERSON = 1000
PATIENCE_S = 300.0
LOOK_S = 0.2
CACHE_BYTES = 512 * 2**20

DELIVERED = "SELECT count(*) FROM outbox WHERE state = 'sent' AND NOT is_status"
LENGTHS = """
SELECT turn.prompt_tokens - turn.cached_tokens, turn.completion_tokens FROM turn
WHERE turn.role = 'assistant' ORDER BY turn.inbox_id LIMIT -1 OFFSET ?
"""


@dataclass(frozen=True)
class Seen:
    """What one message waited for, in seconds."""

    first_word_s: float
    answer_s: float


async def main() -> None:
    """Measure, foresee and compare."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plan_check", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=40.0, help="how long people write at each load")
    parser.add_argument("--slots", type=int, default=4)
    options = parser.parse_args()
    files = embedded()
    engine = engine_order((), installed_engines(), has_gguf=files.gguf is not None, has_safetensors=True)[0]
    say(f"plan: {files.model} with {engine}")
    bare = EngineOptions(engine=engine, slots=options.slots, cache_bytes=CACHE_BYTES)
    figures = await measure(engine, files, bare, bandwidth_bytes_s=0.0, effort=Effort(), told=say)
    if figures.failure:
        sys.exit(f"plan: {figures.failure}")
    speed = Speed(figures.decode_tokens_s, figures.prefill_tokens_s)
    found = []
    async with FakeTelegram(limits=False) as telegram, bridge(telegram, files.directory, engine, options.slots) as home:
        crowd = Crowd(telegram, home)
        await crowd.write(WARM_UP / 2, WARM_UP)
        for load in LOADS:
            service = Service(speed, crowd.talk(0), options.slots)
            found.append(await compare(crowd, service, load * service.most_s, options.seconds))
    conclude("waits", [], {"engine": engine, "speed": asdict(speed), "slots": options.slots, "loads": found})


async def compare(crowd: Crowd, service: Service, messages_s: float, seconds_s: float) -> dict[str, object]:
    """Let people write, and print what they waited beside what was foreseen."""
    before = crowd.written
    count = max(round(messages_s * seconds_s), 1)
    took_s = await crowd.write(messages_s, count)
    waits = [wait for person, wait in seen(await crowd.telegram.ledger()).items() if person >= FIRST_PERSON + before]
    real = Service(service.speed, crowd.talk(before), service.slots)
    foreseen = real.waits(count / took_s)
    measured = {
        "first_word_s": statistics.fmean(wait.first_word_s for wait in waits),
        "first_word_p95_s": quantile([wait.first_word_s for wait in waits], LATE),
        "answer_s": statistics.fmean(wait.answer_s for wait in waits),
        "answer_p95_s": quantile([wait.answer_s for wait in waits], LATE),
    }
    print(
        f"{count} messages, {count / took_s:.2f} a second, {count / took_s / real.most_s:.0%} of what can be answered; "
        f"answers of {real.talk.reply_tokens:.0f} tokens"
    )
    errors = dict(differences(foreseen, measured))
    return {
        "messages": count,
        "messages_s": count / took_s,
        "talk": asdict(real.talk),
        "foreseen": None if foreseen is None else asdict(foreseen),
        "measured": measured,
        "errors": errors,
        "samples": [asdict(wait) for wait in waits],
    }


def differences(foreseen: Waits | None, measured: dict[str, float]) -> Iterator[tuple[str, float]]:
    """Print and yield by how much what was foreseen is above what was measured, as a share of that."""
    for name, time_s in measured.items():
        if foreseen is None:
            print(f"  {name:17} foreseen without end, measured {time_s:6.2f} s")
            continue
        error = getattr(foreseen, name) / time_s - 1.0
        print(f"  {name:17} foreseen {getattr(foreseen, name):6.2f} s, measured {time_s:6.2f} s, error {error:+.0%}")
        yield name, error


@asynccontextmanager
async def bridge(telegram: FakeTelegram, model: Path, engine: str, slots: int) -> AsyncIterator[Path]:
    """Run the bridge in a process of its own, in a home that is gone afterwards."""
    settings = {
        "TELEGRAM__TOKEN": telegram.token,
        "TELEGRAM__API_BASE_URL": telegram.url,
        "INFERENCE__ENGINE": engine,
        "INFERENCE__MODEL": str(model),
        "INFERENCE__SLOTS": str(slots),
        "INFERENCE__MAX_NEW_TOKENS": str(MAX_NEW_TOKENS),
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
            yield Path(home)
        finally:
            process.terminate()
            await process.wait()


class Crowd:
    """People who each write once, at random times."""

    def __init__(self, telegram: FakeTelegram, home: Path) -> None:
        self.telegram = telegram
        self.written = 0
        self._database = home / "botbridge.db"
        self._chance = random.Random(1)  # noqa: S311 - the same times in every run
        self._questions = itertools.cycle(QUESTIONS)

    async def write(self, messages_s: float, count: int) -> float:
        """Let so many people write; return the seconds from first to last, after the last answer."""
        begun_s = time.perf_counter()
        at_s = 0.0
        for _ in range(count):
            await asyncio.sleep(max(begun_s + at_s - time.perf_counter(), 0.0))
            await self.telegram.say(Person(FIRST_PERSON + self.written), next(self._questions))
            self.written += 1
            at_s += self._chance.expovariate(messages_s)
        took_s = time.perf_counter() - begun_s
        async with asyncio.timeout(PATIENCE_S):
            while await self._answered() < self.written:
                pass
        return took_s

    def talk(self, left_out: int) -> Talk:
        """Return what was asked for and answered, without the first messages."""
        rows = self._rows(LENGTHS, left_out)
        lengths = [tokens for _, tokens in rows]
        mean = statistics.fmean(lengths)
        return Talk(statistics.fmean(max(read, 1) for read, _ in rows), mean, statistics.pstdev(lengths) / mean)

    async def _answered(self) -> int:
        """Return how many answers were delivered so far, after a moment."""
        await asyncio.sleep(LOOK_S)
        return self._rows(DELIVERED)[0][0]

    def _rows(self, query: str, *parameters: int) -> Sequence[tuple[int, ...]]:
        with closing(sqlite3.connect(f"{self._database.as_uri()}?mode=ro", uri=True)) as connection:
            return connection.execute(query, parameters).fetchall()


def seen(record: Record) -> dict[int, Seen]:
    """Return what each person waited for the first text that is no status and for the last, by chat.

    Args:
        record: Of private chats with one message of the person in each.
    """
    texts = {(sent.chat_id, sent.message_id): iter([*sent.edits, sent.text]) for sent in record.sent}
    chats = {update["update_id"]: json.loads(update["content"])["message"]["chat"]["id"] for update in record.updates}
    asked_s: dict[int, float] = {}
    words_s: defaultdict[int, list[float]] = defaultdict(list)
    for event in record.events:
        if event["kind"] == "update":
            asked_s[chats[event["update_id"]]] = event["at_s"]
        elif event["kind"] in {"message", "edit"} and not is_status(next(texts[event["chat_id"], event["message_id"]])):
            words_s[event["chat_id"]].append(event["at_s"])
    return {person: Seen(times[0] - asked_s[person], times[-1] - asked_s[person]) for person, times in words_s.items()}


if __name__ == "__main__":
    asyncio.run(main())
