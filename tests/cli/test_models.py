"""`botbridge models`: what it prints, and how it ends."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from botbridge.cli.models import models_app
from botbridge.errors import ModelDamaged, ModelNotFound
from tests.fakes.hub import FakeHub
from tests.fakes.model_sources import adapter_files, named_gguf, tiny_files

runner = CliRunner()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub and an empty home, told to the command by its environment."""
    with FakeHub() as server:
        server.repository("org/tiny").commit(tiny_files())
        monkeypatch.setenv("BOTBRIDGE_HOME", str(tmp_path))
        monkeypatch.setenv("BOTBRIDGE_HUB__ENDPOINT", server.endpoint)
        yield server


def test_pull_prints_where_the_model_is(hub: FakeHub) -> None:
    result = runner.invoke(models_app, ["pull", "org/tiny", "--json"])
    facts = json.loads(result.stdout)
    assert result.exit_code == 0
    assert facts["revision"] == hub.repositories["org/tiny"].branches["main"]
    assert Path(facts["directory"], "model.safetensors").is_file()
    assert "to fetch" in result.stderr


def test_a_failed_pull_reports_its_error_to_programs(hub: FakeHub) -> None:
    """`botbridge run` reads this line of the pull that it starts."""
    hub.repository("meta/gated", gated=True).commit(tiny_files())
    result = runner.invoke(models_app, ["pull", "meta/gated", "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"] == "ModelGated"


def test_a_failed_pull_reaches_people_as_our_error(hub: FakeHub) -> None:
    """The top of the command line prints it as one sentence and exits with 1."""
    result = runner.invoke(models_app, ["pull", "org/absent"])
    assert isinstance(result.exception, ModelNotFound)
    assert result.stdout == ""


def test_the_token_comes_from_the_settings(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repository("meta/gated", gated=True).commit(tiny_files())
    hub.accepted_tokens = {"hf_accepted"}
    monkeypatch.setenv("BOTBRIDGE_HUB__TOKEN", "hf_accepted")
    result = runner.invoke(models_app, ["pull", "meta/gated"])
    assert result.exit_code == 0
    assert "hf_accepted" not in result.output


def test_verify_names_the_damaged_file_and_exits_with_1(hub: FakeHub) -> None:
    facts = json.loads(runner.invoke(models_app, ["pull", "org/tiny", "--json"]).stdout)
    assert runner.invoke(models_app, ["verify"]).exit_code == 0
    os.truncate(Path(facts["directory"], "tokenizer.json"), 1)
    result = runner.invoke(models_app, ["verify"])
    assert result.exit_code == 1
    assert "tokenizer.json" in result.stdout


@pytest.mark.parametrize(
    ("content", "weights"),
    [
        pytest.param(tiny_files(), "model.safetensors", id="model"),
        pytest.param(adapter_files(), "adapter_model.safetensors", id="adapter"),
        pytest.param({**tiny_files(), "model.gguf": named_gguf("llama")}, "model.gguf", id="both forms"),
    ],
)
@pytest.mark.parametrize("command", ["pull", "verify"])
def test_weights_of_ones_own_that_are_cut_short_are_named(
    hub: FakeHub, tmp_path: Path, content: dict[str, bytes], weights: str, command: str
) -> None:
    """There is no hash that they differ from, but a length that their header gives."""
    directory = tmp_path / "own"
    directory.mkdir()
    for name, data in content.items():
        if "/" not in name:
            (directory / name).write_bytes(data)
    assert runner.invoke(models_app, [command, str(directory)]).exit_code == 0
    os.truncate(directory / weights, len(content[weights]) // 2)
    result = runner.invoke(models_app, [command, str(directory)])
    assert isinstance(result.exception, ModelDamaged)
    assert weights in str(result.exception)
    assert result.stdout == ""


@pytest.mark.parametrize("is_own", [False, True])
def test_an_adapter_for_no_model_at_hand_is_noted_with_its_base_and_pulled(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_own: bool
) -> None:
    """The note goes once its base is chosen or here."""
    content = adapter_files("org/tiny")
    hub.repository("org/pirate").commit(content)
    name = str(tmp_path / "own") if is_own else "org/pirate"
    (tmp_path / "own").mkdir()
    for file, data in content.items():
        (tmp_path / "own" / file).write_bytes(data)
    result = runner.invoke(models_app, ["pull", name])
    assert result.exit_code == 0
    note = f"the adapter {name} fits no model that is here or chosen; it can be used with org/tiny alone"
    assert note in result.stderr
    assert ("only adapters pulled from a hub are loaded" in result.stderr) is is_own
    with monkeypatch.context() as choosing:
        choosing.setenv("BOTBRIDGE_INFERENCE__MODEL", "org/tiny")
        assert "fits no model" not in runner.invoke(models_app, ["pull", name]).stderr
    with monkeypatch.context() as choosing:
        choosing.setenv("BOTBRIDGE_INFERENCE__MODEL", "no model")
        assert note in runner.invoke(models_app, ["pull", name]).stderr
    runner.invoke(models_app, ["pull", "org/tiny"])
    assert "fits no model" not in runner.invoke(models_app, ["pull", name]).stderr


def test_list_and_show_tell_what_is_here(hub: FakeHub) -> None:
    runner.invoke(models_app, ["pull", "org/tiny"])
    listed = json.loads(runner.invoke(models_app, ["list", "--json"]).stdout)
    assert [each["model"] for each in listed["installed"]] == ["org/tiny"]
    assert "smollm2-135m-instruct" in [each["id"] for each in listed["catalogue"]]
    assert "not here: botbridge models pull smollm2-135m-instruct" in runner.invoke(models_app, ["list"]).stdout
    assert json.loads(runner.invoke(models_app, ["show", "org/tiny", "--json"]).stdout)["state"] == "ready"
    shown = json.loads(runner.invoke(models_app, ["show", "smollm2-135m-instruct", "--json"]).stdout)
    assert (shown["state"], shown["licence"]) == ("missing", "Apache-2.0")
