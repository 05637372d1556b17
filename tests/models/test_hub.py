"""Pulling from a hub: the real client library against a loopback hub."""

from __future__ import annotations

import signal
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from botbridge.errors import DownloadFailed, ModelDamaged, ModelGated, ModelNotFound
from botbridge.models.catalogue import CATALOGUE_FILE
from botbridge.models.hub import Hub
from botbridge.models.names import parse_name
from botbridge.models.pull import pull
from botbridge.models.store import ModelStore
from tests.fakes.hub import FakeHub
from tests.fakes.model_sources import PULLER, RecordedProgress, contents, tiny_files

WANTED = {"config.json", "tokenizer.json", "chat_template.jinja", "LICENSE", "model.safetensors", "manifest.json"}

LARGE_ROWS = 24 * 1024
CUT_BYTES = 14_000_000
# The client writes in pieces of 10 MiB; what came of the next one is lost. Source: huggingface_hub constants.py.
WRITTEN_BYTES = 10 * 1024 * 1024


def test_a_pull_brings_data_files_only(hub: FakeHub, tmp_path: Path, progress: RecordedProgress) -> None:
    """Pickles, code and other formats are neither stored nor asked for."""
    files = pull(parse_name("org/tiny"), ModelStore(tmp_path), Hub(hub.endpoint), progress)

    assert set(contents(files.directory)) == WANTED
    assert files.revision == hub.repositories["org/tiny"].branches["main"]
    assert (files.directory / "model.safetensors").read_bytes() == tiny_files()["model.safetensors"]
    asked = {request.path.rsplit("/", 1)[-1] for request in hub.requests}
    assert not asked & {"pytorch_model.bin", "training_args.pt", "modeling_tiny.py", "consolidated.safetensors"}


def test_a_branch_is_pinned_to_the_commit_it_had(hub: FakeHub, tmp_path: Path, progress: RecordedProgress) -> None:
    """A push to the branch changes nothing here until the next pull, and old commits stay."""
    store = ModelStore(tmp_path)
    named = parse_name("org/tiny")
    first = pull(named, store, Hub(hub.endpoint), progress)
    second_commit = hub.repositories["org/tiny"].commit(tiny_files(seed=1))

    assert store.find(named) == first
    assert pull(named, store, Hub(hub.endpoint), progress).revision == second_commit
    assert store.find(named).revision == second_commit
    assert store.find(parse_name(f"org/tiny@{first.revision}")) == first


def test_a_second_pull_fetches_nothing(hub: FakeHub, tmp_path: Path, progress: RecordedProgress) -> None:
    store = ModelStore(tmp_path)
    pull(parse_name("org/tiny"), store, Hub(hub.endpoint), progress)
    pull(parse_name("org/tiny"), store, Hub(hub.endpoint), progress)
    assert len(hub.downloads("config.json")) == 1


def test_a_tag_is_its_own_note(hub: FakeHub, tmp_path: Path, progress: RecordedProgress) -> None:
    """`org/tiny@v1` pulled does not make `org/tiny` known."""
    hub.repositories["org/tiny"].commit(tiny_files(seed=1), branch="v1")
    store = ModelStore(tmp_path)
    files = pull(parse_name("org/tiny@v1"), store, Hub(hub.endpoint), progress)
    assert store.find(parse_name("org/tiny@v1")) == files
    with pytest.raises(ModelNotFound, match="botbridge models pull org/tiny$"):
        store.find(parse_name("org/tiny"))


@pytest.mark.parametrize("token", [None, "a-token-without-the-licence"])
def test_a_gated_model_names_its_licence_page_and_the_setting(
    hub: FakeHub, tmp_path: Path, progress: RecordedProgress, token: str | None
) -> None:
    """Without a token (401) and with one that has not accepted the licence (403)."""
    hub.repository("meta/gated", gated=True).commit(tiny_files())
    hub.known_tokens = {"a-token-without-the-licence"}
    with pytest.raises(ModelGated) as caught:
        pull(parse_name("meta/gated"), ModelStore(tmp_path), Hub(hub.endpoint, token), progress)
    assert f"{hub.endpoint}/meta/gated" in str(caught.value)
    assert "BOTBRIDGE_HUB__TOKEN" in str(caught.value)
    assert "without-the-licence" not in str(caught.value)


def test_an_accepted_token_opens_a_gated_model(hub: FakeHub, tmp_path: Path, progress: RecordedProgress) -> None:
    hub.repository("meta/gated", gated=True).commit(tiny_files())
    hub.accepted_tokens = {"hf_accepted"}
    files = pull(parse_name("meta/gated"), ModelStore(tmp_path), Hub(hub.endpoint, "hf_accepted"), progress)
    assert set(contents(files.directory)) == WANTED


def test_a_token_that_nobody_knows_is_told_as_such(hub: FakeHub, tmp_path: Path, progress: RecordedProgress) -> None:
    with pytest.raises(ModelGated, match="does not accept the token in BOTBRIDGE_HUB__TOKEN"):
        pull(parse_name("org/tiny"), ModelStore(tmp_path), Hub(hub.endpoint, "hf_mistyped"), progress)


