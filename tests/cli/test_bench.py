"""`botbridge bench` as an operator runs it, with a model so small that its figures mean nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from botbridge.cli import build_app
from botbridge.machine.figures import read_report, report_path
from tests.fakes.tiny_models import tiny_llama


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A directory with safetensors and no GGUF, named as a model; an empty home beside it."""
    monkeypatch.setenv("BOTBRIDGE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("BOTBRIDGE_INFERENCE__CONTEXT_TOKENS", "512")
    monkeypatch.chdir(tmp_path)
    return str(tiny_llama(tmp_path / "model").directory)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(build_app(), ["bench", *arguments])


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_measurement_is_shown_and_kept_and_one_in_which_nothing_worked_changes_nothing(
    model: str, tmp_path: Path
) -> None:
    done = run("--model", model, "--quality")
    assert done.exit_code == 0, done.output
    rows = [line for line in done.stdout.splitlines() if "transformers" in line]
    assert len(rows) == 1
    assert "16 at once" in done.stdout
    assert "perplexity" in done.stdout
    others = [line for line in done.stdout.splitlines() if line.startswith(("llamacpp: ", "openvino: "))]
    assert len(others) == 2
    for line in others:  # each says why it has no figures, and what would add it where that would help
        assert "does not read the form in which this model is here" in line or "adds it" in line
    kept = read_report(tmp_path / "home", model)
    assert kept is not None
    assert kept.fastest_first == ("transformers",)
    assert kept.engines[0].quality is not None

    done = run("--model", model, "--engine", "openvino", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["engines"][0]["failure"]
    assert read_report(tmp_path / "home", model) == kept
    assert "kept for engine=auto" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["echo", "remote"])
def test_one_figure_is_of_the_model_where_the_settings_let_no_engine_here_compute_it(
    model: str, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    """The echo would be as fast as nothing, and the server is another machine."""
    monkeypatch.setenv("BOTBRIDGE_INFERENCE__ENGINE", engine)
    monkeypatch.setenv("BOTBRIDGE_INFERENCE__REMOTE_URL", "http://127.0.0.1:9/v1")
    asked = run("--model", model, "--tokens", "5", "--json")
    assert asked.exit_code == 0, asked.output
    measured = run("--model", model, "--tokens", "5", "--engine", "transformers", "--json")
    assert json.loads(asked.stdout)["tokens"] == json.loads(measured.stdout)["tokens"]


@pytest.mark.slow
def test_one_figure_can_be_asked_for(model: str, tmp_path: Path) -> None:
    done = run("--model", model, "--tokens", "5", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["tokens"], found["seconds"] > 0) == (5, True)
    assert not report_path(tmp_path / "home", model).exists()
    done = run("--tokens", "5", "--engine", "llamacpp", "--engine", "openvino")
    assert done.exit_code == 2
    assert "--tokens times one engine" in done.stderr


def test_an_engine_that_is_not_installed_is_shown_with_the_command_that_adds_it(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As all but one are with nothing but the base dependencies."""
    monkeypatch.setattr("botbridge.inference.choice.installed_engines", lambda: frozenset({"transformers"}))
    done = run("--model", model, "--engine", "llamacpp", "--engine", "openvino")
    assert done.exit_code == 1
    assert done.stdout.splitlines() == [
        "llamacpp: not installed; `make native` adds it",
        "openvino: not installed; `make setup` adds it",
    ]


def test_where_no_engine_was_measured_there_is_no_table_and_no_legend(model: str) -> None:
    """Neither openvino nor llamacpp reads safetensors, where they are installed."""
    done = run("--model", model, "--engine", "openvino", "--engine", "llamacpp")
    assert done.exit_code == 1
    told = done.stdout.splitlines()
    assert [line.partition(":")[0] for line in told] == ["openvino", "llamacpp"], told
