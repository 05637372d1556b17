"""`models match`, `doctor` and `plan` say the same of one model on one machine, whatever machine and settings."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import pytest

from botbridge.engine_at_hand import engines_for, holding_of, room_of
from botbridge.errors import ModelLoadError, NotMeasured
from botbridge.inference.choice import installed_engines
from botbridge.machine.doctor_facts import Examined, Status
from botbridge.machine.doctor_machine import disk, memory
from botbridge.machine.figures import write_report
from botbridge.machine.plan import Plan, measured_speed
from botbridge.machine.plan_report import as_facts
from botbridge.machine.probe import MachineFacts, TorchBuild
from botbridge.model_at_hand import look_at_model
from botbridge.models.catalogue import load_catalogue
from botbridge.models.facts import CatalogueEntry
from botbridge.models.fitting import Judgement, Verdict
from botbridge.models.match import match
from botbridge.models.match_facts import MOST_EXACT_FIRST, Room, Wish
from botbridge.models.runtimes import Runtime
from botbridge.models.to_come import name_of
from botbridge.planning import measure_of, planned_memory
from botbridge.setting_groups import DEFAULT_MODEL
from botbridge.settings import Settings, load_settings
from tests.fakes.machines import CONTAINER, GB, LAPTOP, MAC, RELIC, SERVER
from tests.machine.test_plan import FAST, REPORT, planned

CATALOGUE = load_catalogue()
MODELS = (
    "smollm2-135m-instruct",
    "qwen3-1.7b",
    "llama-3.2-1b-instruct",
    "mistral-7b-instruct-v0.1",
    "mistral-7b-instruct-v0.1-gguf",
    "phi-2",
    "phi-4-mini-instruct",
    "gpt2",
)
"""From a wheel, from the hub as numbers of 16 bits and as a GGUF, with a cache of known size and without."""

BUSY = replace(SERVER, memory=replace(SERVER.memory, available_bytes=GB))
MACHINES = {
    "server": SERVER,
    "container": CONTAINER,
    "laptop": LAPTOP,
    "relic": RELIC,
    "mac": MAC,
    "busy": BUSY,
    "bot runs": replace(BUSY, memory=replace(BUSY.memory, bot_bytes=19 * GB)),
}
SETTINGS: dict[str, dict[str, str]] = {
    "defaults": {},
    "many slots": {"INFERENCE__SLOTS": "16", "INFERENCE__CACHE_BYTES": "0"},
    "float32": {
        "INFERENCE__CONTEXT_TOKENS": "512",
        "INFERENCE__DTYPE": "float32",
        "INFERENCE__CACHE_BYTES": "8000000000",
    },
}


def said_by_doctor(settings: Settings, machine: MachineFacts) -> tuple[Verdict, str, str]:
    """Its verdict, the sentence that it is told in, and what all is made of."""
    model, engines = look_at_model(settings, machine, lambda _: None)
    assert model.need is not None
    row = memory(Examined(machine, model, engines))
    verdict = {
        Status.OK: Verdict.FITS,
        Status.OPTIONAL: Verdict.FITS,
        Status.UPGRADE: Verdict.DOES_NOT_FIT,
        Status.UNKNOWN: Verdict.UNKNOWN,
    }
    return verdict[row.status], row.upgrade.partition("; ")[0], row.needed.partition(": ")[2]


@cache
def some_plan() -> Plan:
    """What all else of a plan is does not matter here."""
    return planned()


def said_by_plan(settings: Settings, machine: MachineFacts) -> tuple[Verdict, str, str]:
    """The same."""
    taken = planned_memory(settings, machine, engine=None, quantization=None)
    assert taken.judgement is not None
    told = as_facts(replace(some_plan(), memory=taken))["memory"]
    assert told["least_bytes"] == taken.judgement.need.least_bytes
    return told["verdict"], str(taken.judgement), str(taken.judgement.need)


def said_by_match(settings: Settings, machine: MachineFacts, model: str) -> tuple[Verdict, str, str]:
    """The same of the form that `models pull MODEL` takes; one that is left out has no parts."""
    wish = Wish(
        forms=frozenset(MOST_EXACT_FIRST),
        holding=holding_of(settings, machine),
        room=room_of(machine),
        engines_for=partial(engines_for, settings, CATALOGUE),
        engines_here=installed_engines(),
    )
    entry = CATALOGUE.find(model)
    answer = match([entry], replace(wish, forms=frozenset({pulled_form(entry)})))
    if answer.refusals:
        (refusal,) = answer.refusals
        assert "does not fit: " in refusal.reason
        return (
            Verdict.DOES_NOT_FIT,
            "does not fit: " + refusal.reason.partition("does not fit: ")[2].rpartition(": ")[0],
            "",
        )
    (found,) = answer.matches
    judgement = Judgement(found.offer.need, wish.room.memory_bytes)
    assert any(reason.endswith(str(judgement)) for reason in found.reasons)
    return judgement.verdict, str(judgement), str(found.offer.need)


def pulled_form(entry: CatalogueEntry) -> str:
    """The form in which the model's own name is pulled, the smallest if several come."""
    return next(form for form in reversed(MOST_EXACT_FIRST) if name_of(entry, form) == entry.id)


