"""What `BatchEngine` relies on, run over every implementation of `StepModel` and the same tiny model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from botbridge.inference.engines.step import LoadedModel, SequenceId
from botbridge.inference.options import EngineOptions
from botbridge.inference.sampling import Logits
from botbridge.models.files import ModelFiles
from tests.fakes.tiny_gguf import write_gguf_of
from tests.fakes.tiny_models import tiny_llama

SLOTS = 4
OPTIONS = EngineOptions(device="cpu", dtype="float32", threads=1, slots=SLOTS, prefill_tokens=16)
TEXT = np.random.default_rng(5).integers(0, 256, 200).tolist()


def transformers_model(files: ModelFiles) -> LoadedModel:
    """Whatever the transformers engine takes for this model."""
    from botbridge.inference.engines.transformers_loading import load_transformers

    return load_transformers(files, OPTIONS)


def plain_model(files: ModelFiles) -> LoadedModel:
    """One sequence after another."""
    from dataclasses import replace

    from botbridge.inference.engines.transformers_plain import PlainModel

    loaded = transformers_model(files)
    return replace(loaded, model=PlainModel(reference_model(files)))


def llamacpp_model(files: ModelFiles) -> LoadedModel:
    """llama.cpp, with its kv cache in float16."""
    if find_spec("llama_cpp") is None:
        pytest.skip("the engine llamacpp is not installed; `make native` adds it")
    from botbridge.inference.engines.llamacpp_loading import load_llamacpp

    return load_llamacpp(files, OPTIONS)


def openvino_model(files: ModelFiles) -> LoadedModel:
    """OpenVINO's CPU plugin, with nothing rounded."""
    if find_spec("openvino") is None:
        pytest.skip("the engine openvino is not installed; `make setup` adds it")
    from botbridge.inference.engines.openvino_loading import load_openvino

    return load_openvino(files, OPTIONS)


@dataclass(frozen=True, slots=True)
class Implementation:
    """A `StepModel` and how far its logits may be off; the model's own spread is about 10."""

    load: Callable[[ModelFiles], LoadedModel]
    tolerance: float


