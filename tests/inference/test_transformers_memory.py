"""What conversations hold between their turns with the transformers engine, against what they may."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from transformers import AutoModelForCausalLM

from botbridge.answers import RequestId, Sampling
from botbridge.inference.engines.base import EnginePrompt
from botbridge.inference.engines.batch import BatchEngine
from botbridge.inference.engines.step import LoadedModel, StepModel
from botbridge.inference.engines.transformers_loading import load_transformers, probe_cache
from botbridge.inference.engines.transformers_plain import PlainModel, cache_bytes
from botbridge.inference.engines.transformers_ragged import RaggedModel
from botbridge.inference.options import EngineOptions
from botbridge.models.files import ModelFiles

ON_CPU = EngineOptions(device="cpu", dtype="float32")
SYSTEM = tuple(range(20))
IDS = [7 * place % 250 for place in range(300)]


def together(files: ModelFiles) -> LoadedModel:
    """All sequences in one pass."""
    return load_transformers(files, ON_CPU)


def one_by_one(files: ModelFiles) -> LoadedModel:
    """As models are driven that cannot be computed together."""
    model = AutoModelForCausalLM.from_pretrained(files.directory, dtype=torch.float32)
    token_bytes = cache_bytes(probe_cache(model))
    return replace(load_transformers(files, ON_CPU), model=PlainModel(model), cache_bytes_per_token=token_bytes)


def held_bytes(model: StepModel) -> int:
    """Count the memory behind keys and values of all open sequences, whatever part of it is used."""
    tensors: list[Tensor] = []
    if isinstance(model, RaggedModel):
        tensors = [tensor for sequence in model._sequences.values() for tensor in (sequence.keys, sequence.values)]
    if isinstance(model, PlainModel):
        layers = [layer for sequence in model._sequences.values() for layer in sequence.cache.layers]
        tensors = [tensor for layer in layers for tensor in (layer.keys, layer.values) if tensor is not None]
    return sum(tensor.untyped_storage().nbytes() for tensor in tensors)


def ask(engine: BatchEngine, conversation: int, tokens: tuple[int, ...], *, is_cancelled: bool = False) -> None:
    """Ask in a conversation and hear the answer out, or none of it."""
    request_id = RequestId(f"{conversation}")
    prompt = EnginePrompt((*SYSTEM, *tokens), 1, 4, len(SYSTEM))
    engine.submit(request_id, f"{conversation}", prompt, Sampling(max_new_tokens=4, seed=1))
    if is_cancelled:
        engine.cancel(request_id)
    else:
        while not any(event.is_last for event in engine.step()):
            pass


@pytest.mark.parametrize("load", [together, one_by_one])
@pytest.mark.parametrize("is_cancelled", [False, True], ids=["answered", "cancelled at once"])
def test_conversations_whose_history_was_cut_hold_no_more_than_they_may(
    tiny_llama: ModelFiles, load: Callable[[ModelFiles], LoadedModel], *, is_cancelled: bool
) -> None:
    """Each had come to 420 tokens and goes on with 256, of which it knows the system text or a little more."""
    loaded = load(tiny_llama)
    cache_bytes = 1320 * loaded.cache_bytes_per_token
    engine = BatchEngine(lambda _files, _options: loaded)
    engine.load(tiny_llama, replace(ON_CPU, cache_bytes=cache_bytes))
    alike = {conversation: (50 + conversation,) * (80 * (conversation % 2)) for conversation in range(10)}
    for conversation in range(10):
        ask(engine, conversation, (*alike[conversation], *(100,) * (400 - len(alike[conversation]))))
    for conversation in (9, 8, 7, 0, 1):
        short = (*alike[conversation], *(200,) * (236 - len(alike[conversation])))
        ask(engine, conversation, short, is_cancelled=is_cancelled)
        assert held_bytes(loaded.model) <= cache_bytes
    assert is_cancelled or held_bytes(loaded.model) > cache_bytes * 9 // 10


class NoMemory(TorchFunctionMode):
    """While it lasts nothing new is to be had."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Refuse what takes memory, and call everything else."""
        if func in {torch.empty, torch.Tensor.clone}:
            raise torch.OutOfMemoryError("no memory")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("load", [together, one_by_one])
def test_a_cut_needs_no_memory_to_be_had(tiny_llama: ModelFiles, load: Callable[[ModelFiles], LoadedModel]) -> None:
    """What cannot be moved into less room stays where it is, and goes on as if it had never been longer."""
    model = load(tiny_llama).model
    cut, fresh = model.open(), model.open()
    model.forward([(cut, IDS)])
    taken_bytes = held_bytes(model)
    with NoMemory():
        assert model.truncate(cut, 40) == 40
    assert held_bytes(model) == taken_bytes
    rows = model.forward([(cut, IDS[40:60]), (fresh, IDS[:60])])
    assert abs(rows[0] - rows[1]).max() < 1e-3


def test_a_cut_by_a_few_tokens_moves_nothing(tiny_llama: ModelFiles) -> None:
    """The next question needs the room."""
    model = together(tiny_llama).model
    assert isinstance(model, RaggedModel)
    sequence = model.open()
    model.forward([(sequence, IDS)])
    model.forward([(sequence, IDS[:20])])
    place = model._sequences[sequence].keys.data_ptr()
    assert model.truncate(sequence, len(IDS) + 5) == len(IDS) + 5
    assert model._sequences[sequence].keys.data_ptr() == place
    assert model.truncate(sequence, len(IDS) // 2) == len(IDS) // 2
    assert model._sequences[sequence].keys.data_ptr() != place