@pytest.mark.parametrize(
    ("model", "machine", "options"),
    [
        # Each model on each machine, and each of both with each set of settings.
        pytest.param(model, machine, options, id=f"{model}-{name}-{said}")
        for place, model in enumerate(MODELS)
        for number, (name, machine) in enumerate(MACHINES.items())
        for said, options in SETTINGS.items()
        if said == "defaults" or (place + number) % len(SETTINGS) == list(SETTINGS).index(said)
    ],
)
def test_all_three_say_the_same(tmp_path: Path, model: str, machine: MachineFacts, options: dict[str, str]) -> None:
    machine = replace(machine, disk_free_bytes=10**15)
    settings = load_settings(
        {"HOME": str(tmp_path), "INFERENCE__MODEL": model, **options},
        env_file=tmp_path / ".env",
        secrets_dir=tmp_path / "secrets",
    )
    doctor, plan = said_by_doctor(settings, machine), said_by_plan(settings, machine)
    asked = said_by_match(settings, machine, model)
    assert doctor[0] == plan[0] == asked[0]
    assert doctor[2] == plan[2]
    assert plan[1] == asked[1]
    if doctor[0] is not Verdict.FITS:
        assert doctor[1] == plan[1]
    if doctor[0] is not Verdict.DOES_NOT_FIT:
        assert asked[2] == plan[2]


@pytest.mark.parametrize("free_bytes", [10**9, 2_600_000_000, 2_700_000_000, 10**10])
def test_match_and_doctor_give_the_database_the_same_room_on_the_disk(tmp_path: Path, free_bytes: int) -> None:
    """The numbers of llama-3.2-1b take 2.47 GB in 16 bits, database and backups 0.2."""
    model = "llama-3.2-1b-instruct"
    settings = chosen(tmp_path, INFERENCE__MODEL=model)
    machine = replace(SERVER, disk_free_bytes=free_bytes)
    found, engines = look_at_model(settings, machine, lambda _: None)
    wish = Wish(
        forms=frozenset({pulled_form(CATALOGUE.find(model))}),
        room=room_of(machine),
        engines_for=partial(engines_for, settings, CATALOGUE),
    )
    answer = match([CATALOGUE.find(model)], wish)
    assert (disk(Examined(machine, found, engines)).status is Status.UPGRADE) is bool(answer.refusals)
    assert bool(answer.refusals) is (free_bytes < 2_680_000_000)


needs_both = pytest.mark.skipif(
    not {"llamacpp", "openvino"} <= installed_engines(), reason="`make setup` adds openvino, `make native` llamacpp"
)


@needs_both
def test_where_the_engine_that_is_tried_first_does_not_fit_the_next_is_judged(tmp_path: Path) -> None:
    """OpenVINO, the first for many, takes more; the worker goes on to llama.cpp."""
    model, options = "mistral-7b-instruct-v0.1-gguf", {"INFERENCE__SLOTS": "8", "INFERENCE__CONTEXT_TOKENS": "512"}
    settings = load_settings(
        {"HOME": str(tmp_path), "INFERENCE__MODEL": model, **options}, env_file=tmp_path / ".env", secrets_dir=tmp_path
    )
    told = {}
    for has_gb in (20, 6, 2):
        machine = replace(SERVER, memory=replace(SERVER.memory, available_bytes=has_gb * GB))
        doctor, plan = said_by_doctor(settings, machine), said_by_plan(settings, machine)
        assert doctor[0] == plan[0] == said_by_match(settings, machine, model)[0]
        assert doctor[2] == plan[2]
        _, engines = look_at_model(settings, machine, lambda _: None)
        told[has_gb] = doctor[0], engines.taken, engines.passed_over is not None
    assert told == {
        20: (Verdict.FITS, "openvino", False),
        6: (Verdict.FITS, "llamacpp", True),
        2: (Verdict.DOES_NOT_FIT, "llamacpp", False),
    }


