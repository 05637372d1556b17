"""Which engine `auto` takes, and what becomes of one that cannot load the model."""

from __future__ import annotations

import os
from importlib.util import find_spec
from itertools import combinations, product
from pathlib import Path

import pytest

from botbridge.inference.choice import (
    ADDED_BY,
    engine_order,
    faster_engine,
    installed_engines,
    missing_note,
)
from botbridge.inference.engines.base import EngineInfo
from botbridge.inference.engines.echo import EchoEngine
from botbridge.inference.engines.loaders import LLAMACPP_SPINS, loader
from botbridge.inference.options import EngineOptions
from botbridge.inference.unserved import why_unserved
from botbridge.inference.worker import Assignment, load_engine
from botbridge.models.files import ModelFiles

ALL = frozenset({"transformers", "llamacpp", "openvino"})


@pytest.fixture
def both_forms(tmp_path: Path) -> ModelFiles:
    """A model in both forms, as far as names go."""
    for name in ("model.safetensors", "model.gguf"):
        (tmp_path / name).touch()
    return ModelFiles("m", "r", tmp_path)


class StubbornEngine(EchoEngine):
    """Loads nothing."""

    def load(self, files: ModelFiles | None, options: EngineOptions) -> EngineInfo:
        """Refuse."""
        raise RuntimeError("I do not like it")


def test_without_measurements_the_usual_order_holds() -> None:
    assert engine_order((), ALL, has_gguf=True, has_safetensors=True, slots=4) == (
        "llamacpp",
        "openvino",
        "transformers",
    )
    assert engine_order((), ALL, has_gguf=False, has_safetensors=True, slots=4) == ("transformers",)
    assert engine_order((), ALL, has_gguf=True, has_safetensors=False, slots=4) == ("llamacpp", "openvino")


def test_where_many_are_answered_at_once_the_engine_for_many_comes_first() -> None:
    def first(slots: int) -> str:
        return engine_order((), ALL, has_gguf=True, has_safetensors=True, slots=slots)[0]

    assert [first(slots) for slots in (1, 7, 8, 64)] == ["llamacpp", "llamacpp", "openvino", "openvino"]


def test_what_was_measured_comes_first_as_far_as_it_is_still_here() -> None:
    order = engine_order(("openvino", "llamacpp"), ALL - {"llamacpp"}, has_gguf=True, has_safetensors=True, slots=4)
    assert order == ("openvino", "transformers")


def test_an_engine_of_a_stranger_is_never_tried() -> None:
    """A stored measurement may name what this version does not know."""
    assert engine_order(("quantum",), ALL | {"quantum"}, has_gguf=False, has_safetensors=True, slots=4) == (
        "transformers",
    )


def test_transformers_is_always_installed() -> None:
    assert "transformers" in installed_engines()


def test_a_faster_engine_that_is_missing_is_named_with_its_command() -> None:
    for_few = faster_engine(ALL - {"llamacpp"}, 4, has_gguf=True)
    for_many = faster_engine(ALL - {"openvino"}, 8, has_gguf=True)
    assert (for_few, for_many) == ("llamacpp", "openvino")
    assert "make native" in missing_note("llamacpp")
    assert "make setup" in missing_note("openvino")
    assert faster_engine(ALL, 4, has_gguf=True) is None
    assert faster_engine(ALL - {"llamacpp"}, 4, has_gguf=False) is None


def test_where_only_one_engine_serves_no_other_would_be_faster() -> None:
    alone = ALL - {"llamacpp"}
    assert faster_engine(alone, 4, has_gguf=True, device="cuda") is None
    assert faster_engine(alone, 4, has_gguf=True, has_adapters=True) is None


def test_on_cuda_transformers_is_tried_alone_whatever_was_measured_on_the_processor() -> None:
    order = engine_order(("llamacpp",), ALL, has_gguf=True, has_safetensors=True, slots=4, device="cuda")
    assert order == ("transformers",)
    assert engine_order((), ALL, has_gguf=True, has_safetensors=False, slots=4, device="cuda") == ()


