"""GGUF files from a hub and from the operator's disk: the real client and the real converter, on a tiny model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from botbridge.errors import ModelDamaged, ModelGated, ModelNotFound
from botbridge.models.catalogue import CATALOGUE_FILE
from botbridge.models.files import ModelFiles
from botbridge.models.hub import Hub
from botbridge.models.names import parse_name
from botbridge.models.pull import pull
from botbridge.models.store import ModelStore
from tests.fakes.changed_gguf import with_tensor_type
from tests.fakes.hub import FakeHub
from tests.fakes.model_sources import PULLER, RecordedProgress, WheelIndex, contents
from tests.fakes.tiny_gguf import CHAT_TEMPLATE

NAME = "org/tiny-GGUF:Q4_K_M"
NO_HUB = Hub("http://127.0.0.1:9")
DESCRIBED = {
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "manifest.json",
    "tokenizer.json",
    "tokenizer_config.json",
}


def pulled(name: str, store: ModelStore, hub: Hub) -> ModelFiles:
    files = pull(parse_name(name), store, hub, RecordedProgress())
    assert isinstance(files, ModelFiles)
    return files


def test_a_quantization_is_fetched_and_described_without_weights(gguf_hub: FakeHub, tmp_path: Path) -> None:
    """Engines read the GGUF itself; all else comes from its header. Nothing is fetched a second time."""
    store = ModelStore(tmp_path)
    files = pulled(NAME, store, Hub(gguf_hub.endpoint))
    assert set(contents(files.directory)) == DESCRIBED | {"tiny-Q4_K_M.gguf", "LICENSE"}
    assert files.gguf == files.directory / "tiny-Q4_K_M.gguf"
    assert not files.has_safetensors
    assert files.revision == gguf_hub.repositories["org/tiny-GGUF"].branches["main"]
    assert Tokenizer.from_file(str(files.directory / "tokenizer.json")).encode("20").tokens == ["2", "0"]
    assert (files.directory / "chat_template.jinja").read_text() == CHAT_TEMPLATE
    assert json.loads((files.directory / "generation_config.json").read_text())["eos_token_id"] == 2
    assert json.loads((files.directory / "config.json").read_text())["model_type"] == "llama"

    assert pulled("org/tiny-GGUF:q4_k_m", store, Hub(gguf_hub.endpoint)) == files
    assert len(gguf_hub.served("tiny-Q4_K_M.gguf")) == 1
    assert not gguf_hub.downloads("README.md")


@pytest.mark.slow
def test_a_pinned_revision_of_a_quantization_is_a_model_of_its_own(gguf_hub: FakeHub, tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    first = pulled(NAME, store, Hub(gguf_hub.endpoint))
    repository = gguf_hub.repositories["org/tiny-GGUF"]
    repository.commit({**repository.commits[first.revision], "README.md": b"changed"})
    second = pulled(NAME, store, Hub(gguf_hub.endpoint))
    assert second.revision != first.revision
    assert store.find(parse_name(f"org/tiny-GGUF@{first.revision}:Q4_K_M")) == first


def test_a_gated_quantization_names_the_licence(gguf_hub: FakeHub, tmp_path: Path, wheel_index: WheelIndex) -> None:
    gguf_hub.repository("meta/gated", gated=True).commit({"g-Q4_0.gguf": wheel_index.gguf.read_bytes()})
    with pytest.raises(ModelGated, match="accept its licence"):
        pulled("meta/gated:Q4_0", ModelStore(tmp_path), Hub(gguf_hub.endpoint))


def test_other_bytes_than_the_hub_announced_are_refused(gguf_hub: FakeHub, tmp_path: Path) -> None:
    gguf_hub.corrupt = {"tiny-Q4_K_M.gguf"}
    with pytest.raises(ModelDamaged, match="other bytes than the hub publishes"):
        pulled(NAME, ModelStore(tmp_path), Hub(gguf_hub.endpoint))
    assert ModelStore(tmp_path).installed() == []


def test_a_quantization_that_no_engine_reads_is_refused_by_its_name(
    gguf_hub: FakeHub, tmp_path: Path, wheel_index: WheelIndex
) -> None:
    changed = with_tensor_type(wheel_index.gguf, tmp_path / "changed.gguf", 31)
    gguf_hub.repository("org/old").commit({"old-Q4_0.gguf": changed.read_bytes()})
    with pytest.raises(ModelDamaged, match=r"old-Q4_0\.gguf holds weights of the type Q4_0_4_4"):
        pulled("org/old:Q4_0", ModelStore(tmp_path / "home"), Hub(gguf_hub.endpoint))
    assert ModelStore(tmp_path / "home").installed() == []


def test_a_file_that_is_not_there_is_not_to_be_fetched_either(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"^there is no file .*gone\.gguf$"):
        ModelStore(tmp_path).find(parse_name(str(tmp_path / "gone.gguf")))


def test_what_is_not_there_is_answered_with_what_is(gguf_hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"Q5_K_M; there is tiny-Q4_K_M\.gguf, tiny-Q8_0\.gguf$"):
        pulled("org/tiny-GGUF:Q5_K_M", ModelStore(tmp_path), Hub(gguf_hub.endpoint))
    assert list((tmp_path / "models").glob("*/[!.]*")) == []


@pytest.mark.slow
def test_a_pull_that_was_killed_while_it_read_the_vocabulary_is_finished_by_the_next(
    gguf_hub: FakeHub, tmp_path: Path
) -> None:
    """What was fetched is not fetched again."""
    arguments = [*PULLER, str(tmp_path), gguf_hub.endpoint, str(CATALOGUE_FILE), NAME]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as killed:
        assert killed.stderr is not None
        assert any("reading the vocabulary" in line for line in killed.stderr)
        killed.send_signal(signal.SIGKILL)
    assert ModelStore(tmp_path).installed() == []
    files = pulled(NAME, ModelStore(tmp_path), Hub(gguf_hub.endpoint))
    assert set(contents(files.directory)) == DESCRIBED | {"tiny-Q4_K_M.gguf", "LICENSE"}
    assert len(gguf_hub.served("tiny-Q4_K_M.gguf")) == 1
    assert {path.name for path in files.directory.parent.iterdir()} == {files.revision, "refs", ".lock"}


def test_a_file_of_the_operator_is_prepared_once_under_its_fingerprint(tmp_path: Path, wheel_index: WheelIndex) -> None:
    """The file stays where it is; a changed one is another model, and says how it is prepared."""
    own = tmp_path / "own.gguf"
    own.write_bytes(wheel_index.gguf.read_bytes())
    store, named = ModelStore(tmp_path / "home"), parse_name(str(own))
    with pytest.raises(ModelNotFound, match=rf"not prepared yet; .*botbridge models pull {own}$"):
        store.find(named)

    files = pulled(str(own), store, NO_HUB)
    assert store.find(named) == files
    assert files.model == str(own)
    assert set(contents(files.directory)) == DESCRIBED | {"own.gguf"}
    assert own.read_bytes() == wheel_index.gguf.read_bytes()

    own.unlink()
    own.write_bytes(wheel_index.gguf.read_bytes()[:-4] + b"\1\2\3\4")
    with pytest.raises(ModelNotFound, match="not prepared yet"):
        store.find(named)


@pytest.mark.parametrize("case", ["absent", "directory", "part", "type", "text"])
def test_a_file_that_cannot_be_prepared_is_one_clear_sentence(
    tmp_path: Path, wheel_index: WheelIndex, case: str
) -> None:
    path, expected = tmp_path / "own.gguf", {"absent": "there is no file", "directory": "there is no file"}
    match case:
        case "directory":
            path.mkdir()
        case "part":
            path = tmp_path / "own-00001-of-00002.gguf"
            path.write_bytes(wheel_index.gguf.read_bytes())
        case "type":
            with_tensor_type(wheel_index.gguf, path, 99)
        case "text":
            path.write_text("no model")
    expected |= {"part": "llama-gguf-split --merge", "type": "of the type ggml type 99", "text": "is no GGUF file"}
    with pytest.raises((ModelNotFound, ModelDamaged), match=rf"{path}.*{expected[case]}|{expected[case]} {path}"):
        pulled(str(path), ModelStore(tmp_path / "home"), NO_HUB)
    assert ModelStore(tmp_path / "home").installed() == []


def test_a_directory_with_a_gguf_and_its_tokenizer_is_a_model(tmp_path: Path, wheel_index: WheelIndex) -> None:
    (tmp_path / "own.gguf").write_bytes(wheel_index.gguf.read_bytes())
    (tmp_path / "mmproj-own.gguf").write_bytes(b"GGUF")
    (tmp_path / "tokenizer.json").write_text("{}")
    files = ModelStore(tmp_path / "home").find(parse_name(str(tmp_path)))
    assert files.gguf == tmp_path / "own.gguf"


def test_a_directory_with_a_gguf_alone_is_told_how_to_get_the_rest(tmp_path: Path, wheel_index: WheelIndex) -> None:
    (tmp_path / "own.gguf").write_bytes(wheel_index.gguf.read_bytes())
    with pytest.raises(ModelNotFound, match=rf"no tokenizer\.json: .*botbridge models pull {tmp_path}/own\.gguf"):
        ModelStore(tmp_path / "home").find(parse_name(str(tmp_path)))


def test_a_directory_with_a_quantization_that_no_engine_reads_is_refused_before_it_is_loaded(
    tmp_path: Path, wheel_index: WheelIndex
) -> None:
    with_tensor_type(wheel_index.gguf, tmp_path / "own.gguf", 33)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelDamaged, match="Q4_0_8_8"):
        ModelStore(tmp_path / "home").find(parse_name(str(tmp_path)))


def test_two_tunings_of_one_model_have_two_revisions(tmp_path: Path, wheel_index: WheelIndex) -> None:
    """Their sizes and vocabularies are the same: only the weights behind tell them apart."""
    padding = os.urandom(2 * 2**20)
    (tmp_path / "tokenizer.json").write_text("{}")
    revisions = set()
    for last in (b"\0", b"\1"):
        (tmp_path / "own.gguf").write_bytes(wheel_index.gguf.read_bytes() + padding + last)
        revisions.add(ModelStore(tmp_path / "home").find(parse_name(str(tmp_path))).revision)
    assert len(revisions) == 2