def test_on_cuda_all_three_judge_the_engine_that_computes_there(tmp_path: Path) -> None:
    """Of a GPU's memory nobody knows; what has to be there is told, and the rest is judged."""
    settings = load_settings(
        {"HOME": str(tmp_path), "INFERENCE__MODEL": "qwen3-1.7b", "INFERENCE__DEVICE": "cuda"},
        env_file=tmp_path / ".env",
        secrets_dir=tmp_path,
    )
    doctor, plan = said_by_doctor(settings, SERVER), said_by_plan(settings, SERVER)
    assert doctor == plan == said_by_match(settings, SERVER, "qwen3-1.7b")
    assert plan[0] is Verdict.UNKNOWN
    assert "needs 1.1 GB and 5.5 GB of a GPU's, has 20.0 GB" in plan[1]
    assert "botbridge with transformers" in plan[2]
    assert said_by_doctor(settings, RELIC)[0] is Verdict.DOES_NOT_FIT


def test_what_fetching_takes_is_judged_where_it_is_more_than_serving(tmp_path: Path) -> None:
    """The embedded model is turned into safetensors once, by torch; serving it with llama.cpp takes half of that."""
    options = {"INFERENCE__SLOTS": "1", "INFERENCE__CACHE_BYTES": "0", "INFERENCE__ENGINE": "llamacpp"}
    settings = load_settings(
        {"HOME": str(tmp_path), **options}, env_file=tmp_path / ".env", secrets_dir=tmp_path / "secrets"
    )
    machine = replace(SERVER, memory=replace(SERVER.memory, available_bytes=GB))
    doctor, plan = said_by_doctor(settings, machine), said_by_plan(settings, machine)
    asked = said_by_match(settings, machine, DEFAULT_MODEL)
    assert doctor[0] == plan[0] == asked[0] == Verdict.DOES_NOT_FIT
    assert doctor[1] == plan[1] == asked[1] == "does not fit: needs 1.1 GB, has 1.0 GB"
    assert doctor[2] == plan[2]
    assert plan[2].startswith("while it is fetched 1.0 GB; weights 118 MB")


def test_a_plan_goes_by_the_speed_of_the_engine_that_serves(tmp_path: Path) -> None:
    """And not by that of a faster one that the worker passes over; what was not measured is not guessed."""
    write_report(tmp_path, replace(REPORT, model=DEFAULT_MODEL))
    settings = load_settings(
        {"HOME": str(tmp_path), "INFERENCE__DEVICE": "cuda"}, env_file=tmp_path / ".env", secrets_dir=tmp_path
    )
    assert measure_of(settings, SERVER, engine=None, tokens_per_s=None).engine == "transformers"
    write_report(tmp_path, replace(REPORT, model=DEFAULT_MODEL, engines=(FAST,)))
    with pytest.raises(NotMeasured, match="the engine transformers was not measured"):
        measure_of(settings, SERVER, engine=None, tokens_per_s=None)


def test_a_gpu_that_torch_is_built_for_is_computed_on_unasked(tmp_path: Path) -> None:
    settings = load_settings({"HOME": str(tmp_path)}, env_file=tmp_path / ".env", secrets_dir=tmp_path)
    with_gpu = replace(SERVER, has_cuda_device=True, torch=TorchBuild("2.13.0", "13.0"))
    assert [holding_of(settings, machine).on_gpu for machine in (SERVER, with_gpu)] == [False, True]
    assert not holding_of(settings, replace(with_gpu, torch=SERVER.torch)).on_gpu


@pytest.mark.parametrize("engine", ["openvino", "transformers", "llamacpp"])
def test_the_engine_of_the_settings_is_the_one_that_is_judged(tmp_path: Path, engine: str) -> None:
    """Where it is not installed, both judge another, and the same."""
    settings = load_settings(
        {"HOME": str(tmp_path), "INFERENCE__ENGINE": engine}, env_file=tmp_path / ".env", secrets_dir=tmp_path
    )
    doctor, plan = said_by_doctor(settings, SERVER), said_by_plan(settings, SERVER)
    assert doctor[0::2] == plan[0::2]
    if engine in installed_engines():
        assert f"botbridge with {engine} " in plan[2]
    if engine != "transformers":  # of its two forms `match` shows the GGUF first
        assert said_by_match(settings, SERVER, DEFAULT_MODEL) == plan


def test_the_engine_that_was_measured_fastest_is_the_one_that_is_judged(tmp_path: Path) -> None:
    slower = replace(FAST, engine="llamacpp", decode_tokens_s=dict.fromkeys(FAST.decode_tokens_s, 1.0))
    report = replace(REPORT, model=DEFAULT_MODEL, engines=(replace(FAST, engine="openvino"), slower))
    write_report(tmp_path, report)
    settings = load_settings({"HOME": str(tmp_path)}, env_file=tmp_path / ".env", secrets_dir=tmp_path)
    assert measured_speed(report, "auto", DEFAULT_MODEL, 4).engine == "openvino"
    asked = said_by_match(settings, SERVER, DEFAULT_MODEL)
    assert asked == said_by_plan(settings, SERVER)
    assert asked[2] == said_by_doctor(settings, SERVER)[2]
    assert "botbridge with openvino" in asked[2]


