"""A directory that somebody else filled: no pickle of it is read, no code of it is run."""

from __future__ import annotations

import io
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from botbridge.inference.engines.hf_tokenizer import load_tokenizer
from botbridge.inference.engines.transformers_device import TorchDevices, choose_placement
from botbridge.inference.engines.transformers_loading import load_transformers, read_model
from botbridge.inference.options import EngineOptions
from botbridge.models.files import ModelFiles

OPTIONS = EngineOptions(engine="transformers", device="cpu", dtype="float32", threads=1)
CODE = """
from pathlib import Path
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
Path({canary!r}).write_text("code was run")
class Config(LlamaConfig):
    model_type = "unheard-of"
class Model(LlamaForCausalLM):
    config_class = Config
class Tokens(PreTrainedTokenizerFast):
    pass
"""


class Canary:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._path,)


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A file that is made by whatever is run."""
    return tmp_path / "canary"


@pytest.fixture
def directory(tiny_llama: ModelFiles, tmp_path: Path) -> Path:
    """A model that a test may change."""
    return Path(shutil.copytree(tiny_llama.directory, tmp_path / "model"))


@pytest.fixture
def _says_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What transformers may ask on the terminal is answered with yes."""
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 9))


def change(file: Path, **values: object) -> None:
    """Set keys of a JSON file."""
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def with_code(directory: Path, canary: Path) -> None:
    """Let the model say that it comes with code of its own."""
    (directory / "evil.py").write_text(CODE.format(canary=str(canary)))
    change(
        directory / "config.json",
        model_type="unheard-of",
        auto_map={"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"},
    )


def test_a_pickle_beside_the_weights_is_not_opened(directory: Path, canary: Path) -> None:
    (directory / "pytorch_model.bin").write_bytes(pickle.dumps(Canary(canary)))
    load_transformers(ModelFiles("m", "r", directory), OPTIONS)
    assert not canary.exists()


def test_weights_that_are_a_pickle_only_are_not_read(directory: Path, canary: Path) -> None:
    """Not even one that holds nothing but numbers."""
    weights = read_model(directory, choose_placement(OPTIONS, TorchDevices())).state_dict()
    (directory / "model.safetensors").unlink()
    torch.save(weights, directory / "pytorch_model.bin")
    with pytest.raises(OSError, match="safetensors"):
        read_model(directory, choose_placement(OPTIONS, TorchDevices()))
    (directory / "pytorch_model.bin").write_bytes(pickle.dumps(Canary(canary)))
    with pytest.raises(OSError, match="safetensors"):
        read_model(directory, choose_placement(OPTIONS, TorchDevices()))
    assert not canary.exists()


@pytest.mark.usefixtures("_says_yes")
def test_code_of_a_model_is_not_run(directory: Path, canary: Path) -> None:
    with_code(directory, canary)
    with pytest.raises(ValueError, match="trust_remote_code"):
        read_model(directory, choose_placement(OPTIONS, TorchDevices()))
    assert not canary.exists()


@pytest.mark.usefixtures("_says_yes")
def test_code_of_a_tokenizer_is_not_run(directory: Path, canary: Path) -> None:
    with_code(directory, canary)
    change(
        directory / "tokenizer_config.json",
        tokenizer_class="Tokens",
        auto_map={"AutoTokenizer": [None, "evil.Tokens"]},
    )
    with pytest.raises(ValueError, match="trust_remote_code"):
        load_tokenizer(ModelFiles("m", "r", directory))
    (directory / "m.gguf").touch()
    assert load_tokenizer(ModelFiles("m", "r", directory)).encode("a")
    assert not canary.exists()
