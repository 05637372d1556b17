"""Loading with the transformers engine: devices that are not here, files that are broken, memory that is short."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from botbridge.answers import FinishReason, RequestId, Role, Sampling, Turn
from botbridge.errors import ModelLoadError, PromptTooLong
from botbridge.inference.client import WorkerClient
from botbridge.inference.engines.base import TokenEvent
from botbridge.inference.engines.batch import BatchEngine
from botbridge.inference.engines.transformers_device import Devices, choose_placement
from botbridge.inference.engines.transformers_loading import load_on, load_transformers, read_model
from botbridge.inference.engines.transformers_packed import PackedLinear
from botbridge.inference.engines.transformers_quantized import Int8Linear, cannot_quantize
from botbridge.inference.options import EngineOptions
from botbridge.models.files import ModelFiles
from botbridge.models.safetensors_files import WeightsDamaged
from tests.fakes.asking import ask, prompt_of
from tests.fakes.tiny_models import looping_gpt2, tiny_gpt2
from tests.fakes.tiny_models_by_family import FAMILIES, tiny_model

ON_CPU = EngineOptions(device="cpu", dtype="float32")


@dataclass(frozen=True, slots=True)
class PretendedDevices:
    """A machine that says it has CUDA; what is put there is computed by the CPU."""

    cuda: bool = True
    free: int | None = None

    def has_cuda(self) -> bool:
        """As it was told."""
        return self.cuda

    def place(self, name: str) -> torch.device:
        """The only device that is really here."""
        return torch.device("cpu")

    def free_bytes(self, name: str) -> int | None:
        """As it was told."""
        return self.free


def test_cuda_is_taken_where_it_is_and_nothing_is_packed_for_the_cpu(tiny_llama: ModelFiles) -> None:
    """In bfloat16, whatever the CPU can do."""
    loaded = load_on(tiny_llama, EngineOptions(), PretendedDevices())
    assert loaded.info.version.endswith("bfloat16 on cuda")
    assert not any(isinstance(layer, PackedLinear) for layer in layers_of(loaded.model))
    loaded = load_on(tiny_llama, EngineOptions(dtype="float32"), PretendedDevices(cuda=False))
    assert loaded.info.version.endswith("float32 on cpu")
    assert load_on(tiny_llama, EngineOptions(device="cpu"), PretendedDevices()).info.version.endswith("on cpu")


def test_the_weights_that_a_token_reads_are_counted(tmp_path: Path) -> None:
    """All of them where the embedding is the output layer, too; else all but the embedding."""
    tied, untied = tiny_gpt2(tmp_path / "tied"), looping_gpt2(tmp_path / "untied")
    for files, is_tied in ((tied, True), (untied, False)):
        model = read_model(files.directory, choose_placement(ON_CPU, PretendedDevices(cuda=False)))
        everything = sum(parameter.nbytes for parameter in model.parameters())
        embedding = model.get_input_embeddings().weight.nbytes
        assert load_transformers(files, ON_CPU).info.weights_bytes == everything - (0 if is_tied else embedding)


def test_cuda_that_is_asked_for_and_missing_is_said(tiny_llama: ModelFiles) -> None:
    """Instead of being slow without a word."""
    with pytest.raises(ValueError, match="cuda was asked for, and torch finds none"):
        load_on(tiny_llama, EngineOptions(device="cuda"), PretendedDevices(cuda=False))


@pytest.mark.skipif(cannot_quantize(Path("/proc/cpuinfo")) is not None, reason="this CPU has no VNNI instructions")
@pytest.mark.parametrize("family", ["tinyllama", "bloom"])
def test_a_model_is_quantized_on_request(tmp_path: Path, family: str) -> None:
    """Also one that is computed one sequence after another; what was computed with is told."""
    wide = {"hidden_size": 128, "num_attention_heads": 4, "intermediate_size": 256}
    settings = {**FAMILIES[family].settings, **(wide if family == "tinyllama" else {"hidden_size": 128})}
    files = tiny_model(replace(FAMILIES[family], settings=settings), tmp_path)
    loaded = load_transformers(files, replace(ON_CPU, quantize="int8"))
    assert loaded.info.version.endswith("float32 with int8 on cpu")
    assert any(isinstance(layer, Int8Linear) for layer in layers_of(loaded.model))
    exact = load_transformers(files, ON_CPU)
    text = list(range(30))
    found, expected = (model.forward([(model.open(), text)])[0] for model in (loaded.model, exact.model))
    assert 0 < abs(found - expected).max() < 0.2 * expected.std()


def layers_of(model: object) -> Iterator[torch.nn.Module]:
    """The layers of the library's model inside a step model."""
    return model._model.modules()  # type: ignore[attr-defined]


def test_a_quantization_that_is_not_possible_is_left_and_said(tmp_path: Path) -> None:
    """The bot answers all the same; only a name that does not exist is refused."""
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("flags : avx2\n")
    asked = EngineOptions(quantize="int8")
    here: Devices = PretendedDevices(cuda=False)
    placement = choose_placement(asked, here, cpuinfo)
    assert (placement.int8, str(placement)) == (False, "float32 on cpu")
    assert any("not quantized: this CPU" in note for note in placement.notes)
    assert any("not quantized: only a CPU" in note for note in choose_placement(asked, PretendedDevices()).notes)
    with pytest.raises(ValueError, match="no quantization named 'int5'"):
        choose_placement(EngineOptions(quantize="int5"), here)


