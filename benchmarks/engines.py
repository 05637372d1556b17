"""P4, P8, P10: every engine by itself: what reuse saves, what memory it takes, how near the memory's limit it comes.

python -m benchmarks.engines [--without-1b]

The figures are those of `botbridge bench`.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
from dataclasses import asdict

from benchmarks.comparing import Goal, conclude, say
from benchmarks.shapes import embedded, one_billion
from botbridge.inference.choice import engine_order, installed_engines
from botbridge.inference.options import EngineOptions
from botbridge.machine.bandwidth import read_bandwidth_bytes_s
from botbridge.machine.bench import Effort, Stopwatch, loaded, measure
from botbridge.machine.figures import EngineFigures
from botbridge.models.files import ModelFiles
from botbridge.resources import usable_cores

MEBIBYTE = 2**20
CACHE_BYTES = 1024 * MEBIBYTE
"""So much that the long histories have room in the context of each of eight answers, with every engine."""
FIXED_BYTES = 250 * 10**6
WEIGHTS_FACTOR = 1.25
STREAMS = (1, 4, 8)
LIMIT_ROUNDS, LIMIT_TOKENS = 7, 64


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engines")
    parser.add_argument("--without-1b", action="store_true", help="the embedded model only")
    options = parser.parse_args()
    goals: list[Goal] = []
    details: dict[str, object] = {}
    for files in [embedded()] if options.without_1b else [embedded(), one_billion()]:
        bandwidth = read_bandwidth_bytes_s(usable_cores())
        say(f"P4, P8: {files.model}; memory is read at {bandwidth / 1e9:.0f} GB/s")
        found = [await _figures(engine, files, bandwidth) for engine in _engines(files)]
        details[files.model] = {figures.engine: asdict(figures) for figures in found} | {"bandwidth": bandwidth}
        able = [figures for figures in found if not figures.failure]
        goals += [goal for figures in able for goal in _goals(files.model, figures)]
        if files.model == "llama-1b-shape":
            goals.append(await _share_of_limit(files))
    conclude("p4-p8-p10", goals, details)


def _engines(files: ModelFiles) -> tuple[str, ...]:
    return engine_order(
        (), installed_engines(), has_gguf=files.gguf is not None, has_safetensors=files.has_safetensors, slots=1
    )


async def _figures(engine: str, files: ModelFiles, bandwidth: float) -> EngineFigures:
    options = EngineOptions(
        engine=engine, threads=usable_cores(), slots=max(STREAMS), cache_bytes=CACHE_BYTES, context_tokens=4096
    )
    return await measure(engine, files, options, bandwidth_bytes_s=bandwidth, effort=Effort(streams=STREAMS), told=say)


async def _share_of_limit(files: ModelFiles) -> Goal:
    """Read memory and answer one person by turns: how fast memory is differs by the minute."""
    engine = _engines(files)[0]
    say(f"P10: {files.model}, {engine}")
    samples = []
    async with loaded(files, EngineOptions(engine=engine, slots=1, context_tokens=2048)) as generator:
        stopwatch, weights_bytes = Stopwatch(generator), generator.status().weights_bytes
        for number in range(LIMIT_ROUNDS):
            limit_tokens_s = read_bandwidth_bytes_s(usable_cores()) / weights_bytes
            samples.append(await stopwatch.decode_tokens_s(1, LIMIT_TOKENS) / limit_tokens_s)
            say(f"  round {number}: {samples[-1]:.2f} of {limit_tokens_s:.1f} tokens/s")
    what = f"share of the memory's limit, {engine}, 1B shape"
    return Goal("P10", what, statistics.median(samples), at_least=0.8, samples=tuple(samples))


def _goals(model: str, figures: EngineFigures) -> list[Goal]:
    saved = figures.first_token_cold_s / figures.first_token_warm_s
    allowed = WEIGHTS_FACTOR * figures.weights_bytes + CACHE_BYTES + FIXED_BYTES
    return [
        Goal(
            "P4",
            f"first token, known against unknown, turn 10 ({figures.history_tokens} tokens), {figures.engine}, {model}",
            saved,
            at_least=8.0,
        ),
        Goal(
            "P8",
            f"worker's memory against what is allowed, 1 GiB for conversations, {figures.engine}, {model}",
            figures.resident_bytes / allowed,
            at_most=1.0,
        ),
    ]


if __name__ == "__main__":
    asyncio.run(main())
