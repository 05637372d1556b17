"""How right `botbridge plan` is: the waits that it foresees against those of real people's stand-ins at a real bridge.

python -m benchmarks.plan_check [--seconds S] [--slots N]

People write to the whole bridge over Telegram's stand-in, at random times,
everybody once, as much as the machine can answer in three shares. What is
foreseen is told how often they wrote and how long their answers were; the speed
of the embedded model is measured before and after each share, as by `botbridge
bench`, in a worker that is idle meanwhile. Telegram's rate rules are off, as
`plan` leaves the platform out; its messages still cross two processes.

What is compared is what Telegram sees: the wait in line, until the bot begins to
type, and the time until the whole answer. The first word itself cannot be seen
there, because the bot holds words back for a second, lest a short answer come in
pieces.
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
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.comparing import conclude, quantile, say
from benchmarks.engine import QUESTIONS
from benchmarks.shapes import embedded
from benchmarks.start import until_ready
from botbridge.conversation.live import TYPING_AFTER_S
from botbridge.inference.choice import engine_order, installed_engines
from botbridge.inference.options import EngineOptions
from botbridge.machine.bench import DECODE_TOKENS, STREAMS, Stopwatch, loaded
from botbridge.machine.queueing import LATE, Service, Speed, Talk, Waits
from tests.fakes.telegram.client import FakeTelegram, Person, Record
from tests.journey.bridge import clean_environment

LOADS = (0.3, 0.6, 0.8)
MAX_NEW_TOKENS = 96
WARM_UP, WARM_UP_S = 12, 4.0
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
    """What one message waited for, in seconds: for a slot, and for the whole answer."""

    line_s: float
    answer_s: float


async def main() -> None:
    """Measure, foresee and compare."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plan_check", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=40.0, help="how long people write at each load")
    parser.add_argument("--slots", type=int, default=4)
    options = parser.parse_args()
    files = embedded()
    engine = engine_order(
        (), installed_engines(), has_gguf=files.gguf is not None, has_safetensors=True, slots=options.slots
    )[0]
    say(f"plan: {files.model} with {engine}")
    alone = EngineOptions(engine=engine, slots=options.slots, cache_bytes=CACHE_BYTES)
    found = []
    async with (
        loaded(files, alone) as generator,
        FakeTelegram(limits=False) as telegram,
        bridge(telegram, files.directory, engine, options.slots) as home,
    ):
        stopwatch, crowd = Stopwatch(generator), Crowd(telegram, home)
        await crowd.write(WARM_UP, WARM_UP_S)
        before = await speed(stopwatch, options.slots)
        for load in LOADS:
            messages_s = load * Service(before, crowd.talk(0), options.slots).most_s
            written = crowd.written
            await crowd.write(max(round(messages_s * options.seconds), 1), options.seconds)
            after = await speed(stopwatch, options.slots)
            service = Service(mean(before, after), crowd.talk(written), options.slots)
            seen_by = seen(await telegram.ledger())
            waits = [wait for person, wait in seen_by.items() if person >= FIRST_PERSON + written]
            found.append(compare(service, len(waits) / options.seconds, waits))
            before = after
    conclude("waits", [], {"engine": engine, "slots": options.slots, "loads": found})


async def speed(stopwatch: Stopwatch, slots: int) -> Speed:
    """Measure what `botbridge bench` does, up to as many answers at once as there are slots."""
    streams = [number for number in STREAMS if number < slots] + [slots]
    decode = {number: await stopwatch.decode_tokens_s(number, DECODE_TOKENS) for number in streams}
    say(f"  tokens/s by answers at once: {', '.join(f'{number}: {rate:.0f}' for number, rate in decode.items())}")
    return Speed(decode, await stopwatch.prefill_tokens_s())


def mean(before: Speed, after: Speed) -> Speed:
    """Return the speed between two measurements: this machine does other work, too, and not always as much."""
    decode = {number: (rate + after.decode_tokens_s[number]) / 2 for number, rate in before.decode_tokens_s.items()}
    return Speed(decode, (before.prefill_tokens_s + after.prefill_tokens_s) / 2)


def compare(service: Service, messages_s: float, waits: Sequence[Seen]) -> dict[str, object]:
    """Print what people waited beside what was foreseen; return both."""
    foreseen = service.waits(messages_s)
    measured = {
        "line_s": statistics.fmean(wait.line_s for wait in waits),
        "line_p95_s": quantile([wait.line_s for wait in waits], LATE),
        "answer_s": statistics.fmean(wait.answer_s for wait in waits),
        "answer_p95_s": quantile([wait.answer_s for wait in waits], LATE),
    }
    print(
        f"{len(waits)} messages, {messages_s:.2f} a second, {messages_s / service.most_s:.0%} of what can be answered; "
        f"answers of {service.talk.reply_tokens:.0f} tokens"
    )
    return {
        "messages": len(waits),
        "messages_s": messages_s,
        "service": asdict(service),
        "foreseen": None if foreseen is None else asdict(foreseen),
        "measured": measured,
        "errors_s": dict(differences(foreseen, measured)),
        "samples": [asdict(wait) for wait in waits],
    }


def differences(foreseen: Waits | None, measured: dict[str, float]) -> Iterator[tuple[str, float]]:
    """Print and yield how many seconds longer it was foreseen than measured."""
    for name, time_s in measured.items():
        if foreseen is None:
            print(f"  {name:13} foreseen without end, measured {time_s:5.2f} s")
            continue
        error_s = getattr(foreseen, name) - time_s
        share = f", {error_s / time_s:+.0%}" if time_s else ""
        print(
            f"  {name:13} foreseen {getattr(foreseen, name):5.2f} s, measured {time_s:5.2f} s, {error_s:+.2f} s{share}"
        )
        yield name, error_s


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

    async def write(self, count: int, seconds_s: float) -> None:
        """Let so many people write within a time, each at a moment of chance; returns after the last answer."""
        begun_s = time.perf_counter()
        for at_s in sorted(self._chance.uniform(0.0, seconds_s) for _ in range(count)):
            await asyncio.sleep(max(begun_s + at_s - time.perf_counter(), 0.0))
            await self.telegram.say(Person(FIRST_PERSON + self.written), next(self._questions))
            self.written += 1
        async with asyncio.timeout(PATIENCE_S):
            while await self._answered() < self.written:
                pass

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
    """Return what each person waited, by chat.

    Args:
        record: Of private chats, with one message of the person in each.
    """
    chats = {update["update_id"]: json.loads(update["content"])["message"]["chat"]["id"] for update in record.updates}
    asked_s: dict[int, float] = {}
    begun_s: dict[int, float] = {}
    ended_s: dict[int, float] = {}
    for event in record.events:
        match event["kind"]:
            case "update":
                asked_s[chats[event["update_id"]]] = event["at_s"]
            case "action":
                begun_s.setdefault(event["chat_id"], event["at_s"] - TYPING_AFTER_S)
            case "message" | "edit":
                ended_s[event["chat_id"]] = event["at_s"]
    return {
        person: Seen(max(begun_s.get(person, at_s) - at_s, 0.0), ended_s[person] - at_s)
        for person, at_s in asked_s.items()
    }


if __name__ == "__main__":
    asyncio.run(main())
