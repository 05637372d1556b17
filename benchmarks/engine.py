"""Drive an engine directly, as bare as it can be: no queue, no worker process, no bridge."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import replace

from botbridge.answers import RequestId, Role, Sampling, Turn
from botbridge.inference.engines.batch import BatchEngine
from botbridge.inference.engines.step import LoadedModel, LoadModel
from botbridge.inference.options import EngineOptions
from botbridge.models.files import ModelFiles

QUESTIONS = (
    "Tell me about the sea.",
    "What is a good way to learn to cook?",
    "Describe a city at night.",
    "How does a clock work?",
    "Write about a long journey by train.",
    "What do gardeners do in spring?",
    "Explain how bread is made.",
    "Tell me a story about a lighthouse.",
)

_names = (f"r{number}" for number in itertools.count())


def without_end(load: LoadModel) -> LoadModel:
    """Load a model whose answers end at their length only, so that every contender computes as many tokens."""

    def load_endless(files: ModelFiles | None, options: EngineOptions) -> LoadedModel:
        loaded = load(files, options)
        return replace(loaded, dialogue=replace(loaded.dialogue, stop_ids=frozenset(), stop_strings=()))

    return load_endless


def engine_of(load: LoadModel, files: ModelFiles, options: EngineOptions) -> BatchEngine:
    """Return an engine with a loaded model and endless answers."""
    engine = BatchEngine(without_end(load))
    engine.load(files, options)
    return engine


def tokens_per_second(engine: BatchEngine, users: int, tokens: int) -> Callable[[], float]:
    """Return what times one round of questions, prompts included: answer tokens per second, of all together."""

    def run() -> float:
        begun_s = time.perf_counter()
        for question in itertools.islice(itertools.cycle(QUESTIONS), users):
            name = next(_names)
            prompt = engine.prompt("", (Turn(Role.USER, question),), tokens)
            sampling = Sampling(max_new_tokens=tokens, temperature=0, repetition_penalty=1.0, seed=0)
            engine.submit(RequestId(name), name, prompt, sampling)
        left = users
        while left:
            left -= sum(event.is_last for event in engine.step())
        return users * tokens / (time.perf_counter() - begun_s)

    return run
