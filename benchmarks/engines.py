"""P4, P8, P10: every engine by itself: what reuse saves, what memory it takes, how near the memory's limit it comes.

python -m benchmarks.engines [--without-1b]

The figures are those of `botbridge bench`.
"""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import asdict

from benchmarks.comparing import Goal, conclude, say
from benchmarks.shapes import embedded, one_billion
from botbridge.inference.choice import engine_order, installed_engines
from botbridge.inference.options import EngineOptions
from botbridge.machine.bandwidth import read_bandwidth_bytes_s
from botbridge.machine.bench import Effort, measure
from botbridge.machine.figures import EngineFigures
from botbridge.models.files import ModelFiles
from botbridge.resources import usable_cores

MEBIBYTE = 2**20
CACHE_BYTES = 1024 * MEBIBYTE
"""So much that the long histories have room in the context of each of eight answers, with every engine."""
FIXED_BYTES = 250 * 10**6
WEIGHTS_FACTOR = 1.25
STREAMS = (1, 4, 8)


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engines")
    parser.add_argument("--without-1b", action="store_true", help="the embedded model only")
    options = parser.parse_args()
    goals: list[Goal] = []
    details: dict[str, object] = {}
    for files in [embedded()] if options.without_1b else [embedded(), one_billion()]:
        bandwidth = read_bandwidth_bytes_s(usable_cores())
        say(f"P4, P8, P10: {files.model}; memory is read at {bandwidth / 1e9:.0f} GB/s")
        found = [await _figures(engine, files, bandwidth) for engine in _engines(files)]
        details[files.model] = {figures.engine: asdict(figures) for figures in found} | {"bandwidth": bandwidth}
        able = [figures for figures in found if not figures.failure]
        goals += [goal for figures in able for goal in _goals(files.model, figures)]
        shares = [figures for figures in able if figures.bandwidth_share]
        if shares and not options.without_1b and files.model == "llama-1b-shape":
            best = max(shares, key=lambda figures: figures.bandwidth_share or 0)
            what = f"share of the memory's limit, {best.engine}, 1B shape"
            goals.append(Goal("P10", what, best.bandwidth_share or 0, at_least=0.8))
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
            f"worker's memory against what is allowed, {figures.engine}, {model}",
            figures.resident_bytes / allowed,
            at_most=1.0,
        ),
    ]


if __name__ == "__main__":
    asyncio.run(main())
