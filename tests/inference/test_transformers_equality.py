"""The same request brings the same answer cold, warm, alone and among others, wherever the choice was clear."""

from __future__ import annotations

import itertools

import pytest

from botbridge.answers import RequestId, Role, Sampling, Turn
from botbridge.inference.engines.base import TokenEvent
from botbridge.inference.engines.batch import BatchEngine
from botbridge.inference.engines.transformers_loading import load_transformers
from botbridge.inference.options import EngineOptions
from tests.fakes.tiny_models_by_family import FAMILIES, tiny_model

TOKENS = 24
GREEDY = Sampling(temperature=0, max_new_tokens=TOKENS, repetition_penalty=1.0, seed=0)
SAMPLED = Sampling(temperature=0.3, top_p=0.95, max_new_tokens=TOKENS, repetition_penalty=1.1, seed=5)
QUESTIONS = [
    "hi",
    "a longer question than the others, so that pieces of it are read",
    "hm?",
    "x" * 40,
    "why",
    "no",
    "y",
]

CLEAR = {
    ("float32", "greedy"): 1e-3,  # in logits, whose spread is about 5
    ("float32", "sampled"): 1e-4,  # in shares of 1
    ("bfloat16", "greedy"): 0.3,
    ("bfloat16", "sampled"): 0.1,
}
"""A choice with a larger margin is clear: no other order of the same sums moves it so far."""

TALK = (Turn(Role.USER, "hello"), Turn(Role.ASSISTANT, "ho"), Turn(Role.USER, "and what then?"))

_numbers = itertools.count()


KINDS = list(itertools.product(["llama-3.2", "mistral", "gemma-2"], ["float32", "bfloat16"]))


@pytest.fixture(scope="module", params=KINDS, ids=["-".join(kind) for kind in KINDS])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[BatchEngine, str]:
    """An engine and its number format; it reads prompts in small pieces."""
    family, dtype = request.param
    engine = BatchEngine(load_transformers)
    options = EngineOptions(device="cpu", dtype=dtype, prefill_tokens=24)
    info = engine.load(tiny_model(FAMILIES[family], tmp_path_factory.mktemp(family)), options)
    assert not any("one after another" in note for note in info.notes)
    return engine, dtype


@pytest.mark.parametrize(("name", "sampling"), [("greedy", GREEDY), ("sampled", SAMPLED)])
def test_an_answer_is_the_same_cold_warm_alone_and_among_eight(
    engine: tuple[BatchEngine, str], name: str, sampling: Sampling
) -> None:
    """Token by token up to the first choice that was a near tie."""
    batch, dtype = engine
    clear = CLEAR[dtype, name]
    cold, _ = run(batch, [TALK], sampling)
    run(batch, [TALK[:1]], sampling, "warm")
    warm, reused = run(batch, [TALK], sampling, "warm")
    assert reused[0] > 0
    others = [(Turn(Role.USER, question),) for question in QUESTIONS]
    among, _ = run(batch, [*others[:3], TALK, *others[3:]], sampling)
    together = agreed(cold[0], warm[0], clear) + agreed(cold[0], among[3], clear)
    assert together == 2 * TOKENS if dtype == "float32" else together > 4
    batch.forget("warm")


def run(
    engine: BatchEngine, talks: list[tuple[Turn, ...]], sampling: Sampling, conversation: str | None = None
) -> tuple[list[TokenEvent], list[int]]:
    """Several requests side by side, each a conversation of its own: how each ended, and what it reused."""
    request_ids, reused = [], []
    for turns in talks:
        request_ids.append(RequestId(f"r{next(_numbers)}"))
        prompt = engine.prompt("", turns, TOKENS)
        reused.append(engine.submit(request_ids[-1], conversation or request_ids[-1], prompt, sampling))
    ends: dict[RequestId, TokenEvent] = {}
    while len(ends) < len(talks):
        ends |= {event.request_id: event for event in engine.step() if event.is_last}
    return [ends[request_id] for request_id in request_ids], reused


def agreed(a: TokenEvent, b: TokenEvent, clear: float) -> int:
    """Assert that two answers part at an unclear choice, if at all; how many tokens they have in common."""
    assert (a.failure, b.failure) == (None, None)
    for place, (x, y, margin) in enumerate(zip(a.completion_ids, b.completion_ids, a.margins, strict=False)):
        if x != y:
            assert margin <= clear
            return place
    assert len(a.completion_ids) == len(b.completion_ids)
    return TOKENS
