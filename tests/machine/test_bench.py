"""Measuring through a real worker, here an echo: what is counted, and that failures are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

from botbridge.answers import Completion, Delta, Prompt, Started
from botbridge.inference.options import EngineOptions
from botbridge.machine.bandwidth import read_bandwidth_bytes_s
from botbridge.machine.bench import Effort, Stopwatch, loaded, measure
from botbridge.machine.memory import resident_bytes
from botbridge.models.files import ModelFiles
from tests.fakes.scripted_generator import ScriptedGenerator

NOTHING = ModelFiles("m", "r", Path("nowhere"))
BRIEF = Effort(streams=(1, 2), decode_tokens=7, rounds=1)


async def test_every_figure_is_there_after_a_measurement() -> None:
    """And what is being done was told meanwhile."""
    told: list[str] = []
    found = await measure("echo", NOTHING, EngineOptions(), bandwidth_bytes_s=1e9, effort=BRIEF, told=told.append)
    assert found.failure == ""
    assert found.engine == "echo"
    assert found.prefill_tokens_s > 0
    assert set(found.decode_tokens_s) == {1, 2}
    assert all(rate > 0 for rate in found.decode_tokens_s.values())
    assert found.resident_bytes > 2**20
    assert found.bandwidth_share is None  # an echo reads no weights
    assert "echo: 2 answers at once" in told


async def test_an_engine_that_cannot_load_the_model_is_a_result() -> None:
    """The others are measured all the same."""
    found = await measure(
        "transformers", NOTHING, EngineOptions(), bandwidth_bytes_s=1e9, effort=BRIEF, told=lambda _line: None
    )
    assert "could not be loaded" in found.failure
    assert found.decode_tokens_s == {}


async def test_an_answer_that_ends_early_counts_for_its_tokens() -> None:
    """The echo of the question has eight words."""
    async with loaded(NOTHING, EngineOptions(engine="echo")) as generator:
        seconds, made = await Stopwatch(generator).answer_s(70)
    assert seconds > 0
    assert made == 8


async def test_answers_that_were_not_made_at_one_time_are_counted_all_along() -> None:
    assert await Stopwatch(OneAfterAnother()).decode_tokens_s(streams=2, tokens=7) > 0  # type: ignore[arg-type]


class OneAfterAnother(ScriptedGenerator):
    """Begins an answer when the one before has ended."""

    def __init__(self) -> None:
        super().__init__(slots=2)
        self._turn = asyncio.Lock()

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Started | Delta | Completion, None]:
        self.enqueue(["one", " two"])
        async with self._turn, aclosing(super().stream(prompt)) as events:
            async for event in events:
                yield event


async def test_answers_that_came_whole_one_after_another_and_ended_together_are_counted_all_along() -> None:
    """On a busy machine everything may have been said before the last one's first word is heard."""
    assert await Stopwatch(AtOnce()).decode_tokens_s(streams=2, tokens=7) > 0  # type: ignore[arg-type]


class AtOnce(ScriptedGenerator):
    """Ends no answer before each of two is there."""

    def __init__(self) -> None:
        super().__init__(slots=2)
        self._there = asyncio.Barrier(2)

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Started | Delta | Completion, None]:
        self.enqueue(["all of it"])
        async with aclosing(super().stream(prompt)) as events:
            async for event in events:
                if isinstance(event, Completion):
                    await self._there.wait()
                yield event


def test_reading_memory_has_a_speed() -> None:
    assert read_bandwidth_bytes_s(1) > 1e8


def test_a_process_that_is_gone_occupies_nothing() -> None:
    assert resident_bytes(None) == 0
    assert resident_bytes(2**22 + 1) == 0
