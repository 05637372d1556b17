"""The fast form of a GGUF: what is rounded, and that all else stays as it was."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind
from gguf import GGUFReader, quants

from botbridge.inference.scoring import Scores, score_in_child
from botbridge.machine.quality import TEXT
from botbridge.models.child import run_in_child
from botbridge.models.files import ModelFiles
from botbridge.models.requantize import main, requantize
from botbridge.setting_groups import DEFAULT_MODEL
from tests.fakes.tiny_gguf import write_tiny_gguf

NAMES = ("blk.0.ffn_gate.weight", "blk.0.ffn_down.weight", "blk.0.attn_q.weight", "output_norm.weight")
LARGEST_RISE = 1.05


@pytest.fixture
def q4_1(tmp_path: Path) -> Path:
    """A GGUF of a few tensors, most of them in Q4_1."""
    random = np.random.default_rng(5)
    path = tmp_path / "model.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("small")
    writer.add_token_list(["a", "b", "\N{ARABIC LETTER BEH}"])
    for name in NAMES[:3]:
        numbers = random.normal(size=(4, 64)).astype(np.float32)
        writer.add_tensor(name, quants.quantize(numbers, Kind.Q4_1), raw_dtype=Kind.Q4_1)
    writer.add_tensor(NAMES[3], random.normal(size=64).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_only_what_bears_it_is_rounded(q4_1: Path, tmp_path: Path) -> None:
    fast = tmp_path / "fast.gguf"
    requantize(q4_1, fast)
    before, after = (
        {tensor.name: quants.dequantize(tensor.data, tensor.tensor_type) for tensor in GGUFReader(path).tensors}
        for path in (q4_1, fast)
    )
    kinds = {tensor.name: tensor.tensor_type for tensor in GGUFReader(fast).tensors}
    assert kinds == dict(zip(NAMES, (Kind.Q4_0, Kind.Q8_0, Kind.Q8_0, Kind.F32), strict=True))
    assert np.array_equal(before[NAMES[3]], after[NAMES[3]])
    for name, bound in ((NAMES[0], 0.3), (NAMES[1], 0.02), (NAMES[2], 0.02)):
        assert before[name].shape == after[name].shape
        assert 0 < np.abs(before[name] - after[name]).max() < bound, name


def test_for_llamacpp_other_forms_are_taken(q4_1: Path, tmp_path: Path) -> None:
    """By the name of the target; rows of 64 weights have no whole block of Q4_K."""
    fast = tmp_path / "model-llamacpp.gguf"
    requantize(q4_1, fast)
    kinds = {tensor.name: tensor.tensor_type for tensor in GGUFReader(fast).tensors}
    assert kinds == dict(zip(NAMES, (Kind.IQ4_NL, Kind.Q8_0, Kind.Q8_0, Kind.F32), strict=True))
    before, after = (
        {tensor.name: quants.dequantize(tensor.data, tensor.tensor_type) for tensor in GGUFReader(path).tensors}
        for path in (q4_1, fast)
    )
    assert 0 < np.abs(before[NAMES[0]] - after[NAMES[0]]).max() < 0.3


def test_all_that_the_header_says_is_kept(tmp_path: Path) -> None:
    source, fast = tmp_path / "tiny.gguf", tmp_path / "fast.gguf"
    write_tiny_gguf(source)
    requantize(source, fast)
    said = [
        {name: field.contents() for name, field in GGUFReader(path).fields.items() if not name.startswith("GGUF.")}
        for path in (source, fast)
    ]
    assert said[0] == said[1]
    assert source.read_bytes()[-1000:] == fast.read_bytes()[-1000:]  # there is nothing to round in it


def test_it_runs_as_a_process_of_its_own(q4_1: Path, tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        run_in_child("requantize", q4_1, tmp_path / "fast.gguf", lock.fileno())
    assert (tmp_path / "fast.gguf").is_file()


def test_wrong_use_is_told_apart() -> None:
    assert main([]) == 2


@pytest.fixture(scope="module")
def fast_files(model_home: Path) -> ModelFiles:
    """The embedded model, whose GGUF is the fast form."""
    (fast,) = (model_home / "models").glob(f"{DEFAULT_MODEL}/*/*-fast.gguf")
    files = ModelFiles(DEFAULT_MODEL, "r", fast.parent)
    assert files.gguf == fast
    return files


@pytest.fixture(scope="module")
def ideal(fast_files: ModelFiles) -> Scores:
    """What the weights that both forms were made from think of the text."""
    return scored("transformers", "float32", fast_files)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("engine", "module", "command"),
    [("llamacpp", "llama_cpp", "make native"), ("openvino", "openvino", "make setup")],
)
def test_the_embedded_model_loses_less_than_a_twentieth(
    fast_files: ModelFiles, ideal: Scores, engine: str, module: str, command: str
) -> None:
    """In perplexity on a fixed text, as each engine computes it for people."""
    if find_spec(module) is None:
        pytest.skip(f"the engine {engine} is not installed; `{command}` adds it")
    assert scored(engine, "auto", fast_files).perplexity <= LARGEST_RISE * ideal.perplexity


def scored(engine: str, dtype: str, files: ModelFiles) -> Scores:
    """What an engine thinks of the text."""
    return score_in_child(engine, dtype, files, TEXT.read_text(encoding="utf-8"), threads=2)
