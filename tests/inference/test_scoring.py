"""How well a model foresees a text, against what the library itself computes."""

from __future__ import annotations

from math import exp
from pathlib import Path

import pytest
import torch
from tokenizers import processors
from transformers import AutoModelForCausalLM

from botbridge.errors import ModelLoadError
from botbridge.inference.engines.hf_tokenizer import HfTokenizer, load_tokenizer, start_ids
from botbridge.inference.engines.transformers_loading import load_transformers
from botbridge.inference.options import EngineOptions
from botbridge.inference.scoring import LANES, score, score_in_child
from botbridge.models.files import ModelFiles
from tests.fakes.tiny_models import tiny_llama as make_tiny_llama

START_ID = 7
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


def test_each_lane_begins_as_the_model_is_used_to(tiny_llama: ModelFiles) -> None:
    """With the token that its tokenizer puts before every text; it is read, not scored."""
    ids = HfTokenizer(load_tokenizer(tiny_llama)).encode_plain(TEXT)
    loaded = load_transformers(tiny_llama, EngineOptions(device="cpu", dtype="float32"))
    found = score(loaded, ids, [START_ID])
    length = len(ids) // LANES
    lanes = torch.tensor(ids[: LANES * length]).reshape(LANES, length)
    begun = torch.cat([torch.full((LANES, 1), START_ID), lanes], dim=1)
    logits = AutoModelForCausalLM.from_pretrained(tiny_llama.directory, dtype=torch.float32)(begun).logits[:, 1:-1]
    expected = logits.log_softmax(-1).gather(-1, lanes[:, 1:, None])
    assert found.log_probability == pytest.approx(float(expected.sum()), rel=1e-4)
    assert list(found.likeliest) == logits.argmax(-1).ravel().tolist()
    assert found.log_probability != pytest.approx(score(loaded, ids).log_probability, rel=1e-4)


@pytest.mark.slow
def test_the_token_that_a_tokenizer_puts_before_every_text_is_read_first(tmp_path: Path) -> None:
    files = make_tiny_llama(tmp_path)
    bare = score_in_child("transformers", "float32", files, TEXT, 1)
    put_before_every_text(files, "<|turn|>")
    tokenizer = load_tokenizer(files)
    assert start_ids(tokenizer) == (tokenizer.bos_token_id,)
    loaded = load_transformers(files, EngineOptions(device="cpu", dtype="float32"))
    expected = score(loaded, HfTokenizer(tokenizer).encode_plain(TEXT), [tokenizer.bos_token_id])
    found = score_in_child("transformers", "float32", files, TEXT, 1)
    assert found.log_probability == pytest.approx(expected.log_probability, rel=1e-5)
    assert found.log_probability != pytest.approx(bare.log_probability, rel=1e-4)


def put_before_every_text(files: ModelFiles, token: str) -> None:
    tokenizer = load_tokenizer(files)
    tokenizer.bos_token = token
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{token} $A", special_tokens=[(token, tokenizer.bos_token_id)]
    )
    tokenizer.save_pretrained(files.directory)


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
