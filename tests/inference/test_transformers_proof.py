"""Whether sequences of a model may be computed together: the proof, and what it cannot see for itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, JambaConfig, MistralConfig, PreTrainedModel, RecurrentGemmaConfig
from transformers.cache_utils import DynamicCache

from botbridge.inference.engines.step import LoadedModel
from botbridge.inference.engines.transformers_loading import load_transformers, probe_cache
from botbridge.inference.engines.transformers_plain import PlainModel
from botbridge.inference.engines.transformers_proof import Unproven, check_windows, distance, proven_ragged_model
from botbridge.inference.engines.transformers_ragged import RaggedModel
from botbridge.inference.options import EngineOptions
from botbridge.models.files import ModelFiles
from tests.fakes.tiny_models_by_family import CONTEXT_TOKENS, FAMILIES, GROUPED, Family, tiny_model

OPTIONS = EngineOptions(device="cpu", dtype="float32")
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10_000.0,
    "long_factor": [4.0] * 4,
    "short_factor": [1.0] * 4,
    "original_max_position_embeddings": 64,
}


def encode(text: str) -> list[int]:
    """A byte a token."""
    return list(text.encode())


def prove(files: ModelFiles, dtype: torch.dtype, spoil: Callable[[PreTrainedModel], object]) -> RaggedModel:
    """Put a model to the proof that is changed between the plain pass and the ragged ones."""
    model = AutoModelForCausalLM.from_pretrained(files.directory, dtype=dtype).eval()
    with torch.inference_mode():
        probe = probe_cache(model)
    return proven_ragged_model(model, probe, encode=encode, context_tokens=CONTEXT_TOKENS, prepare=spoil)


def scale_one_layer(factor: float) -> Callable[[PreTrainedModel], object]:
    """Make the last layer's attention a little stronger or weaker."""
    return lambda model: model.model.layers[-1].self_attn.o_proj.weight.data.mul_(factor)


def test_a_model_that_computes_something_a_little_different_is_refused(tiny_llama: ModelFiles) -> None:
    """By a thousandth in float32; in bfloat16, which rounds as coarsely, by a fifth."""
    assert isinstance(prove(tiny_llama, torch.float32, scale_one_layer(1.0)), RaggedModel)
    assert isinstance(prove(tiny_llama, torch.bfloat16, scale_one_layer(1.0)), RaggedModel)
    for dtype, factor in ((torch.float32, 1.001), (torch.bfloat16, 1.2)):
        with pytest.raises(Unproven, match="come out different"):
            prove(tiny_llama, dtype, scale_one_layer(factor))


def test_a_model_that_breaks_in_the_proof_is_refused(tiny_llama: ModelFiles) -> None:
    """Whatever it raises."""

    def spoil(model: PreTrainedModel) -> None:
        del model.model.layers[0].self_attn.o_proj

    with pytest.raises(Unproven, match="AttributeError.*o_proj"):
        prove(tiny_llama, torch.float32, spoil)


def test_a_window_that_a_layer_does_not_tell_its_attention_is_refused() -> None:
    """The texts of the proof are too short to show it; one that is as long as the context hides nothing."""
    cache = DynamicCache(config=MistralConfig(num_hidden_layers=2, sliding_window=100))
    check_windows({0: 100, 1: 100}, cache, 4096)
    check_windows({0: None, 1: None}, cache, 100)
    with pytest.raises(Unproven, match="layer 1 looks back 100 tokens and tells its attention None"):
        check_windows({0: 100, 1: None}, cache, 4096)


def load_family(name: str, directory: Path, options: EngineOptions = OPTIONS, **settings: object) -> LoadedModel:
    """A Llama with other settings, or a family."""
    return load_transformers(
        tiny_model(replace(FAMILIES[name], settings={**FAMILIES[name].settings, **settings}), directory), options
    )


def test_positions_that_change_with_the_longest_sequence_are_refused_unless_none_can_be_so_long(tmp_path: Path) -> None:
    """One long conversation would change the answers of all others."""
    loaded = load_family("tinyllama", tmp_path, rope_parameters=LONGROPE)
    assert isinstance(loaded.model, PlainModel)
    assert any("a context of 64 avoids it" in note for note in loaded.info.notes)
    loaded = load_family("tinyllama", tmp_path, replace(OPTIONS, context_tokens=64), rope_parameters=LONGROPE)
    assert isinstance(loaded.model, RaggedModel)


def test_a_recurrent_model_reads_its_prompt_right_although_it_cannot_go_on_with_a_piece(tmp_path: Path) -> None:
    """Jamba begins anew at each piece but the first, without an error; it gets the rest token by token."""
    mixed = GROUPED | {"num_experts": 2, "mamba_d_state": 8, "attn_layer_period": 2, "attn_layer_offset": 1}
    files = tiny_model(Family(JambaConfig, None, mixed), tmp_path)
    loaded = load_transformers(files, OPTIONS)
    assert not loaded.can_truncate
    text = list(range(40))
    with torch.inference_mode():
        library = AutoModelForCausalLM.from_pretrained(files.directory, dtype=torch.float32)
        expected = library(torch.tensor([text])).logits[0].numpy()
    one, other = loaded.model.open(), loaded.model.open()
    loaded.model.forward([(one, text[:10]), (other, text[5:20])])
    rows = loaded.model.forward([(one, text[10:39]), (other, text[20:21])])
    assert distance(rows[0], expected[38]) < 1e-4


def test_a_model_that_cannot_keep_sequences_apart_is_not_loaded(tmp_path: Path) -> None:
    """RecurrentGemma holds its state in the model: answers would mix."""
    family = Family(
        RecurrentGemmaConfig,
        None,
        {
            "hidden_size": 32,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 1,
            "lru_width": 32,
            "attention_window_size": 8,
            "intermediate_size": 64,
        },
    )
    with pytest.raises(ValueError, match="cannot keep several sequences apart"):
        load_transformers(tiny_model(family, tmp_path), OPTIONS)