def load(
    files: ModelFiles | None,
    engines: dict[str, EchoEngine],
    engine: str = "auto",
    fatal: tuple[tuple[str, str], ...] = (),
    device: str = "auto",
    quantize: str = "none",
) -> tuple[str, tuple[str, ...]]:
    """Which engine was loaded, and its notes; missing ones raise as an import would."""
    made: list[str] = []

    def create(name: str) -> EchoEngine:
        made.append(name)
        return engines[name]

    fastest = ("llamacpp", "openvino", "transformers")
    options = EngineOptions(engine=engine, device=device, quantize=quantize, fastest_engines=fastest)
    assignment = Assignment(1, options, files, 1.0, fatal_engines=fatal)
    _, info = load_engine(assignment, create, lambda _: None)
    return made[-1], info.notes


@pytest.mark.skipif(
    installed_engines() == {"transformers"}, reason="no second engine is installed; `make setup` adds openvino"
)
def test_an_engine_that_cannot_load_the_model_gives_way_to_the_next_and_the_operator_is_told(
    both_forms: ModelFiles,
) -> None:
    engines = dict.fromkeys(("llamacpp", "openvino"), StubbornEngine()) | {"transformers": EchoEngine()}
    name, notes = load(both_forms, engines)
    assert name == "transformers"
    assert any("RuntimeError: I do not like it" in note for note in notes)


@pytest.mark.parametrize("wanted", ["auto", "llamacpp", "openvino", "transformers", "echo"])
@pytest.mark.parametrize("quantize", ["none", "int8"])
def test_a_quantization_that_the_engine_does_not_make_is_told(
    both_forms: ModelFiles, wanted: str, quantize: str
) -> None:
    """Whether the engine was named or chosen; transformers makes it, and an echo has nothing to quantize."""
    name, notes = load(both_forms, dict.fromkeys((*ALL, "echo"), EchoEngine()), wanted, quantize=quantize)
    told = [note for note in notes if "BOTBRIDGE_INFERENCE__QUANTIZE=int8" in note]
    if quantize == "int8" and name in {"llamacpp", "openvino"}:
        (note,) = told
        assert f"the engine {name}:" in note
        assert "the engine transformers heeds it" in note
    else:
        assert told == []


def test_where_no_engine_can_load_it_every_reason_is_told(both_forms: ModelFiles) -> None:
    engines = dict.fromkeys(installed_engines(), StubbornEngine())
    with pytest.raises(ValueError, match=r"transformers could not load the model: RuntimeError: I do not like it"):
        load(both_forms, engines)


def test_where_no_engine_is_tried_the_operator_is_told_what_lets_one_be(both_forms: ModelFiles) -> None:
    for path in both_forms.directory.glob("*.safetensors"):
        path.unlink()
    with pytest.raises(ValueError, match=r"takes safetensors; `echo BOTBRIDGE_INFERENCE__DEVICE=auto .*` mends that"):
        load(both_forms, {}, device="cuda")


@pytest.mark.skipif(
    installed_engines() == {"transformers"}, reason="no second engine is installed; `make setup` adds openvino"
)
def test_an_engine_that_took_a_worker_with_it_is_left_out_and_the_operator_is_told(both_forms: ModelFiles) -> None:
    first, second = [name for name in ("llamacpp", "openvino", "transformers") if name in installed_engines()][:2]
    engines = dict.fromkeys(installed_engines(), EchoEngine())
    assert load(both_forms, engines)[0] == first
    name, notes = load(both_forms, engines, fatal=((first, "worker 1 was ended by SIGILL"),))
    assert name == second
    assert f"The engine {first} is left out: with it, worker 1 was ended by SIGILL." in notes


def test_where_every_engine_took_a_worker_with_it_all_are_named(both_forms: ModelFiles) -> None:
    fatal = tuple((name, "worker 1 was ended by SIGILL") for name in sorted(installed_engines()))
    with pytest.raises(ValueError, match="The engine transformers is left out: with it, worker 1 was ended by SIGILL"):
        load(both_forms, {}, fatal=fatal)


