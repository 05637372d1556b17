"""What a model says next does not hang on how its text was put in: whole, in pieces, known before, beside others.

With the real model, in the number formats that people run. Sums of many numbers
differ with the order in which they are added, and quantized activations with
the rows that stand beside them; docs/performance.md, "Equality", states by how
much at most.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from botbridge.answers import Role, Turn
from botbridge.inference.engines.loaders import loader
from botbridge.inference.engines.step import LoadedModel, SequenceId
from botbridge.inference.options import EngineOptions
from botbridge.models.files import ModelFiles
from botbridge.setting_groups import DEFAULT_MODEL

pytestmark = pytest.mark.slow

MOST = {
    ("llamacpp", "auto"): 0.2,
    ("openvino", "auto"): 0.2,
    ("openvino", "float32"): 1e-3,
    ("transformers", "bfloat16"): 0.1,
    ("transformers", "float32"): 1e-3,
}
"""How far logits may lie apart: the length of their difference, as a part of the length of their own spread."""

SYSTEM = "You are a friendly and helpful assistant who chats with people. Give short, clear answers."
TALK = (
    Turn(Role.USER, "What is the capital of France?"),
    Turn(Role.ASSISTANT, "The capital of France is Paris."),
    Turn(Role.USER, "Tell me something about rivers."),
    Turn(Role.ASSISTANT, "Rivers are long bodies of flowing water that carry it from the mountains to the sea."),
    Turn(Role.USER, "Why is the sky blue?"),
)
REPLY_TOKENS = 60


@pytest.fixture(scope="module", params=MOST, ids=["-".join(kind) for kind in MOST])
def kind(request: pytest.FixtureRequest) -> tuple[str, str]:
    """An engine and its number format."""
    engine, dtype = request.param
    module = {"llamacpp": "llama_cpp"}.get(engine, engine)
    if find_spec(module) is None:
        pytest.skip(f"the engine {engine} is not installed")
    return engine, dtype


@pytest.fixture(scope="module")
def loaded(kind: tuple[str, str], model_home: Path) -> LoadedModel:
    """The real model."""
    engine, dtype = kind
    (directory,) = (model_home / "models" / DEFAULT_MODEL).glob("[!.]*/")
    options = EngineOptions(engine=engine, device="cpu", dtype=dtype, slots=4, threads=2, context_tokens=1024)
    return loader(engine)(ModelFiles(DEFAULT_MODEL, "r", directory), options)


def ids_of(loaded: LoadedModel) -> list[int]:
    return list(loaded.dialogue.prompts.build(SYSTEM, TALK, REPLY_TOKENS).ids)


def pieces(ids: Sequence[int], size: int) -> Iterator[list[int]]:
    return (list(ids[start : start + size]) for start in range(0, len(ids), size))


def read(loaded: LoadedModel, sequence: SequenceId, ids: Sequence[int], size: int) -> np.ndarray:
    """The logits behind a text that is read in pieces; (V,)."""
    for piece in pieces(ids, size):
        logits = loaded.model.forward([(sequence, piece)])
    return logits[0]


def distance(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected - expected.mean()))


def test_logits_are_near_however_the_text_came_in(loaded: LoadedModel, kind: tuple[str, str]) -> None:
    model, ids = loaded.model, ids_of(loaded)
    cold, known, cut, others = model.open(), model.open(), model.open(), [model.open() for _ in range(3)]
    expected = read(loaded, cold, ids, len(ids))
    found = {"in pieces of 16": read(loaded, known, ids, 16)}
    model.truncate(known, 0)
    read(loaded, known, ids[:-20], len(ids))
    forked = model.fork(known)
    found["known but for its end"] = read(loaded, known, ids[-20:], 20)
    found["as a fork, token by token"] = read(loaded, forked, ids[-20:], 1)
    read(loaded, cut, [*ids[:-20], *ids[:30]], len(ids))
    held = model.truncate(cut, len(ids) - 20)
    found["cut back"] = read(loaded, cut, ids[held:], len(ids))
    model.truncate(cut, 0)
    read(loaded, cut, ids[:-1], len(ids))
    beside = [(other, [*ids[number : number + 7]]) for number, other in enumerate(others)]
    found["beside three others"] = model.forward([*beside, (cut, ids[-1:])])[3]
    for sequence in (cold, known, forked, cut, *others):
        model.close(sequence)
    distances = {way: distance(logits, expected) for way, logits in found.items()}
    assert max(distances.values()) <= MOST[kind], distances


def test_a_text_that_lacks_one_token_lies_farther_apart(loaded: LoadedModel, kind: tuple[str, str]) -> None:
    """What the limit tells from chance: a place in the cache that is off by one."""
    ids = ids_of(loaded)
    whole, lacking = loaded.model.open(), loaded.model.open()
    expected = read(loaded, whole, ids, len(ids))
    found = read(loaded, lacking, [*ids[:-12], *ids[-11:]], len(ids))
    for sequence in (whole, lacking):
        loaded.model.close(sequence)
    assert distance(found, expected) > MOST[kind]