def test_no_token_of_another_program_is_used(
    hub: FakeHub, tmp_path: Path, progress: RecordedProgress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`HF_TOKEN` belongs to other programs; ours comes from the settings or there is none."""
    monkeypatch.setenv("HF_TOKEN", "hf_of_somebody")
    pull(parse_name("org/tiny"), ModelStore(tmp_path), Hub(hub.endpoint), progress)
    assert {request.token for request in hub.requests} == {None}


def test_a_token_is_not_shown() -> None:
    assert "secret" not in repr(Hub("http://hub", "secret"))


@pytest.mark.parametrize("name", ["org/absent", "org/tiny@absent"])
def test_what_the_hub_does_not_have_is_not_found(
    hub: FakeHub, tmp_path: Path, progress: RecordedProgress, name: str
) -> None:
    with pytest.raises(ModelNotFound):
        pull(parse_name(name), ModelStore(tmp_path), Hub(hub.endpoint), progress)


def test_a_repository_of_pickles_is_refused(hub: FakeHub, tmp_path: Path, progress: RecordedProgress) -> None:
    hub.repository("org/pickles").commit({"config.json": b"{}", "pytorch_model.bin": b"\x80\x04"})
    with pytest.raises(ModelNotFound, match="safetensors"):
        pull(parse_name("org/pickles"), ModelStore(tmp_path), Hub(hub.endpoint), progress)
    assert not hub.downloads("pytorch_model.bin")


def test_a_hub_that_is_not_there_is_a_failed_download(tmp_path: Path, progress: RecordedProgress) -> None:
    """Port 9 on loopback answers nobody."""
    with pytest.raises(DownloadFailed, match="cannot be reached"):
        pull(parse_name("org/tiny"), ModelStore(tmp_path), Hub("http://127.0.0.1:9"), progress)


def test_a_download_that_is_cut_goes_on_where_it_was(hub: FakeHub, tmp_path: Path, progress: RecordedProgress) -> None:
    large = tiny_files(rows=LARGE_ROWS)
    hub.repository("org/large").commit(large)
    hub.cut_after_bytes = [CUT_BYTES]
    files = pull(parse_name("org/large"), ModelStore(tmp_path), Hub(hub.endpoint), progress)
    assert (files.directory / "model.safetensors").read_bytes() == large["model.safetensors"]
    assert [each.range for each in hub.served("model.safetensors")] == [None, f"bytes={WRITTEN_BYTES}-"]


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_bytes_that_are_not_what_the_hub_announced_are_refused(
    hub: FakeHub, tmp_path: Path, progress: RecordedProgress, name: str
) -> None:
    """The file is named, nothing is published, and the next pull starts it afresh."""
    store = ModelStore(tmp_path)
    hub.corrupt = {name}
    with pytest.raises(ModelDamaged, match=name):
        pull(parse_name("org/tiny"), store, Hub(hub.endpoint), progress)
    assert store.installed() == []
    hub.corrupt = set()
    assert set(contents(pull(parse_name("org/tiny"), store, Hub(hub.endpoint), progress).directory)) == WANTED


def test_a_pull_that_was_killed_in_mid_download_is_finished_by_the_next(
    hub: FakeHub, tmp_path: Path, progress: RecordedProgress
) -> None:
    """The bytes that were here are not fetched again."""
    hub.repository("org/large").commit(tiny_files(rows=LARGE_ROWS))
    hub.stall_after_bytes = CUT_BYTES
    arguments = [*PULLER, str(tmp_path), hub.endpoint, str(CATALOGUE_FILE), "org/large"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as killed:
        assert killed.stderr is not None
        assert any(line.endswith("40 % of 25.2 MB\n") for line in killed.stderr)
        killed.send_signal(signal.SIGKILL)
    assert ModelStore(tmp_path).installed() == []

    hub.stall_after_bytes = None
    files = pull(parse_name("org/large"), ModelStore(tmp_path), Hub(hub.endpoint), progress)
    assert set(contents(files.directory)) == WANTED
    assert len(hub.downloads("config.json")) == 1
    assert [each.range for each in hub.served("model.safetensors")] == [None, f"bytes={WRITTEN_BYTES}-"]
    assert list(files.directory.parent.glob(".staging-*")) == []


def test_two_pulls_at_once_fetch_once(hub: FakeHub, tmp_path: Path) -> None:
    """The second waits while the first is in the middle of its download, and then finds it done."""
    hub.stall_after_bytes = 1_000
    arguments = [*PULLER, str(tmp_path), hub.endpoint, str(CATALOGUE_FILE), "org/tiny"]
    with ExitStack() as stack:
        pullers = []
        for first_line in ("org/tiny: 0.5 MB to fetch\n", "waiting: another pull of org/tiny is running\n"):
            puller = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            pullers.append(stack.enter_context(puller))
            stack.callback(puller.kill)
            assert puller.stderr is not None
            assert puller.stderr.readline() == first_line
        hub.release()
        answers = [puller.communicate(timeout=60) for puller in pullers]
        assert [puller.returncode for puller in pullers] == [0, 0], answers
    assert answers[0][0] == answers[1][0]
    assert len(hub.downloads("config.json")) == 1