def test_the_table_has_every_answer(tmp_path: Path) -> None:
    """Else agreement would be cheap."""
    found = set()
    for model in MODELS:
        for machine in MACHINES.values():
            settings = load_settings(
                {"HOME": str(tmp_path), "INFERENCE__MODEL": model}, env_file=tmp_path / ".env", secrets_dir=tmp_path
            )
            found.add(said_by_doctor(settings, machine)[0])
    assert found == {*Verdict}


@pytest.mark.parametrize("model", MODELS)
def test_a_bot_that_runs_changes_no_answer(tmp_path: Path, model: str) -> None:
    settings = load_settings(
        {"HOME": str(tmp_path), "INFERENCE__MODEL": model}, env_file=tmp_path / ".env", secrets_dir=tmp_path
    )
    beside, alone = MACHINES["bot runs"], SERVER
    assert said_by_doctor(settings, beside) == said_by_doctor(settings, alone)
    assert said_by_plan(settings, beside) == said_by_plan(settings, alone)
    assert said_by_match(settings, beside, model) == said_by_match(settings, alone, model)


def chosen(home: Path, **options: str) -> Settings:
    return load_settings({"HOME": str(home), **options}, env_file=home / ".env", secrets_dir=home / "secrets")


def engine_of_match(settings: Settings, model: str) -> str | None:
    """Of all forms that can be pulled the engine of the one that is offered; None where none is."""
    wish = Wish(
        forms=frozenset(MOST_EXACT_FIRST),
        holding=holding_of(settings, SERVER),
        room=Room(10**12, 10**12),
        engines_for=partial(engines_for, settings, CATALOGUE),
        engines_here=installed_engines(),
    )
    matches = match([CATALOGUE.find(model)], wish).matches
    return matches[0].offer.runtime.engine if matches and matches[0].offer.is_offered else None


@pytest.mark.parametrize("device", ["auto", "cuda"])
@pytest.mark.parametrize("engine", ["auto", "transformers", "llamacpp", "openvino"])
@pytest.mark.parametrize(
    "model", [DEFAULT_MODEL, "qwen3-1.7b", "mistral-7b-instruct-v0.1-gguf", "bloomz-3b", "m2m100-1.2b"]
)
def test_all_three_take_the_same_engine_or_say_that_none_serves(
    tmp_path: Path, model: str, engine: str, device: str
) -> None:
    settings = chosen(
        tmp_path, INFERENCE__MODEL=model, INFERENCE__ENGINE=engine, INFERENCE__DEVICE=device, INFERENCE__SLOTS="1"
    )
    found, engines = look_at_model(settings, SERVER, lambda _: None)
    asked = engine_of_match(settings, model)
    if found.need is not None:
        planned_for = planned_memory(settings, SERVER, engine=None, quantization=None).judgement
        assert planned_for is not None
        assert planned_for.need.engine == found.need.engine == asked
        assert engine in {"auto", asked}
        assert engines.taken in {None, asked}
        assert (engines.taken is None) is (asked not in installed_engines())
        return
    assert (engines.taken, asked) == (None, None)
    row = memory(Examined(SERVER, found, engines))
    assert row.needed == "not known without an engine that computes the model"
    with pytest.raises(ModelLoadError, match=r"BOTBRIDGE_INFERENCE__DEVICE=auto|--engine \w+ plan|models match"):
        planned_memory(settings, SERVER, engine=None, quantization=None)


@pytest.mark.parametrize("engine", ["remote", "echo"])
def test_an_engine_without_a_model_here_takes_the_service_alone_on_every_page(tmp_path: Path, engine: str) -> None:
    settings = chosen(tmp_path, INFERENCE__ENGINE=engine, INFERENCE__REMOTE_URL="http://gpu1:8000/v1")
    found, engines = look_at_model(settings, SERVER, lambda _: None)
    assert memory(Examined(SERVER, found, engines)).needed == "128 MB: the service alone"
    assert planned_memory(settings, SERVER, engine=None, quantization=None).is_elsewhere
    wish = Wish(room=Room(10**12), engines_for=partial(engines_for, settings, CATALOGUE))
    answer = match(CATALOGUE.entries, wish)
    assert answer.matches == ()
    assert "BOTBRIDGE_INFERENCE__ENGINE=auto" in answer.advice[0]


def test_a_runtime_that_the_device_excludes_is_never_offered(tmp_path: Path) -> None:
    settings = chosen(tmp_path, INFERENCE__DEVICE="cuda")
    wish = Wish(runtime=Runtime.LLAMA_CPP, engines_for=partial(engines_for, settings, CATALOGUE))
    answer = match(CATALOGUE.entries, wish)
    assert answer.matches == ()
    assert "BOTBRIDGE_INFERENCE__DEVICE=auto" in answer.advice[0]
