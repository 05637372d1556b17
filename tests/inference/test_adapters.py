"""LoRA adapters in the transformers engine: each sequence as if it were alone, and what cannot be used said by name."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from botbridge.inference.engines.step import LoadedModel, StepModel
from botbridge.inference.engines.transformers_adapters import LoraAdapters, load_adapters, taken_settings
from botbridge.inference.engines.transformers_loading import load_transformers
from botbridge.inference.engines.transformers_packed import PackedLinear
from botbridge.inference.engines.transformers_plain import PlainModel
from botbridge.inference.engines.transformers_proof import distance
from botbridge.inference.engines.transformers_quantized import Int8Linear, cannot_quantize
from botbridge.inference.engines.transformers_ragged import RaggedModel
from botbridge.inference.options import EngineOptions
from botbridge.inference.sampling import Logits
from botbridge.models.files import AdapterFiles, ModelFiles
from tests.fakes.tiny_adapters import tiny_lora
from tests.fakes.tiny_models_by_family import FAMILIES, tiny_model

ON_CPU = EngineOptions(device="cpu", dtype="float32", threads=1)
TEXT = np.random.default_rng(5).integers(0, 256, 60).tolist()
CHOICES = (None, "org/poet", "org/pirate")
MOST = 1e-3
"""How far logits may be off; the model's own spread is about 10."""


@dataclass(frozen=True, slots=True)
class Case:
    """A model with two adapters, loaded, and what peft itself computes for TEXT with each."""

    files: ModelFiles
    loaded: LoadedModel
    expected: dict[str | None, Logits]

    @property
    def model(self) -> StepModel:
        return self.loaded.model


def peft_logits(files: ModelFiles, adapter: AdapterFiles | None) -> Logits:
    """(T, V): one plain pass of the library's over TEXT."""
    model = AutoModelForCausalLM.from_pretrained(files.directory, dtype=torch.float32)
    if adapter is not None:
        with warnings.catch_warnings(action="ignore"):  # of what peft asks transformers for
            model = PeftModel.from_pretrained(model, adapter.directory)
    with torch.no_grad():
        logits: Logits = model.eval()(torch.tensor([TEXT])).logits[0].numpy()
    return logits


def plain(files: ModelFiles) -> LoadedModel:
    """One sequence after another."""
    model = AutoModelForCausalLM.from_pretrained(files.directory, dtype=torch.float32).eval()
    adapters = load_adapters(model, files, has_peft=True)
    loaded = load_transformers(files, ON_CPU)
    assert isinstance(loaded.model, RaggedModel)
    return replace(loaded, model=PlainModel(model, adapters=adapters))