IMPLEMENTATIONS = {
    "plain": Implementation(plain_model, 1e-3),
    "transformers": Implementation(transformers_model, 1e-3),
    "llamacpp": Implementation(llamacpp_model, 5e-2),
    "openvino": Implementation(openvino_model, 5e-3),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    """A tiny model in both forms."""
    torch.set_num_threads(1)
    files = tiny_llama(tmp_path_factory.mktemp("llama"))
    tokenizer = AutoTokenizer.from_pretrained(files.directory)
    write_gguf_of(reference_model(files), tokenizer, files.directory / "tiny.gguf")
    return files


def reference_model(files: ModelFiles) -> torch.nn.Module:
    """The model as the library loads it, in float32."""
    return AutoModelForCausalLM.from_pretrained(files.directory, dtype=torch.float32)


@pytest.fixture(scope="module")
def expected(files: ModelFiles) -> Logits:
    """(200, V): what may follow each token of TEXT, from one plain forward pass."""
    with torch.no_grad():
        logits: Logits = reference_model(files)(torch.tensor([TEXT])).logits[0].numpy()
    return logits


@pytest.fixture(scope="module", params=IMPLEMENTATIONS.values(), ids=IMPLEMENTATIONS.keys())
def implementation(request: pytest.FixtureRequest) -> Implementation:
    """Each in turn."""
    chosen: Implementation = request.param
    return chosen


@pytest.fixture(scope="module")
def loaded(implementation: Implementation, files: ModelFiles) -> LoadedModel:
    """The model, loaded once for all tests."""
    return implementation.load(files)


Agree = Callable[[Logits, Sequence[int]], None]


@pytest.fixture
def agree(implementation: Implementation, expected: Logits) -> Agree:
    """Asserts that rows are what follows the given places of TEXT."""

    def check(rows: Logits, places: Sequence[int]) -> None:
        assert rows.dtype == np.float32
        assert rows.shape == (len(places), expected.shape[1])
        assert np.abs(rows - expected[[place - 1 for place in places]]).max() < implementation.tolerance

    return check


def test_a_text_in_one_piece_or_in_many_brings_the_same(loaded: LoadedModel, agree: Agree) -> None:
    """After each piece the logits are those of the text so far."""
    model, whole, pieces = loaded.model, loaded.model.open(), loaded.model.open()
    agree(model.forward([(whole, TEXT[:90])]), [90])
    for start, end in ((0, 1), (1, 50), (50, 51), (51, 90)):
        agree(model.forward([(pieces, TEXT[start:end])]), [end])
    model.close(whole)
    model.close(pieces)


def test_rows_come_in_the_order_of_the_work(loaded: LoadedModel, agree: Agree) -> None:
    """However long each piece is, and in whichever order the sequences were opened."""
    model = loaded.model
    opened = [model.open() for _ in range(SLOTS)]
    agree(model.forward([(opened[2], TEXT[:33]), (opened[0], TEXT[:1]), (opened[3], TEXT[:7])]), [33, 1, 7])
    agree(
        model.forward(
            [
                (opened[3], TEXT[7:8]),
                (opened[1], TEXT[:60]),
                (opened[0], TEXT[1:2]),
                (opened[2], TEXT[33:34]),
            ]
        ),
        [8, 60, 2, 34],
    )
    for sequence in opened:
        model.close(sequence)


def test_sequences_do_not_see_one_another(loaded: LoadedModel, agree: Agree) -> None:
    """One reads something else meanwhile."""
    model = loaded.model
    ours, theirs = model.open(), model.open()
    model.forward([(ours, TEXT[:20]), (theirs, TEXT[100:140])])
    agree(model.forward([(theirs, TEXT[140:141]), (ours, TEXT[20:21])])[1:], [21])
    model.close(ours)
    model.close(theirs)


def test_a_sequence_that_was_cut_goes_on_as_if_the_rest_had_never_been(loaded: LoadedModel, agree: Agree) -> None:
    """At once, and again; what it holds then is told."""
    model, sequence = loaded.model, loaded.model.open()
    model.forward([(sequence, TEXT[:40])])
    model.forward([(sequence, TEXT[150:170])])
    model.truncate(sequence, 40)
    agree(model.forward([(sequence, TEXT[40:45])]), [45])
    assert model.truncate(sequence, 1000) == 45
    assert model.truncate(sequence, 3) == 3
    agree(model.forward([(sequence, TEXT[3:10])]), [10])
    model.truncate(sequence, 0)
    agree(model.forward([(sequence, TEXT[:2])]), [2])
    model.close(sequence)


def test_a_fork_and_its_source_go_their_own_ways(loaded: LoadedModel, agree: Agree) -> None:
    """Forks of a part, of the whole, of a fork; the source may be closed first."""
    model, source = loaded.model, loaded.model.open()
    model.forward([(source, TEXT[:50])])
    part, whole = model.fork(source), model.fork(source)
    model.truncate(part, 30)
    of_fork = model.fork(part)
    model.truncate(of_fork, 20)
    model.forward([(source, TEXT[100:120])])
    model.close(source)
    agree(
        model.forward([(part, TEXT[30:35]), (whole, TEXT[50:51]), (of_fork, TEXT[20:60])]),
        [35, 51, 60],
    )
    for sequence in (part, whole, of_fork):
        model.close(sequence)


def test_far_more_sequences_are_open_than_run_at_once(loaded: LoadedModel, agree: Agree) -> None:
    """Each goes on from where it was, in any order and company."""
    model = loaded.model
    lengths = [10 + 3 * number for number in range(5 * SLOTS)]
    opened = [model.open() for _ in lengths]
    for sequence, length in zip(opened, lengths, strict=True):
        model.forward([(sequence, TEXT[:length])])
    random = np.random.default_rng(2)
    for _ in range(12):
        chosen = random.choice(len(opened), SLOTS, replace=False).tolist()
        rows = model.forward([(opened[number], [TEXT[lengths[number]]]) for number in chosen])
        for number in chosen:
            lengths[number] += 1
        agree(rows, [lengths[number] for number in chosen])
    for sequence in opened:
        model.close(sequence)


def test_what_waits_can_be_cut_and_forked(loaded: LoadedModel, agree: Agree) -> None:
    """Others have run meanwhile."""
    model, waiting = loaded.model, loaded.model.open()
    model.forward([(waiting, TEXT[:64])])
    others = [model.open() for _ in range(SLOTS)]
    model.forward([(sequence, TEXT[:5]) for sequence in others])
    fork = model.fork(waiting)
    assert model.truncate(fork, 20) == 20
    assert model.truncate(waiting, 60) == 60
    assert model.truncate(fork, 19) == 19
    agree(model.forward([(fork, TEXT[19:25]), (waiting, TEXT[60:61])]), [25, 61])
    for sequence in (*others, fork, waiting):
        model.close(sequence)


def test_a_failure_is_undone_by_cutting(loaded: LoadedModel, agree: Agree) -> None:
    """An id outside the vocabulary is an error, and the sequences of the step can be brought back."""
    model = loaded.model
    broken, beside = model.open(), model.open()
    model.forward([(broken, TEXT[:30]), (beside, TEXT[:10])])
    with pytest.raises(Exception):  # noqa: B017 - whichever the library has
        model.forward([(beside, TEXT[10:12]), (broken, [*TEXT[30:60], 10**6])])
    model.truncate(broken, 30)
    model.truncate(beside, 10)
    agree(model.forward([(beside, TEXT[10:12]), (broken, TEXT[30:60])]), [12, 60])
    model.close(broken)
    model.close(beside)


def test_an_unknown_adapter_is_refused(loaded: LoadedModel) -> None:
    with pytest.raises(ValueError, match="nobody"):
        loaded.model.open("nobody")


def test_a_closed_sequence_is_gone(loaded: LoadedModel) -> None:
    """A second use is a mistake that shows."""
    gone: SequenceId = loaded.model.open()
    loaded.model.close(gone)
    with pytest.raises(KeyError):
        loaded.model.forward([(gone, TEXT[:1])])


def test_what_a_token_takes_is_told(loaded: LoadedModel) -> None:
    """Two layers of two heads of eight numbers, keys and values, and what is noted beside them."""
    numbers = 2 * 2 * 2 * 8
    assert 2 * numbers <= loaded.cache_bytes_per_token <= 5 * numbers
    assert loaded.can_truncate


def test_a_failure_inside_the_layers_is_undone_in_each_of_them(files: ModelFiles, expected: Logits) -> None:
    """The first layer has noted the tokens then, the others have not; one sequence after another, as it is retried."""
    from botbridge.inference.engines.transformers_plain import PlainModel

    reference = reference_model(files)
    model = PlainModel(reference)
    sequence = model.open()
    model.forward([(sequence, TEXT[:40])])

    def out_of_memory(*_: object) -> None:
        raise MemoryError("no room for the activations")

    hook = reference.get_submodule("model.layers.0.mlp").register_forward_hook(out_of_memory)
    for _ in range(3):
        with pytest.raises(MemoryError):
            model.forward([(sequence, TEXT[40:60])])
        model.truncate(sequence, 40)
    hook.remove()
    row = model.forward([(sequence, TEXT[40:60])])
    assert np.abs(row - expected[59]).max() < IMPLEMENTATIONS["plain"].tolerance
