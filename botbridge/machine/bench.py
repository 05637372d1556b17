"""Measure a model on this machine, engine by engine, through the worker that would answer people.

What is timed is what a person would wait for: prompts go in and tokens come out
of the same client that the service uses.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from botbridge.answers import Completion, Delta, Prompt, RequestId, Role, Sampling, Started, Turn
from botbridge.errors import InferenceError, ModelLoadError, PromptTooLong
from botbridge.inference.client import WorkerClient
from botbridge.inference.options import EngineOptions
from botbridge.inference.readiness import until_ready
from botbridge.machine.figures import EngineFigures
from botbridge.machine.memory import resident_bytes
from botbridge.models.files import ModelFiles

STREAMS: Final = (1, 2, 4, 8, 16)
DECODE_TOKENS: Final = 48
PREFILL_WORDS: Final = 400
HISTORY_TURNS: Final = 9
HISTORY_WORDS: Final = 110
ROUNDS: Final = 3
PATIENCE_S: Final = 900.0

Told = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured.

    Attributes:
        streams: How many answers are made side by side, one measurement each.
        decode_tokens: How many tokens each of them has.
        rounds: How often the short measurements are repeated; their median counts.
    """

    streams: Sequence[int] = STREAMS
    decode_tokens: int = DECODE_TOKENS
    rounds: int = ROUNDS


async def measure(
    engine: str, files: ModelFiles, options: EngineOptions, *, bandwidth_bytes_s: float, effort: Effort, told: Told
) -> EngineFigures:
    """Measure one engine; a failure is a result, too.

    Args:
        engine: Its name.
        files: The model.
        options: As the service would use them; memory and waits are those with just these.
        bandwidth_bytes_s: To tell how near the limit of the memory a stream comes; 0 leaves that out.
        effort: How much is measured.
        told: Receives a line for each thing that begins.
    """
    told(f"{engine}: loading")
    try:
        async with loaded(files, replace(options, engine=engine)) as generator:
            stopwatch = Stopwatch(generator)
            told(f"{engine}: reading prompts")
            prefill = await _median(effort, stopwatch.prefill_tokens_s)
            told(f"{engine}: first token after a long history")
            waits = [await stopwatch.first_token() for _ in range(effort.rounds)]
            decode = await _decode(engine, stopwatch, [n for n in effort.streams if n <= options.slots], effort, told)
            status = generator.status()
            memory_bytes = resident_bytes(generator.worker_pid)
        share = decode[1] * status.weights_bytes / bandwidth_bytes_s if 1 in decode and bandwidth_bytes_s else 0.0
        found = EngineFigures(
            engine,
            status.engine_version,
            prefill_tokens_s=prefill,
            decode_tokens_s=decode,
            first_token_cold_s=statistics.median(wait.cold_s for wait in waits),
            first_token_warm_s=statistics.median(wait.warm_s for wait in waits),
            history_tokens=waits[0].history_tokens,
            resident_bytes=memory_bytes,
            weights_bytes=status.weights_bytes,
            bandwidth_share=share or None,
        )
    except InferenceError as error:
        return EngineFigures(engine, failure=str(error) or type(error).__name__)
    # More streams than the operator has would share the memory for sequences, each a shorter one: timed apart.
    more = [streams for streams in effort.streams if streams > options.slots]
    if not more:
        return found
    try:
        async with loaded(files, replace(options, engine=engine, slots=max(more))) as generator:
            beyond = await _decode(engine, Stopwatch(generator), more, effort, told)
    except InferenceError as error:
        told(f"{engine}: not measured with {max(more)} answers at once: {error}")
        return found
    return replace(found, decode_tokens_s={**found.decode_tokens_s, **beyond})


async def _decode(
    engine: str, stopwatch: Stopwatch, streams: Sequence[int], effort: Effort, told: Told
) -> dict[int, float]:
    """Return how many tokens a second so many answers have together, by how many they are."""
    decode = {}
    for count in streams:
        told(f"{engine}: {count} answers at once")
        decode[count] = await stopwatch.decode_tokens_s(count, effort.decode_tokens)
    return decode


@dataclass(frozen=True, slots=True)
class FirstToken:
    """The seconds to the first token after a long history.

    Attributes:
        cold_s: The history being unknown.
        warm_s: It being known from the turn before.
        history_tokens: How many tokens of it, and of the question, had room in the context.
    """

    cold_s: float
    warm_s: float
    history_tokens: int


@asynccontextmanager
async def loaded(files: ModelFiles, options: EngineOptions) -> AsyncIterator[WorkerClient]:
    """Have a worker with a loaded model.

    Raises:
        ModelUnavailable: it cannot be loaded; the sentence says why.
    """

    async def prepare() -> ModelFiles:
        return files

    async with WorkerClient(prepare, options) as generator:
        await until_ready(generator)
        yield generator


