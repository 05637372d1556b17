"""P2: the whole bridge against llama.cpp's server over HTTP, and against our engine without a bridge around it.

python -m benchmarks.whole_bridge [--rounds N]

Same GGUF for all. The server is the ready-made wheel of a peer; ours is the
engine that `auto` takes for so many at once. (a) 8 people talk 6 turns each,
with the larger shape 3 turns of half the length, as the server needs minutes;
(b) 32 people, 8 at a time, each with a history of about 1,000 tokens: there are
more conversations than slots.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import multiprocessing
import shutil
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.comparing import Goal, conclude, ratio, say
from benchmarks.contenders import bridge, server, settings_for
from benchmarks.conversations import BRIEF, LONG, SHORT, Ask, Load, play
from benchmarks.shapes import embedded, one_billion
from botbridge.answers import RequestId, Role, Sampling, Turn
from botbridge.inference.choice import engine_order, installed_engines
from botbridge.inference.engines.batch import BatchEngine
from botbridge.inference.engines.loaders import loader
from botbridge.inference.options import EngineOptions
from botbridge.models.files import ModelFiles
from botbridge.resources import usable_cores
from botbridge.setting_groups import InferenceSettings

SLOTS = 8
CONTEXT_TOKENS = 4096
CACHE_BYTES = 3 * 2**30


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.whole_bridge")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without-1b", action="store_true", help="the embedded model only")
    options = parser.parse_args()
    small = embedded()
    goals: list[Goal] = []
    details: dict[str, object] = {}
    scores = await _compare(small, SHORT, options.rounds, bare=True)
    details["SmolLM2, 8 people"] = scores
    goals += _goals("P2a", "8 people x 6 turns, SmolLM2", scores, server_goal=2.0, bare_goal=0.85)
    scores = await _compare(small, LONG, 1, bare=False)
    details["SmolLM2, 32 people"] = scores
    goals += _goals("P2b", "32 people, 8 at a time, turns after the first, SmolLM2", scores, server_goal=1.3)
    if not options.without_1b:
        scores = await _compare(one_billion(), BRIEF, 1, bare=True)
        details["1B shape, 8 people"] = scores
        goals += _goals("P2a", "8 people x 3 turns, 1B shape", scores, server_goal=2.0, bare_goal=0.97)
    conclude("p2", goals, {"tokens/s": details})


def our_engine() -> str:
    """Return the engine that the bridge computes with here."""
    return engine_order((), installed_engines(), has_gguf=True, has_safetensors=False, slots=SLOTS)[0]


def _goals(
    name: str, what: str, scores: dict[str, list[float]], *, server_goal: float, bare_goal: float | None = None
) -> list[Goal]:
    median, pairs = ratio(scores, "bridge", "server")
    goals = [Goal(name, f"bridge against xllamacpp's server: {what}", median, at_least=server_goal, samples=pairs)]
    if bare_goal is not None:
        median, pairs = ratio(scores, "bridge", "bare")
        goals.append(Goal(name, f"bridge against the bare engine: {what}", median, at_least=bare_goal, samples=pairs))
    return goals


async def _compare(files: ModelFiles, load: Load, rounds: int, *, bare: bool) -> dict[str, list[float]]:
    """Let the contenders take turns with one load; everything they need runs from the beginning."""
    say(f"P2: {files.model}, {load.people} people, {our_engine()}")
    scores: dict[str, list[float]] = defaultdict(list)
    home = Path(tempfile.mkdtemp(prefix="botbridge-bench-"))
    settings = settings_for(home, files, engine=our_engine(), slots=SLOTS, tokens=load.tokens, cache_bytes=CACHE_BYTES)
    try:
        async with bridge(settings) as (_, ask_bridge), server(files, SLOTS, CONTEXT_TOKENS) as ask_server:
            contenders: dict[str, Ask] = {"bridge": ask_bridge, "server": ask_server}
            if bare:
                async with bare_engine(files) as ask_bare:
                    await _take_turns(contenders | {"bare": ask_bare}, load, rounds, scores)
            else:
                await _take_turns(contenders, load, rounds, scores)
    finally:
        shutil.rmtree(home)
    return scores


async def _take_turns(contenders: dict[str, Ask], load: Load, rounds: int, scores: dict[str, list[float]]) -> None:
    newcomers = itertools.count(0, load.people)
    warm_up = 0 if load.counts_later else 1
    for number in range(rounds + warm_up):
        for name, ask in contenders.items():
            first = next(newcomers)

            async def ask_newcomer(person: int, text: str, tokens: int, ask: Ask = ask, first: int = first) -> int:
                return await ask(first + person, text, tokens)

            whole, later = await play(load, ask_newcomer)
            score = later if load.counts_later else whole
            say(f"  round {number}: {name} {score:.1f} tokens/s")
            if number >= warm_up:
                scores[name].append(score)


@asynccontextmanager
async def bare_engine(files: ModelFiles) -> AsyncIterator[Ask]:
    """Run our engine alone in a process; it is stepped while anybody waits, and knows who said what."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve_bare, args=(files, there), daemon=True)
    process.start()
    await asyncio.to_thread(here.recv)
    waiting: dict[int, asyncio.Future[int]] = {}

    def arrived() -> None:
        person, made = here.recv()
        waiting.pop(person).set_result(made)

    async def ask(person: int, text: str, tokens: int) -> int:
        waiting[person] = asyncio.get_running_loop().create_future()
        here.send((person, text, tokens))
        return await waiting[person]

    asyncio.get_running_loop().add_reader(here.fileno(), arrived)
    try:
        yield ask
    finally:
        asyncio.get_running_loop().remove_reader(here.fileno())
        process.kill()


def _serve_bare(files: ModelFiles, line: Connection) -> None:
    engine = BatchEngine(loader(our_engine()))
    engine.load(
        files,
        EngineOptions(
            engine=our_engine(),
            slots=SLOTS,
            context_tokens=CONTEXT_TOKENS,
            cache_bytes=CACHE_BYTES,
            threads=usable_cores(),
        ),
    )
    line.send("ready")
    ours = InferenceSettings()
    histories: dict[int, list[Turn]] = defaultdict(list)
    texts: dict[RequestId, str] = {}
    while True:
        while not texts or line.poll():
            person, text, tokens = line.recv()
            histories[person].append(Turn(Role.USER, text))
            name = RequestId(str(person))
            prompt = engine.prompt(ours.system, tuple(histories[person]), tokens)
            sampling = Sampling(max_new_tokens=tokens, temperature=ours.temperature, top_p=ours.top_p, seed=person)
            engine.submit(name, name, prompt, sampling)
            texts[name] = ""
        for event in engine.step():
            texts[event.request_id] += event.text
            if event.is_last:
                person = int(event.request_id)
                histories[person].append(Turn(Role.ASSISTANT, texts.pop(event.request_id)))
                line.send((person, len(event.completion_ids)))


if __name__ == "__main__":
    asyncio.run(main())