@pytest.fixture(scope="module")
def pulled(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    """A Llama whose layers are large enough to be packed, with two adapters of different rank and reach."""
    home = tmp_path_factory.mktemp("home")
    wide = {"hidden_size": 128, "num_attention_heads": 4, "intermediate_size": 256}
    files = tiny_model(replace(FAMILIES["tinyllama"], settings={**FAMILIES["tinyllama"].settings, **wide}), home / "m")
    poet = tiny_lora(files, home / "poet", "org/poet", seed=2)
    pirate = tiny_lora(files, home / "pirate", "org/pirate", seed=3, r=130, target_modules=["q_proj", "v_proj"])
    return replace(files, adapters=(poet, pirate))


@pytest.fixture(scope="module", params=[load_transformers, plain], ids=["ragged", "plain"])
def case(request: pytest.FixtureRequest, pulled: ModelFiles) -> Case:
    """Each way of driving the model in turn."""
    loaded = request.param(pulled, ON_CPU) if request.param is load_transformers else request.param(pulled)
    by_name = {adapter.adapter: adapter for adapter in pulled.adapters}
    return Case(pulled, loaded, {name: peft_logits(pulled, by_name.get(name or "")) for name in CHOICES})


def test_adapters_change_what_is_computed(case: Case) -> None:
    """Else the tests below would show nothing."""
    bare, poet, pirate = (case.expected[name] for name in CHOICES)
    assert min(np.abs(a - b).max() for a, b in ((bare, poet), (bare, pirate), (poet, pirate))) > 0.1


def test_sequences_with_different_adapters_in_one_batch_are_each_as_if_alone(case: Case) -> None:
    """As peft computes them, in pieces and in changing company; one adapter's numbers reach nobody else's."""
    model = case.model
    names = [*CHOICES, *reversed(CHOICES)]
    sequences = [model.open(name) for name in names]
    lengths = [0] * len(names)
    random = np.random.default_rng(4)
    for step in range(8):
        order = random.permutation(len(names)).tolist()[: len(names) if step < 2 else 4]
        counts = {number: int(random.integers(1, 6)) for number in order}
        work = [(sequences[number], TEXT[lengths[number] : lengths[number] + counts[number]]) for number in order]
        rows = model.forward(work)
        for number, row in zip(order, rows, strict=True):
            lengths[number] += counts[number]
            assert np.abs(row - case.expected[names[number]][lengths[number] - 1]).max() < MOST
    for sequence in sequences:
        model.close(sequence)


@pytest.mark.parametrize("name", CHOICES)
def test_a_fork_goes_on_with_its_sources_adapter(case: Case, name: str | None) -> None:
    """The prefix that new conversations begin with is a fork."""
    model, source = case.model, case.model.open(name)
    model.forward([(source, TEXT[:20])])
    fork = model.fork(source)
    model.truncate(fork, 12)
    (row,) = model.forward([(fork, TEXT[12:30])])
    assert np.abs(row - case.expected[name][29]).max() < MOST
    model.close(source)
    model.close(fork)


def test_a_pass_that_fails_leaves_the_next_ones_with_their_own_adapters(case: Case) -> None:
    model = case.model
    broken, beside = model.open("org/poet"), model.open("org/pirate")
    with pytest.raises(Exception):  # noqa: B017 - whichever the library has
        model.forward([(beside, TEXT[:10]), (broken, [10**6])])
    for sequence in (broken, beside):
        model.truncate(sequence, 0)
    rows = model.forward([(broken, TEXT[:9]), (beside, TEXT[:7])])
    assert np.abs(rows[0] - case.expected["org/poet"][8]).max() < MOST
    assert np.abs(rows[1] - case.expected["org/pirate"][6]).max() < MOST
    model.close(broken)
    model.close(beside)


def test_the_models_own_layers_are_packed_beneath_the_adapters(pulled: ModelFiles) -> None:
    """Whoever uses no adapter pays nothing for those who do; an adapter's own matrices stay as they are."""
    layers = dict(inner(load_transformers(pulled, ON_CPU).model).named_modules())
    packed = [name for name, layer in layers.items() if isinstance(layer, PackedLinear)]
    assert any(name.endswith("q_proj.base_layer") for name in packed)
    assert not [name for name in packed if ".lora_" in name]


@pytest.mark.skipif(cannot_quantize(Path("/proc/cpuinfo")) is not None, reason="this CPU has no VNNI instructions")
def test_a_quantized_model_takes_adapters_whose_own_numbers_stay_exact(pulled: ModelFiles) -> None:
    loaded = load_transformers(pulled, replace(ON_CPU, quantize="int8"))
    layers = dict(inner(loaded.model).named_modules())
    assert not [name for name, layer in layers.items() if isinstance(layer, Int8Linear) and ".lora_" in name]
    for adapter in pulled.adapters:
        expected = peft_logits(pulled, adapter)[-1]
        (row,) = loaded.model.forward([(loaded.model.open(adapter.adapter), TEXT)])
        assert 0 < distance(row, expected) < 0.2


def test_what_is_loaded_is_told_with_its_revision(case: Case) -> None:
    told = [(adapter.name, adapter.revision, adapter.obstacle) for adapter in case.loaded.info.adapters]
    assert told == [(name, f"revision of {name}", "") for name in CHOICES if name]


def test_an_adapter_that_is_not_here_is_refused_by_name(case: Case) -> None:
    with pytest.raises(ValueError, match="there is no adapter 'org/nobody'"):
        case.model.open("org/nobody")


def test_a_wrong_base_is_refused_by_name_and_the_others_load(pulled: ModelFiles, tmp_path: Path) -> None:
    foreign = tiny_lora(pulled, tmp_path / "foreign", "org/foreign", base="org/other")
    model = load_transformers(replace(pulled, adapters=(foreign, *pulled.adapters)), ON_CPU).model
    with pytest.raises(ValueError, match=f"the adapter org/foreign was made for org/other, not for {pulled.model}"):
        model.open("org/foreign")
    model.close(model.open("org/pirate"))


def test_without_peft_adapters_are_refused_with_the_command_that_adds_it(pulled: ModelFiles) -> None:
    """And the model answers all the same, without one."""
    model = AutoModelForCausalLM.from_pretrained(pulled.directory, dtype=torch.float32)
    adapters = load_adapters(model, pulled, has_peft=False)
    adapters.require(None)
    with pytest.raises(
        ValueError, match=r"org/poet needs peft, .*`.venv/bin/pip install -c constraints.txt -e '.\[lora\]'` adds it"
    ):
        adapters.require("org/poet")


def broken(source: AdapterFiles, directory: Path, name: str, config: dict[str, object]) -> AdapterFiles:
    """A copy of an adapter with another configuration."""
    shutil.copytree(source.directory, directory)
    path = directory / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    return replace(source, adapter=name, directory=directory)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"r": 3}, "size mismatch"),
        ({"target_modules": ["nowhere"]}, "nowhere"),
        ({"target_modules": ["q_proj"]}, "do not fit the layers"),
        ({"target_modules": ["q_proj", "v_proj", "embed_tokens"]}, "do not fit the layers"),
        ({"use_dora": True}, "more than plain LoRA \\(use_dora\\)"),
        ({"modules_to_save": ["lm_head"]}, "more than plain LoRA \\(modules_to_save\\)"),
        ({"megatron_config": {"a": 1}}, "more than plain LoRA"),
        ({"bias": "all"}, "biases of its base"),
        ({"init_lora_weights": "pissa"}, "made for changed weights of its base"),
    ],
)
def test_an_adapter_that_cannot_be_loaded_says_why_and_keeps_no_other_from_it(
    pulled: ModelFiles, tmp_path: Path, config: dict[str, object], words: str
) -> None:
    """Nothing of it takes effect: the others and the bare model still compute what they should."""
    poet, pirate = pulled.adapters
    bad = broken(pirate, tmp_path / "bad", "org/bad", config)
    model = load_transformers(replace(pulled, adapters=(bad, poet)), ON_CPU).model
    with pytest.raises(ValueError, match=f"the adapter org/bad cannot be loaded: .*{words}"):
        model.open("org/bad")
    bare = peft_logits(pulled, None)[-1]
    rows = model.forward([(model.open("org/poet"), TEXT), (model.open(), TEXT)])
    assert np.abs(rows - [peft_logits(pulled, poet)[-1], bare]).max() < MOST
    without_others = load_transformers(replace(pulled, adapters=(bad,)), ON_CPU).model
    assert np.abs(without_others.forward([(without_others.open(), TEXT)]) - bare).max() < MOST