class Stopwatch:
    """Times what a loaded model does."""

    def __init__(self, generator: WorkerClient) -> None:
        self._generator = generator
        self._names = (f"bench-{number}" for number in itertools.count())

    async def prefill_tokens_s(self) -> float:
        """Return how many tokens of a new prompt are read in a second; a shorter one where the context is short.

        Raises:
            PromptTooLong: one word does not fit.
        """
        words = PREFILL_WORDS
        while True:
            try:
                seen = await self._watch(self._prompt(next(self._names), [_words(words)], max_new_tokens=1))
            except PromptTooLong:
                if words == 1:
                    raise
                words //= 2
            else:
                return (seen.prompt_tokens - seen.cached_tokens) / seen.first_token_s

    async def decode_tokens_s(self, streams: int, tokens: int) -> float:
        """Return how many tokens a second several answers have together.

        Counted while all of them are being made; all along, where one was over before another began, or where
        nothing was said while all were at it.

        Raises:
            ModelLoadError: They were too short to be timed.
        """
        questions = [f"Tell me a long story about {number} travellers." for number in range(2, streams + 2)]
        prompts = [self._prompt(next(self._names), [question], max_new_tokens=tokens) for question in questions]
        seen = await asyncio.gather(*map(self._watch, prompts))
        first = [watched.arrivals[0][0] for watched in seen]
        last = [watched.arrivals[-1][0] for watched in seen]
        for begun_s, ended_s in ((max(first), min(last)), (min(first), max(last))):
            made = sum(watched.count_at(ended_s) - watched.count_at(begun_s) for watched in seen)
            if ended_s > begun_s and made > 0:
                return made / (ended_s - begun_s)
        raise ModelLoadError("the model's answers were too short to be timed")

    async def answer_s(self, tokens: int) -> tuple[float, int]:
        """Return the seconds that one answer took, the reading of its question included, and its tokens.

        Args:
            tokens: The most that it may have; it may end early.
        """
        asked = self._prompt(next(self._names), ["Tell me a long story about a lighthouse."], max_new_tokens=tokens)
        begun_s = time.perf_counter()
        seen = await self._watch(asked)
        ended_s, count = seen.arrivals[-1]
        return ended_s - begun_s, count

    async def first_token(self) -> FirstToken:
        """Wait for the first token after a long history: unknown, and known from the turn before."""
        history = [_words(HISTORY_WORDS, start=turn) for turn in range(2 * HISTORY_TURNS)]
        name = next(self._names)
        await self._watch(self._prompt(name, [*history, "Go on."], max_new_tokens=1))
        warm = await self._watch(self._prompt(name, [*history, "Go on.", "Yes.", "Why?"], max_new_tokens=1))
        cold = await self._watch(
            self._prompt(next(self._names), [*history, "Go on.", "Yes.", "Why?"], max_new_tokens=1)
        )
        return FirstToken(cold.first_token_s, warm.first_token_s, cold.prompt_tokens)

    def _prompt(self, conversation: str, texts: Sequence[str], max_new_tokens: int) -> Prompt:
        roles = itertools.cycle([Role.USER, Role.ASSISTANT])
        return Prompt(
            RequestId(conversation),
            conversation,
            "",
            tuple(Turn(role, text) for role, text in zip(roles, texts, strict=False)),
            Sampling(max_new_tokens=max_new_tokens, seed=1),
            PATIENCE_S,
        )

    async def _watch(self, prompt: Prompt) -> _Watched:
        watched = _Watched(time.perf_counter())
        async with aclosing(self._generator.stream(prompt)) as events:
            async for event in events:
                match event:
                    case Started():
                        watched.prompt_tokens, watched.cached_tokens = event.prompt_tokens, event.cached_tokens
                    case Delta():
                        watched.arrivals.append((time.perf_counter(), event.completion_tokens))
                    case Completion():
                        count = len(event.provenance.completion_ids)
                        watched.arrivals.append((time.perf_counter(), count))
        return watched


class _Watched:
    """When what arrived of one answer: pairs of a time and the tokens so far."""

    def __init__(self, begun_s: float) -> None:
        self._begun_s = begun_s
        self.prompt_tokens = 0
        self.cached_tokens = 0
        self.arrivals: list[tuple[float, int]] = []

    @property
    def first_token_s(self) -> float:
        return self.arrivals[0][0] - self._begun_s

    def count_at(self, at_s: float) -> int:
        return max((count for arrived_s, count in self.arrivals if arrived_s <= at_s), default=0)


async def _median(effort: Effort, timed: Callable[[], Awaitable[float]]) -> float:
    return statistics.median([await timed() for _ in range(effort.rounds)])


def _words(count: int, start: int = 0) -> str:
    """Return a text of so many words.

    >>> _words(4)
    'the and river seven'
    """
    stock = (
        "the",
        "red",
        "house",
        "and",
        "an",
        "old",
        "river",
        "run",
        "past",
        "seven",
        "quiet",
        "hills",
        "by",
        "night",
    )
    return " ".join(stock[(start + 3 * place) % len(stock)] for place in range(count))
