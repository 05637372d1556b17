"""How well a model foresees a text, against what the library itself computes."""

from __future__ import annotations

from math import exp
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from botbridge.errors import ModelLoadError
from botbridge.inference.engines.hf_tokenizer import HfTokenizer, load_tokenizer
from botbridge.inference.engines.transformers_loading import load_transformers
from botbridge.inference.options import EngineOptions
from botbridge.inference.scoring import LANES, score, score_in_child
from botbridge.models.files import ModelFiles
from tests.fakes.tiny_models import tiny_llama as make_tiny_llama

TEXT = "The boats came in early, and nobody on the quay had anything to say about it. " * 4


def test_scores_are_those_of_plain_passes_over_each_lane(tiny_llama: ModelFiles) -> None:
    ids = HfTokenizer(load_tokenizer(tiny_llama)).encode_plain(TEXT)
    found = score(load_transformers(tiny_llama, EngineOptions(device="cpu", dtype="float32")), ids)
    length = len(ids) // LANES
    lanes = torch.tensor(ids[: LANES * length]).reshape(LANES, length)
    logits = AutoModelForCausalLM.from_pretrained(tiny_llama.directory, dtype=torch.float32)(lanes).logits[:, :-1]
    expected = logits.log_softmax(-1).gather(-1, lanes[:, 1:, None])
    assert found.log_probability == pytest.approx(float(expected.sum()), rel=1e-4)
    assert found.perplexity == pytest.approx(exp(-float(expected.mean())), rel=1e-4)
    assert list(found.likeliest) == logits.argmax(-1).ravel().tolist()


@pytest.mark.slow
def test_a_child_process_finds_the_same(tiny_llama: ModelFiles) -> None:
    ids = HfTokenizer(load_tokenizer(tiny_llama)).encode_plain(TEXT)
    here = score(load_transformers(tiny_llama, EngineOptions(device="cpu", dtype="float32")), ids)
    there = score_in_child("transformers", "float32", tiny_llama, TEXT, 1)
    assert there.likeliest == here.likeliest
    assert there.log_probability == pytest.approx(here.log_probability, rel=1e-5)


@pytest.mark.slow
def test_what_is_scored_is_quantized_as_people_have_it(tmp_path: Path) -> None:
    """Its matrices are just large enough to be."""
    files = make_tiny_llama(tmp_path, width=128)
    exact, rounded = (
        score_in_child("transformers", "float32", files, TEXT, 1, quantize=quantize) for quantize in ("none", "int8")
    )
    assert rounded.log_probability != exact.log_probability
    assert rounded.log_probability == pytest.approx(exact.log_probability, rel=0.05)


@pytest.mark.parametrize(
    ("engine", "text", "reason"),
    [("echo", TEXT, "the engine echo does not show"), ("transformers", "short", "too short")],
)
@pytest.mark.slow
def test_what_cannot_be_scored_is_said(tiny_llama: ModelFiles, engine: str, text: str, reason: str) -> None:
    with pytest.raises(ModelLoadError, match=reason):
        score_in_child(engine, "float32", tiny_llama, text, 1)