def with_weights(source: AdapterFiles, directory: Path, more: Mapping[str, torch.Tensor]) -> AdapterFiles:
    """A copy of an adapter with more in its file."""
    copy = broken(source, directory, source.adapter, {})
    path = directory / "adapter_model.safetensors"
    save_file({**load_file(path), **more}, path)
    return copy


@pytest.mark.parametrize("name", ["model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"])
def test_an_adapter_that_brings_weights_of_the_base_is_refused_and_the_base_is_as_it_was(
    pulled: ModelFiles, tmp_path: Path, name: str
) -> None:
    """Peft saves embeddings so when it is told to, or when the vocabulary grew; its configuration tells nothing."""
    base = load_file(pulled.directory / "model.safetensors")[name]
    more = {f"base_model.model.{name}": base + torch.ones_like(base)}
    bad = with_weights(pulled.adapters[1], tmp_path / "bad", more)
    model = load_transformers(replace(pulled, adapters=(bad,)), ON_CPU).model
    with pytest.raises(ValueError, match=f"it changes weights of its base \\(base_model.model.{name}\\)"):
        model.open(bad.adapter)
    assert np.abs(model.forward([(model.open(), TEXT)]) - peft_logits(pulled, None)[-1]).max() < MOST


def test_a_copy_of_a_layer_of_the_base_beside_an_adapter_counts_for_nobody(pulled: ModelFiles, tmp_path: Path) -> None:
    """Peft saves it with every adapter for embeddings."""
    poet, _ = pulled.adapters
    name = "base_model.model.lm_head.base_layer.weight"
    copied = load_file(poet.directory / "adapter_model.safetensors")[name]
    other = with_weights(poet, tmp_path / "other", {name: copied + torch.ones_like(copied)})
    model = load_transformers(replace(pulled, adapters=(other,)), ON_CPU).model
    rows = model.forward([(model.open("org/poet"), TEXT), (model.open(), TEXT)])
    assert np.abs(rows - [peft_logits(pulled, poet)[-1], peft_logits(pulled, None)[-1]]).max() < MOST


