"""Which engines compute a model, by what the catalogue and its own files say."""

from __future__ import annotations

import json
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest
from gguf.constants import MODEL_ARCH_NAMES
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from botbridge.models.catalogue import load_catalogue
from botbridge.models.files import ModelFiles
from botbridge.models.gguf_header import GgufHeader
from botbridge.models.openvino_limits import COMPARED
from botbridge.models.runtimes import EVERY_ENGINE, RUNTIMES_FILE, engines_computing, load_known_architectures
from tests.fakes.model_sources import named_gguf

ALL = frozenset(EVERY_ENGINE)


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
    [
        ("llama", ALL),
        ("qwen3", ALL),
        ("gemma2", ALL - {"openvino"}),
        ("bert", {"transformers"}),
        ("of-tomorrow", {"transformers"}),
        ("", {"transformers"}),
    ],
)
def test_a_gguf_names_its_architecture(files: ModelFiles, architecture: str, engines: frozenset[str]) -> None:
    """What transformers would say of it nobody asks, where there are no safetensors."""
    (files.directory / "m.gguf").write_bytes(named_gguf(architecture))
    assert engines_computing(None, files) == engines


@pytest.mark.parametrize(
    ("config", "engines"),
    [
        ({"model_type": "llama", "architectures": ["Foo"], "auto_map": {"AutoModelForCausalLM": "foo.Foo"}}, ALL),
        ({"model_type": "llama", "is_encoder_decoder": None}, ALL),
        ({"model_type": "m2m_100", "is_encoder_decoder": True}, frozenset()),
        ({"model_type": "bart", "is_encoder_decoder": True}, frozenset()),
        ({"model_type": "t5"}, ALL - {"transformers"}),
        ({"model_type": "bert"}, ALL - {"transformers"}),
        ({"model_type": "vit", "architectures": ["ViTForImageClassification"]}, ALL - {"transformers"}),
        ({"model_type": "internlm2", "auto_map": {"AutoModelForCausalLM": "x.X"}}, ALL - {"transformers"}),
        ({"model_type": "jais", "architectures": ["JAISLMHeadModel"]}, ALL - {"transformers"}),
        ({"model_type": ["llama"]}, ALL - {"transformers"}),
        ({"architectures": ["LlamaForCausalLM"]}, ALL - {"transformers"}),
        (["no", "object"], ALL - {"transformers"}),
    ],
)
def test_a_configuration_does_too(files: ModelFiles, config: object, engines: frozenset[str]) -> None:
    (files.directory / "config.json").write_text(json.dumps(config))
    (files.directory / "model.safetensors").touch()
    assert engines_computing(None, files) == engines


@pytest.mark.parametrize(
    ("architecture", "key", "value", "engines"),
    [
        ("llama", "attention.scale", 0.5, ALL - {"openvino"}),
        ("llama", "attention.scale", 1.0, ALL - {"openvino"}),
        ("llama", "attention.scale", 0.0, ALL),
        *(("llama", f"{part}_scale", 3.0, ALL - {"openvino"}) for part in ("residual", "embedding", "logit")),
        *(("llama", f"{part}_scale", 1.0, ALL) for part in ("residual", "embedding", "logit")),
        ("llama", "attention.sliding_window", 8, ALL - {"openvino"}),
        ("qwen2", "attention.sliding_window", 8, ALL - {"openvino"}),
        ("qwen3", "attention.sliding_window", 8, ALL - {"openvino"}),
        ("qwen3", "attention.sliding_window", 0, ALL),
        ("gemma3", "attention.sliding_window", 8, ALL),
    ],
)
def test_what_openvino_leaves_out_of_a_gguf_it_is_not_asked_to_compute(
    architecture: str, key: str, value: float, engines: frozenset[str]
) -> None:
    """Where it counts: a neutral value changes nothing."""
    header = GgufHeader({"general.architecture": architecture, f"{architecture}.{key}": value}, {})
    assert engines_computing(None, coming=header) == engines


def test_each_form_is_judged_by_itself(files: ModelFiles) -> None:
    (files.directory / "config.json").write_text('{"model_type": "vit"}')
    (files.directory / "model.safetensors").touch()
    (files.directory / "m.gguf").write_bytes(named_gguf("llama"))
    assert engines_computing(None, files) == ALL - {"transformers"}


LISTED = tomllib.loads(RUNTIMES_FILE.read_text())


def test_all_that_transformers_takes_is_listed_once() -> None:
    spoken, silent = load_known_architectures().model_types, frozenset(LISTED["transformers"]["silent"])
    assert spoken | silent == frozenset(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    assert not spoken & silent


def test_all_that_is_known_of_gguf_is_listed_once() -> None:
    spoken, silent = load_known_architectures().gguf, frozenset(LISTED["llamacpp"]["silent"])
    assert frozenset(MODEL_ARCH_NAMES.values()) <= spoken | silent
    assert not spoken & silent


@pytest.mark.skipif(
    find_spec("llama_cpp") is None, reason="the engine llamacpp is not installed; `make native` adds it"
)
def test_llamacpp_is_listed_with_nothing_that_its_library_does_not_name() -> None:
    (spec,) = find_spec("llama_cpp").submodule_search_locations
    library = next(Path(spec, "lib").glob("libllama.*")).read_bytes()
    names = load_known_architectures().gguf
    assert {name for name in names if name.encode() + b"\0" not in library} == set()
    assert names >= COMPARED
