"""The Notice file that a licence wants beside the weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from botbridge.models.hub import Hub
from botbridge.models.manifest import MANIFEST_NAME, read_manifest, sha256_of
from botbridge.models.names import parse_name
from botbridge.models.pull import pull
from botbridge.models.store import ModelStore
from tests.fakes.hub import FakeHub
from tests.fakes.model_sources import RecordedProgress, contents, tiny_files

NAMED = parse_name("org/tiny")
TEXT = "Tiny is licensed under the Tiny License, Copyright © Tiny."


def pulled(home: Path, hub: FakeHub, notice: str | None = TEXT) -> Path:
    """The directory of a pull."""
    return pull(NAMED, ModelStore(home), Hub(hub.endpoint), RecordedProgress(), notice=notice).directory


def test_a_pull_lays_it_beside_the_weights_and_the_files_stay_intact(hub: FakeHub, tmp_path: Path) -> None:
    directory = pulled(tmp_path, hub)
    assert (directory / "NOTICE").read_text(encoding="utf-8") == f"{TEXT}\n"
    assert read_manifest(directory).files["NOTICE"].sha256 == sha256_of(directory / "NOTICE")
    assert ModelStore(tmp_path).find(NAMED, thorough=True).directory == directory


def test_a_licence_that_wants_none_gets_none(hub: FakeHub, tmp_path: Path) -> None:
    assert not (pulled(tmp_path, hub, notice=None) / "NOTICE").exists()


def test_a_model_that_was_here_before_gets_it_without_being_fetched_again(hub: FakeHub, tmp_path: Path) -> None:
    before = contents(pulled(tmp_path, hub, notice=None))
    fetched = len(hub.served("model.safetensors"))
    after = contents(pulled(tmp_path, hub))
    assert {name for name in after if after[name] != before.get(name)} == {"NOTICE", MANIFEST_NAME}
    assert len(hub.served("model.safetensors")) == fetched
    assert ModelStore(tmp_path).find(NAMED, thorough=True)


def test_a_second_pull_changes_nothing(hub: FakeHub, tmp_path: Path) -> None:
    first = contents(pulled(tmp_path, hub))
    assert contents(pulled(tmp_path, hub)) == first


def test_a_notice_of_the_publishers_that_says_it_is_enough(hub: FakeHub, tmp_path: Path) -> None:
    hub.repositories["org/tiny"].commit({**tiny_files(), "Notice.txt": b"", "NOTICE.md": f"# {TEXT}".encode()})
    assert "NOTICE" not in contents(pulled(tmp_path, hub))


def test_a_notice_of_the_publishers_that_says_something_else_is_left_as_it_is(hub: FakeHub, tmp_path: Path) -> None:
    hub.repositories["org/tiny"].commit({**tiny_files(), "NOTICE": b"Thanks to everybody."})
    directory = pulled(tmp_path, hub)
    assert (directory / "NOTICE").read_bytes() == b"Thanks to everybody."
    assert (directory / "NOTICE.licence").read_text(encoding="utf-8") == f"{TEXT}\n"
    assert contents(pulled(tmp_path, hub)) == contents(directory)


def test_what_an_interrupted_pull_left_of_it_is_written_again(hub: FakeHub, tmp_path: Path) -> None:
    """Killed between the file and its list: nothing was damaged, and the next pull completes it."""
    directory = pulled(tmp_path, hub, notice=None)
    (directory / "NOTICE").write_text("Tiny is lic")
    (directory / f"{MANIFEST_NAME}.new").write_text("{")
    store = ModelStore(tmp_path)
    assert store.find(NAMED, thorough=True) == replace(store.find(NAMED), adapters=())
    pulled(tmp_path, hub)
    assert (directory / "NOTICE").read_text(encoding="utf-8") == f"{TEXT}\n"
    assert store.find(NAMED, thorough=True)