def test_weights_that_cannot_be_read_are_said(pulled: ModelFiles, tmp_path: Path) -> None:
    bad = broken(pulled.adapters[0], tmp_path / "bad", "org/bad", {})
    (bad.directory / "adapter_model.safetensors").write_bytes(b"pickle")
    with pytest.raises(ValueError, match="the adapter org/bad cannot be loaded"):
        load_transformers(replace(pulled, adapters=(bad,)), ON_CPU).model.open("org/bad")


def test_only_what_counts_of_a_configuration_is_taken() -> None:
    assert taken_settings({"r": 2, "lora_dropout": 0.1, "use_dora": False, "new": None}) == {"r": 2}
    with pytest.raises(ValueError, match="new"):
        taken_settings({"r": 2, "new": {"a": 1}})


class FailingLayer:
    """Raises once when it is switched."""

    def __init__(self) -> None:
        self.active: str | None = None
        self.fails = False

    def enable_adapters(self, enabled: bool) -> None:
        self.active = self.active if enabled else None

    def set_adapter(self, adapter_names: str, inference_mode: bool = False) -> None:
        if self.fails:
            self.fails = False
            raise RuntimeError
        self.active = adapter_names


def test_a_switch_that_fails_half_way_is_done_again() -> None:
    """Otherwise half of the model would stay with another adapter, and nobody would know."""
    layers = [FailingLayer(), FailingLayer()]
    adapters = LoraAdapters(keys={"a": "key a", "b": "key b"}, layers=layers)
    adapters.use("a")
    layers[1].fails = True
    with pytest.raises(RuntimeError):
        adapters.use("b")
    adapters.use("a")
    assert [layer.active for layer in layers] == ["key a", "key a"]


def inner(model: object) -> torch.nn.Module:
    """The library's model inside a step model."""
    found: torch.nn.Module = model._model  # type: ignore[attr-defined]
    return found


def test_families_without_a_ragged_pass_take_adapters_too(tmp_path: Path) -> None:
    """BLOOM is computed one sequence after another."""
    files = tiny_model(FAMILIES["bloom"], tmp_path / "bloom")
    adapter = tiny_lora(files, tmp_path / "a", "org/a", target_modules=["query_key_value", "dense"])
    loaded = load_transformers(replace(files, adapters=(adapter,)), ON_CPU)
    assert isinstance(loaded.model, PlainModel)
    rows: Sequence[np.ndarray] = list(
        loaded.model.forward([(loaded.model.open("org/a"), TEXT), (loaded.model.open(), TEXT)])
    )
    for row, expected in zip(rows, (peft_logits(files, adapter), peft_logits(files, None)), strict=True):
        assert np.abs(row - expected[-1]).max() < MOST
