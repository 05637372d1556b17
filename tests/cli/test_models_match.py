"""`botbridge models match` as an operator types it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from botbridge.cli.match_page import match_page
from botbridge.cli.model_words import language_of
from botbridge.cli.models import models_app
from botbridge.cli.models_match import facts_of
from botbridge.cli.tongue import Tongue
from botbridge.engine_at_hand import computes_on_cuda
from botbridge.machine.probe import LocalProbe
from botbridge.models.catalogue import load_catalogue
from botbridge.models.facts import Task
from botbridge.models.fitting import Verdict
from botbridge.models.match import match
from botbridge.models.match_facts import Room, Wish
from tests.fakes.schemas import complaints
from tests.fakes.small_catalogue import SMALL_CATALOGUE

runner = CliRunner()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BOTBRIDGE_HOME", str(tmp_path))
    return tmp_path


def run(*words: str) -> Result:
    return runner.invoke(models_app, ["match", *words])


def printed(*words: str) -> Any:
    return json.loads(run(*words, "--json").stdout)


@pytest.mark.parametrize(
    "wish",
    [
        Wish(needs=(Task.MATHS, Task.LOGIC), use="saas"),
        Wish(needs=(Task.CHAT,), room=Room(10**8, 10**8)),
        Wish(languages=("xx",)),
    ],
)
def test_what_is_printed_has_the_published_form(wish: Wish) -> None:
    facts = facts_of(match(SMALL_CATALOGUE.entries, wish), wish, SMALL_CATALOGUE)
    assert complaints("match", json.loads(json.dumps(facts))) == []


def test_the_command_prints_it_for_this_machine() -> None:
    facts = printed("--need", "chat", "--cpu", "--quantized", "--max-params", "7B", "--use", "saas")
    assert complaints("match", facts) == []
    assert facts["room"]["memory_bytes"] > 0
    assert [found["model"] for found in facts["matches"]][-1:] != []
    assert (facts["needs"], facts["use"]) == (["chat"], "saas")


def test_a_low_end_laptop_is_another_machine() -> None:
    facts = printed("--need", "chat", "--low-end")
    assert facts["room"] == {"memory_bytes": 6_000_000_000, "disk_bytes": None}
    assert facts["load"]["conversations"] == 1


def test_each_model_is_printed_with_its_reasons_and_its_command() -> None:
    out = run("--need", "chat", "--max-params", "0.2B").stdout
    assert out.startswith("1. smollm2-135m-instruct: ")
    assert "\n     chat: among its tasks\n" in out
    assert "\n     botbridge models " in out


def test_forms_of_every_size_are_offered_unless_only_quantized_ones_are_wanted() -> None:
    """As its publisher has it a model can be pulled."""
    offered = {found["model"]: found for found in printed("--need", "chat", "--max-params", "0.6B")["matches"]}
    assert offered["qwen3-0.6b"]["command"] == "botbridge models pull qwen3-0.6b"
    assert (offered["qwen3-0.6b"]["form"], offered["qwen3-0.6b"]["offered"]) == ("BF16", True)
    quantized = {found["model"]: found for found in printed("--need", "chat", "--quantized")["matches"]}
    assert quantized["qwen3-0.6b"]["offered"] is False
    assert "BF16" not in {found["form"] for found in quantized.values()}


def test_the_engine_of_the_settings_is_the_one_that_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOTBRIDGE_INFERENCE__ENGINE", "openvino")
    found = printed("--need", "chat", "--max-params", "0.2B")["matches"][0]
    assert (found["form"], found["runtime"]) == ("Q4_1", "openvino")


def test_on_cuda_the_engine_that_computes_there_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOTBRIDGE_INFERENCE__DEVICE", "cuda")
    found = printed("--need", "chat", "--max-params", "0.6B")["matches"]
    assert {each["runtime"] for each in found} == {"transformers"}
    assert {each["memory_verdict"] for each in found} == {"not known whether it fits"}
    assert complaints("match", printed("--need", "chat", "--max-params", "0.6B")) == []


def test_a_gpu_that_is_asked_for_and_not_here_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOTBRIDGE_INFERENCE__DEVICE", "cuda")
    machine = LocalProbe().look(Path.cwd())
    done = run("--need", "chat", "--max-params", "0.2B")
    assert ("BOTBRIDGE_INFERENCE__DEVICE=auto" in done.stderr) is not computes_on_cuda(machine)
    assert "cuda" not in run("--need", "chat", "--max-params", "0.2B", "--json").stdout


def test_of_those_that_are_not_shown_the_unsure_ones_are_counted_apart() -> None:
    wish = Wish(needs=(Task.CHAT,), room=Room(20 * 10**9))
    answer = match(SMALL_CATALOGUE.entries, wish)
    fit = sum(each.verdict is Verdict.FITS for each in answer.matches)
    assert 0 < fit < len(answer.matches)
    told = list(match_page(answer, 0, SMALL_CATALOGUE, language_of(Tongue.EN)))
    assert told[0] == f"{fit} more fit; --top shows more of them."
    assert told[1].startswith(f"Of {len(answer.matches) - fit} more it is not known whether they fit")


def test_in_arabic_all_but_the_json_is_arabic() -> None:
    assert "رياضيات" in run("--need", "maths", "--lang", "ar").stdout
    plain, arabic = printed("--need", "maths"), printed("--need", "maths", "--lang", "ar")
    assert [each["model"] for each in arabic["matches"]] == [each["model"] for each in plain["matches"]]
    assert complaints("match", arabic) == []
    assert not re.search("[\u0600-\u06ff]", json.dumps(arabic, ensure_ascii=False))


def test_where_nothing_fits_the_exit_code_is_1_and_advice_is_given() -> None:
    done = run("--languages", "xx")
    assert done.exit_code == 1
    assert "No model of the catalogue fits.\n- " in done.stdout


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--max-params", "huge", "is no size"),
        ("--quantization", "3.14-bit", "is no form of weights"),
        ("--languages", "English please", "neither a number nor a list"),
        ("--need", "translation", "--need"),
        ("--use", "war", "--use"),
        ("--runtime", "ollama", "--runtime"),
    ],
)
def test_what_cannot_be_understood_is_wrong_use(option: str, value: str, told: str) -> None:
    done = run(option, value)
    assert done.exit_code == 2
    assert told in done.output


def test_nothing_is_made_in_a_home_that_is_not_there(home: Path) -> None:
    run("--need", "chat")
    assert list(home.iterdir()) == []


def test_what_nobody_looked_up_of_a_match_is_told_with_it() -> None:
    catalogue = load_catalogue()
    wish = Wish(languages=("ar",), room=Room(10**12, 10**12))
    found = {each["model"]: each for each in facts_of(match(catalogue.entries, wish), wish, catalogue)["matches"]}
    unsure = found["falcon-h1-arabic-3b-instruct"]
    assert (unsure["not_verified"], unsure["parameters_are_round"]) == (["gated", "licence", "openness"], True)
    sure = found["qwen3-1.7b"]
    assert (sure["not_verified"], sure["parameters_are_round"]) == ([], False)


def test_people_read_it_below_the_reasons() -> None:
    told = run("--languages", "ar", "--top", "100").stdout
    assert "not verified: gated, licence, openness\n" in told
    assert "about 3,000,000,000 parameters, a 3B\n" in told