def test_a_model_that_does_not_fit_is_refused_with_both_numbers(tiny_llama: ModelFiles) -> None:
    """Before anything is loaded."""
    with pytest.raises(MemoryError, match=r"the weights need \d+ MB as float32, and 0 MB of memory were free"):
        load_on(tiny_llama, ON_CPU, PretendedDevices(cuda=False, free=1000))
    load_on(tiny_llama, ON_CPU, PretendedDevices(cuda=False, free=10**9))


def test_a_damaged_file_is_named_before_anything_is_loaded(tmp_path: Path) -> None:
    """With the size that it should have."""
    files = damaged_model(tmp_path)
    with pytest.raises(WeightsDamaged, match=r"model\.safetensors is damaged: it should have [\d,]+ bytes"):
        load_transformers(files, ON_CPU)


@pytest.mark.slow
async def test_a_model_that_cannot_be_loaded_is_said_and_the_bot_stays_up(tmp_path: Path) -> None:
    """The worker says why and ends; whoever asks hears it."""
    files = damaged_model(tmp_path)

    async def prepare() -> ModelFiles:
        return files

    async with WorkerClient(prepare, ON_CPU) as client:
        with pytest.raises(ModelLoadError, match=r"model\.safetensors is damaged"):
            await ask(client, prompt_of("hi", deadline_s=60))
        assert client.status().state == "unavailable"


def damaged_model(directory: Path) -> ModelFiles:
    """A model whose download broke off."""
    files = tiny_model(FAMILIES["tinyllama"], directory)
    weights = directory / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    return files


OUT_OF_MEMORY = """
import resource, sys
from pathlib import Path
from botbridge.inference.engines.transformers_loading import load_transformers
from botbridge.inference.options import EngineOptions
from botbridge.models.files import ModelFiles

files = ModelFiles("m", "r", Path(sys.argv[1]))
options = EngineOptions(device="cpu", dtype="float32")
load_transformers(files, options)  # whatever is loaded once is loaded now
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**27, used + 2**27))
try:
    load_transformers(ModelFiles("m", "r", Path(sys.argv[2])), options)
except MemoryError as error:
    print(error)
"""


@pytest.mark.slow
def test_memory_that_runs_out_while_loading_is_said_with_numbers(tiny_llama: ModelFiles, tmp_path: Path) -> None:
    """Under a limit of the process, which is not asked about before."""
    family = FAMILIES["tinyllama"]
    large = {"hidden_size": 1024, "intermediate_size": 8192, "num_hidden_layers": 4}
    tiny_model(replace(family, settings={**family.settings, **large}), tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", OUT_OF_MEMORY, str(tiny_llama.directory), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert re.match(r"memory ran out while the model was loaded: the weights need \d+ MB as float32", done.stdout)


def finished(engine: BatchEngine, count: int) -> list[TokenEvent]:
    """Step until so many answers have ended: their last events."""
    ends: list[TokenEvent] = []
    while len(ends) < count:
        ends += [event for event in engine.step() if event.is_last]
    return ends


def test_sixty_four_requests_at_once_are_all_answered(tiny_llama: ModelFiles) -> None:
    """In one batch, each as long as it asked for."""
    engine = BatchEngine(load_transformers)
    engine.load(tiny_llama, ON_CPU)
    sampling = Sampling(temperature=1.0, top_p=1.0, max_new_tokens=6, seed=1)
    for number in range(64):
        prompt = engine.prompt("be kind", (Turn(Role.USER, f"question {number} " * (number % 7)),), 6)
        engine.submit(RequestId(str(number)), str(number), prompt, sampling)
    ends = finished(engine, 64)
    assert len({end.request_id for end in ends}) == 64
    assert all(end.failure is None and 1 <= end.completion_tokens <= 6 for end in ends)


@pytest.mark.parametrize("family", ["gpt2", "opt", "tinyllama", "bloom"])
def test_an_answer_may_fill_the_context_to_its_last_place(tmp_path: Path, family: str) -> None:
    """Learned positions end there; what does not fit is refused before."""
    short = {"gpt2": "n_positions", "bloom": "seq_length"}.get(family, "max_position_embeddings")
    settings = {**FAMILIES[family].settings, short: 64}
    engine = BatchEngine(load_transformers)
    info = engine.load(
        tiny_model(replace(FAMILIES[family], settings=settings), tmp_path), replace(ON_CPU, context_tokens=64)
    )
    assert info.context_tokens == 64
    prompt = engine.prompt("", (Turn(Role.USER, "hi"),), 64 - 25)
    room = 64 - len(prompt.ids)
    sampling = Sampling(temperature=0, max_new_tokens=room, repetition_penalty=1.0, seed=0)
    engine.submit(RequestId("r"), "c", prompt, sampling)
    end = finished(engine, 1)[0]
    assert end.failure is None
    assert end.finish_reason is FinishReason.STOP or end.completion_tokens == room
    with pytest.raises(PromptTooLong):
        engine.prompt("", (Turn(Role.USER, "x" * 64),), 16)
