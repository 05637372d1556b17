"""`botbridge plan` as an operator runs it, and its JSON against the schema in docs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner, Result

from botbridge.cli import build_app, main
from botbridge.engine_at_hand import NO_CUDA, computes_on_cuda
from botbridge.errors import ConfigError, ModelDamaged, ModelLoadError, ModelNotFound, NotMeasured
from botbridge.machine.figures import write_report
from botbridge.machine.plan import PEAK_SHARE, WAIT_S
from botbridge.machine.probe import LocalProbe
from tests.cli.test_arabic_pages import english_left
from tests.fakes.model_sources import named_gguf, tiny_files
from tests.machine.test_figures import REPORT

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "docs" / "schemas" / "plan.json").read_text())
MODEL = "smollm2-135m-instruct"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, told to the command by its environment."""
    monkeypatch.setenv("BOTBRIDGE_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def measured_home(home: Path) -> Path:
    """A home in which `botbridge bench` has run with the default model."""
    write_report(home, replace(REPORT, model=MODEL))
    return home


def run(*arguments: str) -> Result:
    return CliRunner().invoke(build_app(), list(arguments))


def facts(*arguments: str) -> dict[str, Any]:
    """What `plan --json` prints, after a look whether it has the form that is promised."""
    done = run("plan", "--json", *arguments)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(SCHEMA).validate(found)
    return found


def test_a_plan_is_made_from_what_bench_stored(measured_home: Path) -> None:
    found = facts()
    assert found["model"] == MODEL
    assert found["speed"] == {
        "measured": True, "engine": "llamacpp", "prefill_tokens_s": 900.0, "decode_tokens_s": {"1": 200.0, "8": 500.0},
    }  # fmt: skip
    assert found["load"]["peak_share"] == PEAK_SHARE
    assert found["limit"]["wait_s"] == WAIT_S
    assert found["waits"]["busy"] < 0.1
    assert found["memory"]["worker_resident_bytes"] == 10**9
    assert found["this_machine_month"] is None


def test_every_part_of_the_form_is_met_with_a_speed_that_is_named(home: Path) -> None:
    (home / "prices.toml").write_text(
        '[[price]]\nid = "mine"\ntitle = "rent"\nkind = "own"\ncurrency = "EUR"\nper = "month"\nlow = 20\nhigh = 20\n'
    )
    money = ("--watts", "10-25", "--kwh-price", "0.30EUR", "--eur-usd", "1.1")
    found = facts("--tokens-per-s", "5", "--users", "4000", *money)
    assert found["speed"]["measured"] is False
    assert found["waits"] is None
    assert found["limit"]["machines"] > 1
    assert found["this_machine_month"]["low"] == pytest.approx(20 + 10 * 0.73 * 0.3)
    assert [draw["id"] for draw in found["electricity"]] == ["this"]
    assert all(offer["converted"] for offer in found["offers"])
    assert all(even["messages_a_day"] for even in found["break_even"])


def test_a_model_that_nobody_knows_and_that_is_not_here_is_refused_as_show_does(home: Path) -> None:
    """A speed that is named says nothing of a model that is not there."""
    shown = json.loads(run("models", "show", "org/unheard-of", "--json").stdout)
    refused = run("plan", "--tokens-per-s", "5", "--model", "org/unheard-of")
    assert isinstance(refused.exception, ModelNotFound)
    assert str(refused.exception) == shown["detail"]


def test_in_arabic_all_but_the_json_is_arabic(home: Path) -> None:
    told = run("plan", "--tokens-per-s", "5", "--lang", "ar")
    assert told.exit_code == 0
    assert "ساعة الذروة" in told.stdout
    printed = run("plan", "--tokens-per-s", "5", "--lang", "ar", "--json").stdout
    assert not re.search("[\u0600-\u06ff]", json.dumps(json.loads(printed), ensure_ascii=False))


def test_of_a_model_that_runs_elsewhere_nothing_is_known_here(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOTBRIDGE_INFERENCE__ENGINE", "remote")
    monkeypatch.setenv("BOTBRIDGE_INFERENCE__REMOTE_URL", "http://gpu1:8000/v1")
    found = facts("--tokens-per-s", "5", "--model", "org/unheard-of")["memory"]
    assert (found["verdict"], found["needed_bytes"]) == (None, None)
    assert found["has_bytes"] > 0


def test_memory_is_that_of_what_is_kept_and_of_the_slots_and_form_that_are_asked_for(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTBRIDGE_INFERENCE__CACHE_BYTES", "1000000")
    few = facts("--tokens-per-s", "5", "--slots", "1")["memory"]
    many = facts("--tokens-per-s", "5", "--slots", "8")["memory"]
    assert few["kept_bytes"] == 1_000_000 // (4 if few["engine"] == "llamacpp" else 1)  # see fitting._kept_bytes
    assert many["cache_bytes"] == 8 * few["cache_bytes"] == 8 * 2048 * 23040
    whole = facts("--tokens-per-s", "5", "--quantization", "F32")["memory"]
    assert (whole["engine"], whole["form"], whole["weights_bytes"]) == ("transformers", "F32", 4 * 134_515_008)


def test_a_model_that_is_too_large_is_said_not_to_fit(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOTBRIDGE_INFERENCE__CACHE_BYTES", str(2**50))
    done = run("plan", "--tokens-per-s", "5")
    assert "memory: does not fit: needs 1125900." in done.stdout


def test_without_a_measurement_one_sentence_says_what_to_do(tmp_path: Path) -> None:
    """Of the whole command, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "botbridge", "plan"],
        cwd=tmp_path,
        env=os.environ | {"BOTBRIDGE_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"botbridge: {MODEL} was not measured on this machine: "
        "run `botbridge bench`, or say --tokens-per-s N to plan without\n"
    )


def test_people_read_sentences_and_tables(measured_home: Path) -> None:
    done = run("plan", "--plot", "-")
    assert done.exit_code == 0, done.output
    for told in (
        "200 tokens/s for one answer",
        "50 people with 10 messages a day each, 500 in all, 62 in the busiest hour",
        "5.49 EUR a month",
        "API by the token",
        "Move to the engine remote, or add a machine, beyond",
        "wait in the busiest hour",
    ):
        assert told in done.stdout


def test_a_drawing_lands_in_a_file_and_json_stays_json(measured_home: Path) -> None:
    done = run("plan", "--json", "--plot", "wait.png")
    assert json.loads(done.stdout)["model"] == MODEL
    assert "drawn: wait.png" in done.stderr
    assert (measured_home / "wait.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--engine", "llamacpp", "--quantization", "BF16"], "--engine transformers plans with one that does"),
        (["--engine", "transformers", "--quantization", "Q8_0"], "the engine transformers takes only safetensors"),
        (["--engine", "openvino", "--model", "qwen3-1.7b"], "the engine openvino takes only GGUF"),
        (["--engine", "openvino", "--model", "bloomz-3b"], "the engine openvino does not compute this model"),
        (
            ["--engine", "openvino", "--model", "bloomz-3b", "--quantization", "Q4_0"],
            "the engine openvino does not compute this model; --engine llamacpp plans with one that does",
        ),
        (["--model", "m2m100-1.2b"], "no engine computes this model in this form"),
        (
            ["--model", "jais-family-590m-chat"],
            "no engine computes this model in this form; `botbridge models match` names others",
        ),
    ],
)
def test_an_engine_that_does_not_compute_the_model_or_its_form_plans_nothing(
    home: Path, arguments: list[str], told: str
) -> None:
    """Whether a speed is named or would have to be measured."""
    for speed in (["--tokens-per-s", "5"], []):
        done = run("plan", *speed, *arguments)
        assert isinstance(done.exception, ModelLoadError)
        assert told in str(done.exception)


def test_files_of_ones_own_that_are_damaged_are_refused(home: Path) -> None:
    (home / "cut.gguf").write_bytes(named_gguf("llama")[:40])
    own = home / "own"
    own.mkdir()
    for name in ("config.json", "tokenizer.json"):
        (own / name).write_bytes(tiny_files()[name])
    (own / "model.safetensors").write_bytes(b"cut")
    for path, reason in ((home / "cut.gguf", "is cut short"), (own, "model.safetensors is ")):
        done = run("plan", "--tokens-per-s", "5", "--model", str(path))
        assert isinstance(done.exception, ModelDamaged)
        assert reason in str(done.exception)
        assert "models pull" not in str(done.exception)


@pytest.mark.parametrize("name", ["no.gguf", "no", "empty", "folder.gguf"])
def test_a_path_without_a_model_is_not_said_to_be_unmeasured(home: Path, name: str) -> None:
    (home / "empty").mkdir()
    (home / "folder.gguf").mkdir()
    done = run("plan", "--model", str(home / name))
    assert isinstance(done.exception, ModelNotFound)
    assert str(home / name) in str(done.exception)


@pytest.mark.parametrize(
    "arguments",
    [
        ["plan"],
        ["plan", "--model", "m2m100-1.2b"],
        ["plan", "--model", "org/absent"],
        ["plan", "--model", "."],
        ["plan", "--engine", "openvino", "--model", "qwen3-1.7b"],
        ["plan", "--engine", "remote"],
        ["doctor", "--model", "Llama 3"],
        ["models", "show", "lama-3.2", "--lang", "ar"],
        ["models", "licence", "opt-6.7b", "--use", "saas", "--accept"],
        ["models", "licence", "org/absent", "--use", "saas", "--accept"],
    ],
)
def test_a_refusal_is_told_in_the_language_of_the_command(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["botbridge", *arguments, "--lang", "ar"])
    with pytest.raises(SystemExit):
        main()
    *_, told = capsys.readouterr().err.splitlines()
    assert told.startswith("botbridge: ")
    assert re.search("[\u0600-\u06ff]{3}", told)
    assert english_left(told) == []
    assert "\\u" not in told


def test_names_in_a_refusal_change_nothing_around_them(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for tongue in ("en", "ar"):
        monkeypatch.setattr("sys.argv", ["botbridge", "plan", "--model", "./\u202egnp\x1b[2J", "--lang", tongue])
        with pytest.raises(SystemExit):
            main()
        told = capsys.readouterr().err
        assert "\\u202egnp\\x1b" in told
        assert not {"\u202e", "\x1b"} & set(told)


def test_a_gpu_that_is_asked_for_and_not_here_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOTBRIDGE_INFERENCE__DEVICE", "cuda")
    done = run("plan", "--tokens-per-s", "5")
    has_none = not computes_on_cuda(LocalProbe().look(home))
    assert (NO_CUDA in done.stderr) is has_none
    in_arabic = run("plan", "--tokens-per-s", "5", "--lang", "ar").stderr
    assert ("تطلب الإعدادات" in in_arabic, "the settings ask" in in_arabic) == (has_none, False)


def test_with_an_engine_elsewhere_no_speed_of_this_machine_counts(
    measured_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTBRIDGE_INFERENCE__ENGINE", "echo")
    assert isinstance(run("plan").exception, NotMeasured)
    assert facts("--engine", "auto")["memory"]["engine"] is not None
    assert "128 MB: the service alone" in run("plan", "--tokens-per-s", "5").stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--engine", "nosuch"], "--engine"),
        (["--plot", "wait.pdf"], "ends with .png or .svg"),
        (["--plot", "-", "--json"], "both want standard output"),
        (["--watts", "25-10"], "such as 15 or 10-25"),
        (["--watts", "much"], "such as 15 or 10-25"),
        (["--kwh-price", "0.30"], "such as 0.30EUR"),
        (["--quantization", "Q99", "--tokens-per-s", "5"], "no size is known of Q99"),
        (["--users", "0"], "--users"),
        (["--peak-share", "1.5"], "--peak-share"),
        (["--tokens-per-s", "nan"], "--tokens-per-s"),
        (["--users", "nan"], "--users"),
    ],
)
def test_wrong_use_is_told_before_anything_is_done(home: Path, arguments: list[str], told: str) -> None:
    done = run("plan", *arguments)
    assert done.exit_code == 2
    assert told in " ".join(done.stderr.replace("│", " ").split())


def test_prices_that_cannot_be_read_are_a_mistake_in_the_settings(home: Path) -> None:
    (home / "prices.toml").write_text("price = [")
    refused = run("plan", "--tokens-per-s", "5")
    assert isinstance(refused.exception, ConfigError)
    assert str(refused.exception).startswith(f"{home / 'prices.toml'} cannot be read")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--plot", "speed.txt"], "ends with .png or .svg"),
        (["--plot", "-", "--json"], "both want standard output"),
        (["--plot", "speed.png", "--tokens", "50"], "the whole measurement"),
        (["--engine", "remote"], "bench does not measure 'remote': say transformers, llamacpp, openvino"),
    ],
)
def test_bench_refuses_what_cannot_be_before_it_measures(tmp_path: Path, arguments: list[str], told: str) -> None:
    done = run("bench", *arguments)
    assert done.exit_code == 2
    assert told in " ".join(done.stderr.replace("│", " ").split())