def test_a_model_in_no_known_form_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no engine computes this model in this form"):
        load(ModelFiles("m", "r", tmp_path), {})


@pytest.mark.parametrize("engine", ["llamacpp", "openvino"])
def test_weights_for_which_there_is_no_room_are_refused_with_the_numbers(tmp_path: Path, engine: str) -> None:
    """Before a byte of them is read: the file is as large as it says and takes no disk."""
    if engine not in installed_engines():
        pytest.skip(f"the engine {engine} is not installed; `{ADDED_BY[engine]}` adds it")
    with (tmp_path / "model.gguf").open("wb") as file:
        file.truncate(10**13)
    with pytest.raises(MemoryError, match=r"the weights need [12]0000\.0 GB, and \d+\.\d GB of memory were free"):
        loader(engine)(ModelFiles("m", "r", tmp_path), EngineOptions(engine=engine))


@pytest.mark.parametrize("engine", ["llamacpp", "openvino"])
def test_an_engine_for_the_cpu_is_not_taken_where_another_device_was_asked_for(tmp_path: Path, engine: str) -> None:
    if engine not in installed_engines():
        pytest.skip(f"the engine {engine} is not installed; `{ADDED_BY[engine]}` adds it")
    (tmp_path / "model.gguf").touch()
    with pytest.raises(ValueError, match=f"the {engine} engine computes on the CPU, not on 'cuda'"):
        loader(engine)(ModelFiles("m", "r", tmp_path), EngineOptions(engine=engine, device="cuda"))


def test_an_engine_that_was_asked_for_has_no_substitute(both_forms: ModelFiles) -> None:
    with pytest.raises(RuntimeError, match="I do not like it"):
        load(both_forms, {"openvino": StubbornEngine()}, engine="openvino")


def test_an_engine_that_nobody_knows_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="there is no engine named 'quantum'"):
        loader("quantum")


@pytest.mark.skipif(
    find_spec("llama_cpp") is None, reason="the engine llamacpp is not installed; `make native` adds it"
)
@pytest.mark.parametrize(("set_before", "found"), [(None, LLAMACPP_SPINS), ("5", "5")])
def test_threads_of_llamacpp_wait_briefly_unless_the_operator_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, set_before: str | None, found: str
) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", set_before or "")
    if set_before is None:
        monkeypatch.delenv("GOMP_SPINCOUNT")
    loader("llamacpp")
    assert os.environ["GOMP_SPINCOUNT"] == found


ENGINES = ("llamacpp", "openvino", "transformers")
SOME = [frozenset(some) for count in range(4) for some in combinations(ENGINES, count)]


def first_of(engines: frozenset[str], forms: dict[str, bool], wanted: str, device: str) -> tuple[str, ...]:
    return engine_order((), engines, **forms, slots=1, wanted=wanted, device=device)


def test_what_is_said_to_let_an_engine_compute_a_model_does() -> None:
    """In every case that there is; and nothing has to be installed where a setting alone would do."""
    truths = (False, True)
    cases = product(("auto", *ENGINES), SOME, SOME, truths, truths, ("auto", "cuda"), truths)
    for wanted, installed, computing, has_gguf, has_safetensors, device, has_gpu in cases:
        forms = {"has_gguf": has_gguf, "has_safetensors": has_safetensors}
        here, all_of_them = installed & computing, frozenset(ENGINES) & computing
        why = why_unserved(wanted, installed, **forms, device=device, computing=computing, has_gpu=has_gpu)
        assert (why is None) is bool(first_of(here, forms, wanted, device))
        if why is None:
            continue
        if not why.command:
            assert not first_of(all_of_them, forms, "auto", "auto")
            continue
        changed = "auto" if why.other else wanted, "auto" if why.wants_any_device else device
        assert first_of(here | ({why.missing} - {None}), forms, *changed)
        devices = {device, "auto"} if has_gpu else {"auto"}
        by_setting = any(first_of(here, forms, engine, on) for engine in (wanted, "auto") for on in devices)
        if not first_of(all_of_them, forms, wanted, device):
            assert (why.missing is None) is by_setting
            assert why.wants_any_device or device in devices
