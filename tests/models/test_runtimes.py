"""Which engines compute a model, by what the catalogue and its own files say."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from botbridge.models.catalogue import load_catalogue
from botbridge.models.files import ModelFiles
from botbridge.models.runtimes import EVERY_ENGINE, engines_computing

ALL = frozenset(EVERY_ENGINE)


def gguf(architecture: str) -> bytes:
    """A file without weights that names its architecture."""
    key, value = b"general.architecture", architecture.encode()
    named = struct.pack("<Q", len(key)) + key + struct.pack("<IQ", 8, len(value)) + value
    return b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + named + bytes(64)


@pytest.fixture
def files(tmp_path: Path) -> ModelFiles:
    return ModelFiles("own", "1", tmp_path)


@pytest.mark.parametrize(
    ("model", "engines"),
    [
        ("llama-3.2-1b-instruct", ALL),
        ("bloomz-3b", ALL - {"openvino"}),
        ("jais-family-590m-chat", {"llamacpp"}),
        ("m2m100-1.2b", frozenset()),
    ],
)
def test_the_catalogue_knows_what_computes_an_architecture(model: str, engines: frozenset[str]) -> None:
    assert engines_computing(load_catalogue().find(model)) == engines


def test_of_what_nobody_says_anything_all_might_compute_it(files: ModelFiles) -> None:
    assert engines_computing(None) == engines_computing(None, files) == ALL


@pytest.mark.parametrize(
    ("architecture", "engines"),
    [("llama", ALL), ("qwen3", ALL), ("gemma2", ALL - {"openvino"}), ("", ALL - {"openvino"})],
)
def test_a_gguf_names_its_architecture(files: ModelFiles, architecture: str, engines: frozenset[str]) -> None:
    (files.directory / "m.gguf").write_bytes(gguf(architecture))
    assert engines_computing(None, files) == engines


@pytest.mark.parametrize(
    ("config", "engines"),
    [
        ({"architectures": ["LlamaForCausalLM"]}, ALL),
        ({"architectures": ["M2M100ForConditionalGeneration"], "is_encoder_decoder": True}, frozenset()),
        ({"architectures": ["JAISLMHeadModel"]}, ALL - {"transformers"}),
        ({"architectures": None, "is_encoder_decoder": None}, ALL),
        (["no", "object"], ALL),
    ],
)
def test_a_configuration_does_too(files: ModelFiles, config: object, engines: frozenset[str]) -> None:
    (files.directory / "config.json").write_text(json.dumps(config))
    assert engines_computing(None, files) == engines
