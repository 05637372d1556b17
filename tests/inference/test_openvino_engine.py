"""The engine openvino: nothing is sent, what it computes is right, what it cannot compute is left to others."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from botbridge.answers import Sampling
from botbridge.inference.choice import installed_engines
from botbridge.inference.client import WorkerClient
from botbridge.inference.engines.base import Engine
from botbridge.inference.options import EngineOptions
from botbridge.inference.worker import Assignment, create_engine, load_engine
from botbridge.models.files import ModelFiles
from botbridge.setting_groups import DEFAULT_MODEL
from tests.fakes.asking import ask, prompt_of
from tests.fakes.tiny_gguf import write_gguf_of_architecture, write_llama_gguf
from tests.fakes.tiny_models_by_family import LLAMA3_ROPE

installed = pytest.mark.skipif(
    find_spec("openvino") is None, reason="the engine openvino is not installed; `make setup` adds it"
)

TOKENS = ["<end>", "<turn>", *map(chr, range(33, 127))]
TEXT = np.random.default_rng(3).integers(0, len(TOKENS), 48).tolist()
WINDOW = 8
OPTIONS = EngineOptions(device="cpu", dtype="float32", threads=1)

TELEMETRY = """
from pathlib import Path
Path(__file__).with_name("sent").touch()
raise ImportError("this is not the one that sends")
"""


@installed
@pytest.mark.parametrize(
    ("module", "sends"), [("openvino", True), ("botbridge.inference.engines.openvino_runtime", False)]
)
def test_importing_it_sends_nothing(tmp_path: Path, module: str, sends: bool) -> None:
    """OpenVINO by itself would; a package that only notes that it was imported stands in for the one that sends."""
    (tmp_path / "openvino_telemetry.py").write_text(TELEMETRY)
    subprocess.run(
        [sys.executable, "-c", f"import {module}"],
        check=True,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}"},
    )
    assert (tmp_path / "sent").exists() is sends


def model_of(path: Path) -> Any:
    """A file as it is loaded, but for tokenizer and template."""
    from botbridge.inference.engines.openvino_loading import plugin_properties
    from botbridge.inference.engines.openvino_merging import merge_products
    from botbridge.inference.engines.openvino_model import OpenVinoModel
    from botbridge.inference.engines.openvino_reading import read_gguf
    from botbridge.inference.engines.openvino_runtime import ov
    from botbridge.inference.engines.openvino_weights import lay_out

    graph = read_gguf(path)
    merge_products(graph)
    weights = lay_out(graph, path.parent)
    compiled = ov.Core().compile_model(graph, "CPU", plugin_properties(OPTIONS))
    return OpenVinoModel(compiled, 2**20, weights)


@installed
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("architecture", "heads_kv", "window"),
    [("llama", 2, 0), ("qwen2", 2, 0), ("qwen3", 2, 0), ("qwen3", 1, 0), ("gemma3", 2, WINDOW), ("gemma3", 1, WINDOW)],
)
def test_it_computes_what_transformers_computes(tmp_path: Path, architecture: str, heads_kv: int, window: int) -> None:
    """From the same file: token by token, and in two pieces."""
    write_gguf_of_architecture(tmp_path / "tiny.gguf", architecture, TOKENS, heads_kv=heads_kv, window=window)
    library = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="tiny.gguf", dtype=torch.float32)
    with torch.no_grad():
        expected = library(torch.tensor([TEXT])).logits[0].numpy()
    model = model_of(tmp_path / "tiny.gguf")
    one, two = model.open(), model.open()
    found = np.concatenate([model.forward([(one, [token])]) for token in TEXT])
    assert np.abs(found - expected).max() < 5e-3
    pieces = [model.forward([(two, piece)])[0] for piece in (TEXT[:30], TEXT[30:])]
    assert np.abs(pieces - expected[[29, 47]]).max() < 5e-3


@installed
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the weights lie in memory")
def test_the_weights_as_they_were_read_take_no_memory_once_they_are_laid_out(tmp_path: Path) -> None:
    write_gguf_of_architecture(tmp_path / "tiny.gguf", "llama", TOKENS, kind=GGMLQuantizationType.Q4_0)
    model = model_of(tmp_path / "tiny.gguf")
    assert resident_kib(tmp_path) > 0
    model.settle()
    assert resident_kib(tmp_path) == 0


def resident_kib(directory: Path) -> int:
    """What this process has in memory of files without a name that were made in a directory."""
    found, named = 0, False
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        if "-" in line.split(" ", 1)[0]:
            named = str(directory) in line and line.endswith("(deleted)")
        elif named and line.startswith("Rss:"):
            found += int(line.split()[1])
    return found


@installed
def test_the_factors_of_llamas_frequencies_count(tmp_path: Path) -> None:
    """LLaMA 3.1 and later; without them the logits differ by as much as they are from the second token on."""
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(
        vocab_size=len(TOKENS), num_key_value_heads=2, initializer_range=0.3, rope_parameters=LLAMA3_ROPE, **sizes
    )
    library = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        expected = library(torch.tensor([TEXT])).logits[0].numpy()
    bare = 10_000.0 ** (-np.arange(0, 16, 2, dtype=np.float32) / 16)
    factors = bare / library.model.rotary_emb.inv_freq.numpy()
    assert factors.max() == pytest.approx(8)
    path = tmp_path / "tiny.gguf"
    write_llama_gguf(library, TOKENS, path, end_id=1, frequency_factors=factors.astype(np.float32))
    model = model_of(path)
    sequence = model.open()
    found = np.concatenate([model.forward([(sequence, [token])]) for token in TEXT])
    assert np.abs(found - expected).max() < 5e-3 * np.abs(expected).max()


@installed
@pytest.mark.parametrize(
    ("architecture", "options", "reason"),
    [
        ("bloom", {}, "was not seen to compute it as other engines do"),
        ("phi3", {}, "was not seen to compute it as other engines do"),
        ("gemma2", {"soft_cap": 50.0}, "was not seen to compute it as other engines do"),
        ("gemma3", {"scaling": 8.0, "window": WINDOW}, "scales the positions of its windows, too"),
        ("llama", {"experts": 8}, "it has experts"),
    ],
)
def test_what_it_would_get_wrong_is_refused_by_name(
    tmp_path: Path, architecture: str, options: dict[str, Any], reason: str
) -> None:
    from botbridge.inference.engines.openvino_reading import read_gguf

    path = tmp_path / "tiny.gguf"
    write_gguf_of_architecture(path, architecture, TOKENS, **options)
    with pytest.raises(ValueError, match=f"cannot compute tiny.gguf, whose architecture is {architecture}: .*{reason}"):
        read_gguf(path)


@installed
def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    from botbridge.inference.engines.openvino_reading import read_gguf

    write_gguf_of_architecture(tmp_path / "whole.gguf", "llama", TOKENS)
    path = tmp_path / "tiny.gguf"
    path.write_bytes((tmp_path / "whole.gguf").read_bytes()[:-5000])
    with pytest.raises(ValueError, match="OpenVINO cannot compute tiny.gguf"):
        read_gguf(path)


def creating(assignment: Assignment, name: str) -> Engine:
    """The engine of this name; nothing of it is sent anywhere."""
    return create_engine(name, assignment, get_context("spawn").Queue())


@installed
def test_auto_goes_on_to_an_engine_that_can_and_says_why(tmp_path: Path, tiny_gpt2: ModelFiles) -> None:
    for file in tiny_gpt2.directory.iterdir():
        (tmp_path / file.name).symlink_to(file)
    write_gguf_of_architecture(tmp_path / "tiny.gguf", "bloom", TOKENS)
    options = replace(OPTIONS, engine="auto", fastest_engines=("openvino", "transformers"))
    assignment = Assignment(1, options, replace(tiny_gpt2, directory=tmp_path), 1.0)
    _, info = load_engine(assignment, lambda name: creating(assignment, name), lambda _: None)
    assert info.name == "transformers"
    assert any("openvino could not load" in note and "architecture is bloom" in note for note in info.notes)


def test_where_it_is_not_installed_the_command_that_adds_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert "openvino" not in installed_engines()
    with pytest.raises(ValueError, match="the engine openvino is not installed; `make setup` adds it"):
        creating(Assignment(1, OPTIONS, None, 1.0), "openvino")


@installed
def test_a_model_without_a_gguf_is_refused(tiny_gpt2: ModelFiles) -> None:
    from botbridge.inference.engines.openvino_loading import load_openvino

    with pytest.raises(ValueError, match="needs a model in GGUF form"):
        load_openvino(tiny_gpt2, OPTIONS)


@pytest.fixture
def embedded(model_home: Path) -> ModelFiles:
    """The embedded model with the GGUF that this engine takes."""
    (gguf,) = (model_home / "models").glob(f"{DEFAULT_MODEL}/*/*-fast.gguf")
    return ModelFiles(DEFAULT_MODEL, "r", gguf.parent)


@installed
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no such file")
def test_where_no_file_can_be_it_says_that_memory_holds_the_weights_twice(embedded: ModelFiles) -> None:
    from botbridge.inference.engines.openvino_loading import load_openvino

    most, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))
    try:
        tight = load_openvino(embedded, OPTIONS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    (note,) = tight.info.notes
    assert note.startswith("The weights are in memory twice:")
    wide = load_openvino(embedded, OPTIONS)
    assert wide.info.notes == ()
    found, expected = (each.model.forward([(each.model.open(), TEXT)]) for each in (tight, wide))
    assert (found == expected).all()


def client_of(files: ModelFiles, dtype: str) -> WorkerClient:
    """The engine in a worker of its own, for two answers at once."""

    async def prepare() -> ModelFiles:
        return files

    return WorkerClient(prepare, EngineOptions(engine="openvino", dtype=dtype, slots=2))


async def ids_of(client: WorkerClient, text: str, seed: int, conversation: str) -> tuple[int, ...]:
    """The tokens of an answer, drawn with this seed."""
    sampling = Sampling(seed=seed, temperature=0.8, max_new_tokens=40)
    asked = await ask(client, prompt_of(text, sampling=sampling, deadline_s=120, conversation=conversation))
    return asked.completion.provenance.completion_ids


QUESTION = "Tell me a story about a lighthouse."


@installed
@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_seed_repeats_an_answer(embedded: ModelFiles) -> None:
    """In the plugin's own number formats, also where the prompt comes out of the cache."""
    async with client_of(embedded, "auto") as client:
        first = await ids_of(client, QUESTION, 1, "1")
        assert await ids_of(client, QUESTION, 1, "2") == first
        assert await ids_of(client, QUESTION, 2, "3") != first


@installed
@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_chance_is_each_answers_own(embedded: ModelFiles) -> None:
    """Another answer beside it changes nothing; in float32, where the sums of another batch are nearly the same."""
    async with client_of(embedded, "float32") as client:
        first = await ids_of(client, QUESTION, 1, "1")
        beside, _ = await asyncio.gather(ids_of(client, QUESTION, 1, "2"), ids_of(client, "What is rain?", 5, "3"))
        assert beside == first
