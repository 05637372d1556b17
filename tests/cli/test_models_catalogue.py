"""`botbridge models list|show|search|compare|openness|add`: what they print, and that it keeps to its schema."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from botbridge.cli.models import models_app
from botbridge.errors import CatalogueInvalid, ModelNotFound
from botbridge.machine.figures import EngineFigures, Report, write_report
from botbridge.models.catalogue import load_catalogue
from botbridge.models.catalogue_file import own_catalogue_path
from tests.fakes.hub import FakeHub
from tests.fakes.model_sources import tiny_files
from tests.models.own_entries import own_file

runner = CliRunner()
SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "schemas" / "models.json").read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BOTBRIDGE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("BOTBRIDGE_HUB__ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with FakeHub() as server:
        server.repository("org/tiny").commit(tiny_files())
        server.listing = [{"id": "org/found", "pipeline_tag": "text-generation", "downloads": 7, "tags": []}]
        monkeypatch.setenv("BOTBRIDGE_HUB__ENDPOINT", server.endpoint)
        yield server


def run(*arguments: str) -> str:
    """Run a command that succeeds and return its stdout."""
    result = runner.invoke(models_app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def facts(kind: str, *arguments: str) -> dict[str, Any]:
    """Run a command with --json and hold what it prints against the schema."""
    printed: dict[str, Any] = json.loads(run(*arguments, "--json"))
    for place in ({"$ref": f"#/$defs/{kind}", "$defs": SCHEMA["$defs"]}, SCHEMA):
        Draft202012Validator(place, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(printed)
    return printed


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_list_prints_every_model_once_a_line_and_how_to_fetch_it() -> None:
    lines = run("list").splitlines()
    for entry in load_catalogue().entries:
        (line,) = (line for line in lines if line.startswith(f"{entry.id} "))
        assert line.endswith(f"not here: botbridge models pull {entry.id}")


def test_list_filters_sorts_and_shows_the_columns_that_are_asked_for() -> None:
    printed = run("list", "--max-params", "7B", "--open", "full", "--sort", "parameters", "--columns", "model,licence")
    rows = [re.split(r"\s{2,}", line.strip()) for line in printed.splitlines()[:3]]
    assert rows == [["model", "licence"], ["tinyllama-1.1b-chat", "Apache-2.0"], ["olmo-2-1b-instruct", "Apache-2.0"]]


def test_list_sorts_by_a_score_and_warns_of_its_many_sources() -> None:
    printed = run("list", "--sort", "hellaswag", "--columns", "model,hellaswag")
    assert printed.splitlines()[1].startswith("neural-chat-7b-v3-1")
    assert "scores come from different sources" in printed


def test_list_as_json_keeps_to_the_schema() -> None:
    printed = facts("list", "list", "--arabic")
    cited = {source for each in printed["catalogue"] for by in each["evidence"].values() for source in by}
    assert cited <= {source["id"] for source in printed["sources"]}
    assert {each["arabic"] for each in printed["catalogue"]} == {"first", "listed"}


def test_nothing_that_fits_is_said_and_is_no_failure() -> None:
    assert "No model of the catalogue fits" in run("list", "--text", "no such words")
    assert facts("list", "list", "--text", "no such words")["catalogue"] == []


def test_a_language_that_may_hide_behind_a_number_is_told_beside_the_list() -> None:
    result = runner.invoke(models_app, ["list", "--language", "fr"])
    assert "qwen3-1.7b" in result.stderr
    assert "qwen3-1.7b" not in result.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["list", "--sort", "size"], "there is no column 'size'"),
        (["list", "--columns", "model,nonsense"], "there is no column 'nonsense'"),
        (["list", "--max-params", "huge"], "'huge' is no size"),
        (["list", "--open", "half"], "half"),
        (["list", "--lang", "fr"], "fr"),
        (["compare", "phi-2"], "name two models or more"),
        (["compare", "phi-2", "microsoft/phi-2"], "name two models or more"),
    ],
)
def test_wrong_use_is_told_and_exits_with_2(arguments: list[str], told: str) -> None:
    result = runner.invoke(models_app, arguments, env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert told in result.output


def test_the_speed_that_bench_measured_here_is_shown(home: Path) -> None:
    figures = EngineFigures("llamacpp", prefill_tokens_s=200.0, decode_tokens_s={1: 21.5})
    write_report(home, Report("Qwen/Qwen3-1.7B", "main", 2, 1e10, (figures,)))
    assert re.search(r"^qwen3-1.7b .* 21.5/s", run("list"), re.MULTILINE)
    first = run("list", "--sort", "speed", "--columns", "model,speed").splitlines()[1]
    assert first.split() == ["qwen3-1.7b", "21.5/s"]
    assert "21.5 tokens/s (llamacpp)" in run("show", "qwen3-1.7b")
    assert "21.5 tokens/s (llamacpp)" in run("compare", "qwen3-1.7b", "phi-2")
    (entry,) = (each for each in facts("list", "list")["catalogue"] if each["id"] == "qwen3-1.7b")
    assert entry["speed"]["decode_tokens_s"] == 21.5


def test_show_prints_each_fact_with_its_sources_and_what_is_not_known_never_as_0() -> None:
    printed = run("show", "gemma-3-270m-it")
    assert re.search(r"^parameters +268,098,176 \(class 0.27 B\) +\[\d\]\[\d\]$", printed, re.MULTILINE)
    assert re.search(r"^Arabic +not known$", printed, re.MULTILINE)
    assert re.search(r"^cache, bytes per token +not known$", printed, re.MULTILINE)
    marks = set(re.findall(r"\[\d+\]", printed))
    assert marks == {line.split()[0] for line in printed.splitlines() if line.startswith("[")}
    assert not re.search(r"(?<![\d.,-])0(?![\d.,-])(?! shown)", printed.partition("[1] ")[0])
    assert "[1] Gemma 3's model card" in printed
    assert "third party: not the publisher's own page" in printed


def test_show_as_json_keeps_to_the_schema_for_each_model() -> None:
    for entry in load_catalogue().entries:
        printed = facts("show", "show", entry.id)
        assert (printed["state"], printed["entry"]["id"]) == ("missing", entry.id)
        assert {source["id"] for source in printed["sources"]} == entry.cited


def test_show_tells_where_files_lie(hub: FakeHub) -> None:
    run("pull", "org/tiny")
    printed = facts("show", "show", "org/tiny")
    assert printed["state"] == "ready"
    assert Path(printed["directory"]).is_dir()
    assert "directory: " in run("show", "org/tiny")


def test_what_was_pulled_by_its_hub_name_is_here(hub: FakeHub) -> None:
    hub.repository("openai-community/gpt2").commit(tiny_files())
    run("pull", "openai-community/gpt2")
    assert re.search(r"^gpt2 .*  here$", run("list"), re.MULTILINE)
    printed = facts("show", "show", "openai-community/gpt2")
    assert (printed["state"], printed["entry"]["here"]) == ("ready", True)


def test_compare_sets_models_side_by_side_with_notes() -> None:
    printed = run("compare", "llama-3.2-1b-instruct", "qwen3-1.7b", "falcon-h1-1.5b-instruct")
    rows = {cells[0]: cells[1:] for line in printed.splitlines() if len(cells := re.split(r"\s{2,}", line)) == 4}
    (mmlu,) = (values for name, values in rows.items() if name.startswith("MMLU, 5 shown"))
    assert mmlu == ["45.93", "57.04", "62.03"]
    assert rows["memory, Q4_K_M"][0] == "0.81 GB; cache 0.13 GB for 4,096 tokens"
    assert rows["memory, Q4_K_M"][2].endswith("cache not known")
    assert "they can be compared" in printed
    assert "tiiuae/Falcon-H1 at 9d2f5fc: README, docs/evaluations.md; 2025-08-20" in printed


def test_compare_says_when_no_scores_can_be_compared() -> None:
    assert "none can be compared" in run("compare", "neural-chat-7b-v3-1", "llama-3.2-3b-instruct")


def test_compare_draws_to_a_file_and_in_the_terminal(tmp_path: Path) -> None:
    drawing = tmp_path / "models.svg"
    run("compare", "qwen3-1.7b", "llama-3.2-1b-instruct", "--plot", str(drawing))
    assert "<svg" in drawing.read_text()
    assert "Models side by side" in run("compare", "qwen3-1.7b", "llama-3.2-1b-instruct", "--plot", "-")


def test_compare_as_json_keeps_the_comparable_apart() -> None:
    printed = facts("compare", "compare", "bloomz-3b", "xglm-7.5b", "gemma-3-1b-it")
    gsm8k = next(each for each in printed["comparable"] if each["benchmark"] == "GSM8K")
    assert gsm8k["percent"] == {"bloomz-3b": 0.0, "xglm-7.5b": 0.23, "gemma-3-1b-it": None}
    assert [each["cache_bytes"] is None for each in printed["memory"]] == [False, False, True]


def test_openness_explains_the_level_the_framework_and_the_clinic() -> None:
    printed = run("openness", "phi-2")
    assert "open weights: architecture yes, weights yes, training code no, training data no [1][2]" in printed
    assert re.search(r"^retrain from the start +no ", printed, re.MULTILINE)
    assert "class III, Open Model at most" in printed
    assert "can only be fine-tuned" in printed
    assert "fully open model, which this one is" in run("openness", "olmo-2-1b-instruct")


def test_openness_as_json_keeps_to_the_schema_for_each_model() -> None:
    for entry in load_catalogue().entries:
        assert facts("openness", "openness", entry.id)["level"] == entry.openness.level


@pytest.mark.parametrize("command", [["show"], ["openness"], ["compare", "gpt2"]])
def test_a_model_that_is_not_there_is_answered_with_names_near_it(command: list[str]) -> None:
    result = runner.invoke(models_app, [*command, "lama-3.2"])
    assert isinstance(result.exception, ModelNotFound)
    assert "near it: llama-3.2-1b-instruct" in str(result.exception)


def test_search_asks_the_hub(hub: FakeHub) -> None:
    printed = facts("search", "search", "--task", "chat", "--max-params", "7B")
    assert (printed["by"], [each["id"] for each in printed["models"]]) == ("hub", ["org/found"])
    assert "org/found" in run("search")
    assert "Nothing was found." in run("search", "--text", "absent")


def test_search_without_a_hub_is_answered_by_the_catalogue_which_says_so() -> None:
    result = runner.invoke(models_app, ["search", "--tag", "gguf", "--max-params", "7B"])
    address = "http://127.0.0.1:9/models?num_parameters=max%3A7.7B&sort=downloads&other=gguf"
    assert result.exit_code == 0
    assert "mistral-7b-instruct-v0.1-gguf" in result.stdout
    assert address in result.stdout
    assert "cannot be reached" in result.stderr
    printed = facts("search", "search", "--tag", "gguf", "--max-params", "7B")
    assert (printed["by"], printed["address"]) == ("catalogue", address)
    assert printed["why"]


def test_what_nobody_looked_up_is_marked_where_the_catalogue_answers_a_search() -> None:
    told = run("search", "--text", "falcon-h1-arabic-3b")
    assert re.search(r"about 3 B .*falcon-llm-license \(not verified\).*\(not verified\)", told)
    (found,) = facts("search", "search", "--text", "falcon-h1-arabic-3b")["models"]
    assert (found["not_verified"], found["parameters_are_round"]) == (["gated", "licence", "openness"], True)


def test_a_hub_that_is_switched_off_is_not_asked(hub: FakeHub, home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "botbridge", "models", "search", "--text", "phi-2", "--json"],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    printed = json.loads(done.stdout)
    assert (printed["by"], [each["id"] for each in printed["models"]]) == ("catalogue", ["phi-2"])
    assert printed["why"] == "HF_HUB_OFFLINE is set, so the hub is not asked"
    assert hub.requests == []


def test_an_added_model_is_known_to_every_command(home: Path) -> None:
    Path("mine.toml").write_text(own_file())
    assert facts("add", "add", "mine.toml") == {"added": ["mine"], "kept_in": str(own_catalogue_path(home))}
    assert re.search(r"^mine .*not here: botbridge models pull mine$", run("list"), re.MULTILINE)
    assert "My card; 2026-01-02" in run("show", "mine")
    assert facts("show", "show", "org/mine")["entry"]["id"] == "mine"
    assert "mine" in run("compare", "mine", "gpt2")
    assert "mine" in run("search", "--text", "mine")
    assert "class III" in run("openness", "mine")
    assert "added" in run("add", "mine.toml", "--replace")


def test_the_settings_may_name_an_added_model(home: Path) -> None:
    from botbridge.chosen import named_model
    from botbridge.settings import load_settings

    Path("mine.toml").write_text(own_file())
    run("add", "mine.toml")
    assert named_model(load_settings({"INFERENCE__MODEL": "mine"})).hub_id == "org/mine"


def test_a_damaged_catalogue_of_ones_own_stops_each_command_with_one_sentence(home: Path) -> None:
    home.mkdir()
    own_catalogue_path(home).write_text("[[model")
    for command in (["list"], ["show", "gpt2"], ["search"], ["openness", "gpt2"], ["compare", "gpt2", "phi-2"]):
        result = runner.invoke(models_app, command)
        assert isinstance(result.exception, CatalogueInvalid), command
        assert "`mv " in str(result.exception)


def test_a_text_of_a_shared_file_cannot_move_the_cursor() -> None:
    Path("mine.toml").write_text(own_file(title="\\u202eMy card", more='strength = "\\u202eno\\u0007"'))
    run("add", "mine.toml")
    for command in (["list", "--columns", "model,use"], ["show", "mine"], ["compare", "mine", "gpt2"]):
        printed = run(*command)
        assert not {"\u202e", "\x07"} & {*printed}


@pytest.mark.parametrize(
    "command",
    [
        ["list"],
        ["list", "--columns", "model,tasks,gated,mmlu"],
        ["show", "qwen3-1.7b"],
        ["compare", "qwen3-1.7b", "bloomz-3b"],
        ["openness", "bloom-7b1"],
        ["search", "--task", "chat"],
    ],
)
def test_in_arabic_the_labels_are_arabic_and_names_and_numbers_stay(command: list[str]) -> None:
    printed = run(*command, "--lang", "ar")
    assert re.search("[\u0600-\u06ff]", printed)
    assert not re.search("[٠-٩]", printed)
    for line in printed.splitlines():
        assert line.count("\u2068") == line.count("\u2069"), line
        if line.startswith("\u200e"):
            continue
        # A line of prose: a Latin name inside it stands in an isolate.
        if re.match("[\u0600-\u06ff]", line):
            assert "botbridge" not in re.sub("\u2068[^\u2069]*\u2069|`[^`]*`", "", line)


UNSURE = "falcon-h1-arabic-3b-instruct"
"""Licence, gate and openness rest on memory, and its publisher rounds its number of parameters."""


@pytest.mark.parametrize(
    "command",
    [
        ["show", UNSURE],
        ["list", "--text", "falcon-h1-arabic", "--columns", "model,parameters,licence,gated,open"],
        ["compare", UNSURE, "qwen3-1.7b"],
    ],
    ids=["show", "list", "compare"],
)
def test_what_nobody_looked_up_is_marked_and_so_is_a_round_number(command: list[str]) -> None:
    page = run(*command)
    assert "falcon-llm-license (not verified)" in page
    assert "no (not verified)" in page
    assert "about 3" in page
    assert "Apache-2.0 (not verified)" not in page
    assert page.count("(not verified)") == 3
    assert run(*command, "--lang", "ar").count("لم يُتحقَّق منه") == 3


def test_openness_that_nobody_looked_up_is_marked() -> None:
    assert run("openness", UNSURE).count("(not verified)") == 2
    assert facts("openness", "openness", UNSURE)["not_verified"] == ["licence", "openness"]
    assert "(not verified)" not in run("openness", "qwen3-1.7b")


def test_programs_are_told_what_nobody_looked_up() -> None:
    entry = facts("show", "show", UNSURE)["entry"]
    assert (entry["not_verified"], entry["parameters_are_round"]) == (["gated", "licence", "openness"], True)
    listed = facts("list", "list")["catalogue"]
    assert sum(len(each["not_verified"]) for each in listed) == 13
    assert sum(each["parameters_are_round"] for each in listed) == 3
