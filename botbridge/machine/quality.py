"""Whether an engine or a quantization still says what the model means: against float32, on a fixed text."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Final

from botbridge.errors import ModelLoadError
from botbridge.inference.options import EngineOptions
from botbridge.inference.scoring import Scores, score_in_child
from botbridge.machine.figures import Quality
from botbridge.models.files import ModelFiles

TEXT: Final = Path(__file__).with_name("quality.txt")
"""Plain English of about 1,500 tokens, written for this purpose, so that no model has learned it."""


async def reference(files: ModelFiles, threads: int) -> Scores | None:
    """Score the text with the model in float32; None where its weights are not here in full."""
    if not files.has_safetensors:
        return None
    return await _score(EngineOptions(engine="transformers", dtype="float32"), files, threads)


async def assess(engine: str, files: ModelFiles, options: EngineOptions, ideal: Scores, threads: int) -> Quality | None:
    """Compare an engine with float32; None for one that does not show what it thinks of a text."""
    try:
        found = await _score(replace(options, engine=engine), files, threads)
    except ModelLoadError:
        return None
    return compare(found, ideal)


def compare(found: Scores, ideal: Scores) -> Quality:
    """Return how far two scores of the same text lie apart.

    >>> compare(Scores(-4.0, (1, 2, 3, 5)), Scores(-4.0, (1, 2, 3, 4))).agreement
    0.75
    """
    same = sum(a == b for a, b in zip(found.likeliest, ideal.likeliest, strict=True))
    return Quality(found.perplexity, ideal.perplexity, same / len(ideal.likeliest))


async def _score(options: EngineOptions, files: ModelFiles, threads: int) -> Scores:
    text = TEXT.read_text(encoding="utf-8")
    return await asyncio.to_thread(
        score_in_child, options.engine, options.dtype, files, text, threads, quantize=options.quantize
    )
