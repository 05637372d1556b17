"""What the store finds, and what it refuses to call intact."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from botbridge.errors import DownloadFailed, ModelDamaged, ModelNotFound
from botbridge.models.files import ModelFiles
from botbridge.models.hub import Hub
from botbridge.models.manifest import MANIFEST_NAME, QUICK_LIMIT_BYTES
from botbridge.models.names import NamedModel, parse_name
from botbridge.models.pull import pull
from botbridge.models.store import ModelStore
from tests.fakes.hub import FakeHub
from tests.fakes.model_sources import RecordedProgress, contents, tiny_files
from tests.fakes.powers import unreadable

COMMIT = "c" * 40
NAMED = parse_name(f"org/tiny@{COMMIT}")


def published(store: ModelStore, named: NamedModel = NAMED, revision: str = COMMIT, extra_bytes: int = 0) -> ModelFiles:
    """A model as a pull leaves it, without a hub."""
    with store.locked(named.model, waiting=lambda: None):
        finished = store.staging(named.model, revision) / "files"
        finished.mkdir()
        (finished / "config.json").write_bytes(b"{}")
        with (finished / "model.safetensors").open("wb") as file:
            file.truncate(1_000 + extra_bytes)
        return store.publish(finished, named, revision)


def test_a_missing_model_is_answered_with_the_command_that_pulls_it(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=rf"botbridge models pull org/tiny@{COMMIT}$"):
        ModelStore(tmp_path).find(NAMED)
    assert list(tmp_path.iterdir()) == []


def test_what_was_published_is_found(tmp_path: Path) -> None:
    files = published(ModelStore(tmp_path))
    assert ModelStore(tmp_path).find(NAMED) == files
    assert files == ModelFiles("org/tiny", COMMIT, tmp_path / "models" / "org--tiny" / COMMIT, "org/tiny")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_file_of_another_size_is_named_at_once(tmp_path: Path, name: str) -> None:
    store = ModelStore(tmp_path)
    path = published(store).directory / name
    os.truncate(path, 1)
    with pytest.raises(ModelDamaged, match=rf"{name} holds 1 bytes, .*botbridge models pull"):
        store.find(NAMED)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    (published(store).directory / "config.json").unlink()
    with pytest.raises(ModelDamaged, match=r"config\.json cannot be read"):
        store.find(NAMED)


def test_a_changed_small_file_is_found_at_every_start(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    (published(store).directory / "config.json").write_bytes(b"[]")
    with pytest.raises(ModelDamaged, match=r"config\.json"):
        store.find(NAMED)


def test_changed_weights_of_the_same_size_are_found_by_verify(tmp_path: Path) -> None:
    """A start does not read gigabytes; `models verify` does."""
    store = ModelStore(tmp_path)
    with (published(store, extra_bytes=QUICK_LIMIT_BYTES).directory / "model.safetensors").open("r+b") as file:
        file.seek(QUICK_LIMIT_BYTES // 2)
        file.write(b"\1")
    store.find(NAMED)
    with pytest.raises(ModelDamaged, match=r"model\.safetensors"):
        store.find(NAMED, thorough=True)
    ((_, damage),) = store.verify_all()
    assert damage is not None
    assert "model.safetensors" in damage


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"model": "m", "revision": "r", "files": {"a": 1}}', "\xff"])
def test_a_damaged_manifest_is_a_damaged_model(tmp_path: Path, text: str) -> None:
    store = ModelStore(tmp_path)
    (published(store).directory / MANIFEST_NAME).write_text(text, encoding="latin-1")
    with pytest.raises(ModelDamaged, match=MANIFEST_NAME):
        store.find(NAMED)


def test_a_damaged_model_is_repaired_by_the_next_pull(hub: FakeHub, tmp_path: Path, progress: RecordedProgress) -> None:
    store = ModelStore(tmp_path)
    named = parse_name("org/tiny")
    files = pull(named, store, Hub(hub.endpoint), progress)
    before = contents(files.directory)
    os.truncate(files.directory / "model.safetensors", 10)

    assert pull(named, store, Hub(hub.endpoint), progress) == files
    assert contents(files.directory) == before
    assert any("model.safetensors holds 10 bytes" in line for line in progress.lines)
    assert {path.name for path in files.directory.parent.iterdir()} == {files.revision, "refs", ".lock"}


def test_leftovers_of_other_revisions_go_when_a_pull_begins(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    with store.locked("org/tiny", waiting=lambda: None):
        (store.staging("org/tiny", "old") / "half").write_bytes(b"1")
        (tmp_path / "models" / "org--tiny" / ".replaced-old").mkdir()
        mine = store.staging("org/tiny", "new")
    left = {path.name for path in mine.parent.iterdir()}
    assert left == {".lock", ".staging-new"}


def test_a_child_of_a_killed_pull_keeps_the_lock_until_it_ends(tmp_path: Path) -> None:
    """So an orphaned pip cannot write into the files of the next pull."""
    store = ModelStore(tmp_path)
    with store.locked("org/tiny", waiting=pytest.fail) as lock:
        orphan = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, text=True, pass_fds=(lock,))
    waited: list[str | None] = []
    with store.locked("org/tiny", waiting=lambda: waited.append(orphan.communicate("\n")[0])):
        assert waited == [None]


@pytest.mark.parametrize(
    ("name", "closed"),
    [
        ("org/tiny", "models"),
        ("org/tiny", "models/org--tiny/refs/main"),
        (f"org/tiny@{COMMIT}", "models"),
        (f"org/tiny@{COMMIT}", "models/org--tiny"),
    ],
)
def test_a_store_that_may_not_be_read_is_one_sentence(tmp_path: Path, name: str, closed: str) -> None:
    """Not a traceback, and never that the model is not here: nobody knows that."""
    store = ModelStore(tmp_path)
    published(store, parse_name("org/tiny"))
    with (
        unreadable(tmp_path / closed),
        pytest.raises(ModelDamaged, match=rf"{closed}.* cannot be read: Permission denied"),
    ):
        store.find(parse_name(name))


def test_a_list_of_models_that_may_not_be_read_is_no_empty_list(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    assert store.installed() == []
    published(store)
    with unreadable(tmp_path / "models"), pytest.raises(ModelDamaged, match=r"models cannot be read: Permission"):
        store.installed()


def test_a_file_of_the_operator_that_may_not_be_reached_is_one_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "model.gguf").write_bytes(b"GGUF")
    named = parse_name(str(folder / "model.gguf"))
    with unreadable(folder), pytest.raises(ModelDamaged, match=r"model\.gguf cannot be read: Permission denied"):
        ModelStore(tmp_path / "home").find(named)


def test_a_store_that_cannot_be_written_is_one_clear_sentence(tmp_path: Path, progress: RecordedProgress) -> None:
    """A file stands where the directory should be made; also true for root, whom no mode stops."""
    (tmp_path / "models").write_text("")
    with pytest.raises(DownloadFailed, match="models.* cannot be written"):
        pull(parse_name("org/tiny"), ModelStore(tmp_path), Hub("http://127.0.0.1:9"), progress)


def test_a_directory_of_the_operator_is_used_where_it_lies(tmp_path: Path) -> None:
    for name, content in tiny_files().items():
        if "/" not in name:
            (tmp_path / name).write_bytes(content)
    named = parse_name(str(tmp_path))
    files = ModelStore(tmp_path / "home").find(named)
    assert files.directory == tmp_path
    assert ModelStore(tmp_path / "home").find(named) == files
    (tmp_path / "config.json").write_bytes(b'{"model_type": "other"}')
    assert ModelStore(tmp_path / "home").find(named).revision != files.revision


@pytest.mark.parametrize("names", [(), ("config.json", "pytorch_model.bin"), ("model.safetensors",)])
def test_a_directory_without_a_safetensors_model_is_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"{}")
    with pytest.raises(ModelNotFound, match="safetensors"):
        ModelStore(tmp_path / "home").find(parse_name(str(tmp_path)))


def test_a_directory_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="absent"):
        ModelStore(tmp_path).find(parse_name(str(tmp_path / "absent")))
