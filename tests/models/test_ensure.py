"""The running service's way to a model: small, patient, and without a trace when it is cancelled."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import psutil
import pytest

from botbridge.errors import DownloadFailed, ModelDamaged, ModelGated, ModelNotFound
from botbridge.models.ensure import ensure, pull_error
from botbridge.models.names import parse_name
from botbridge.models.store import ModelStore
from tests.fakes.hub import FakeHub
from tests.fakes.model_sources import PULLER

NAMED = parse_name("org/tiny")


def script(code: str, *arguments: str) -> tuple[str, ...]:
    """A pull that does as the code says; the model's name is its last argument."""
    return (sys.executable, "-c", code, *arguments)


async def test_a_missing_model_that_is_not_the_default_names_its_command(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="botbridge models pull org/tiny"):
        await ensure(NAMED, ModelStore(tmp_path), pull_missing=False, told=print, command=script("raise SystemExit(9)"))


async def test_a_missing_default_model_is_pulled_and_found(hub: FakeHub, tmp_path: Path) -> None:
    """The lines of the child are passed on; the second call starts no child."""
    told: list[str] = []
    catalogue = tmp_path / "catalogue.toml"
    catalogue.write_text("model = []")
    command = (*PULLER, str(tmp_path), hub.endpoint, str(catalogue))
    store = ModelStore(tmp_path)
    files = await ensure(NAMED, store, pull_missing=True, told=told.append, command=command)
    assert files == store.find(NAMED)
    assert told[0] == "org/tiny: 0.5 MB to fetch"
    again = await ensure(NAMED, store, pull_missing=True, told=told.append, command=script("raise SystemExit(9)"))
    assert again == files


async def test_the_child_is_the_command_line_with_its_environment_handed_down(hub: FakeHub, tmp_path: Path) -> None:
    environment = dict(os.environ) | {"BOTBRIDGE_HOME": str(tmp_path), "BOTBRIDGE_HUB__ENDPOINT": hub.endpoint}
    store = ModelStore(tmp_path)
    files = await ensure(NAMED, store, pull_missing=True, told=lambda _: None, environment=environment)
    assert files.revision == hub.repositories["org/tiny"].branches["main"]
    absent = parse_name("org/absent")
    with pytest.raises(ModelNotFound, match="no org/absent"):
        await ensure(absent, store, pull_missing=True, told=lambda _: None, environment=environment)


async def test_a_damaged_model_is_told_not_replaced(hub: FakeHub, tmp_path: Path) -> None:
    """Replacing files that the operator may have reasons to look at is left to the operator."""
    store = ModelStore(tmp_path)
    catalogue = tmp_path / "catalogue.toml"
    catalogue.write_text("model = []")
    command = (*PULLER, str(tmp_path), hub.endpoint, str(catalogue))
    files = await ensure(NAMED, store, pull_missing=True, told=print, command=command)
    os.truncate(files.directory / "config.json", 1)
    with pytest.raises(ModelDamaged, match=r"config\.json.*botbridge models pull org/tiny"):
        await ensure(NAMED, store, pull_missing=True, told=print, command=command)


async def test_the_childs_error_becomes_ours(tmp_path: Path) -> None:
    code = """
import json, sys
print(json.dumps({"error": "ModelGated", "message": f"accept the licence of {sys.argv[1]}"}))
sys.exit(1)
"""
    with pytest.raises(ModelGated, match="^accept the licence of org/tiny$"):
        await ensure(NAMED, ModelStore(tmp_path), pull_missing=True, told=print, command=script(code))


@pytest.mark.parametrize("answer", [b"", b"nonsense", b"[]", b'{"error": "KeyError", "message": "x"}', b"\xff"])
def test_a_child_that_ends_without_a_report_is_a_failed_download(answer: bytes) -> None:
    assert type(pull_error(answer, -9)) is DownloadFailed


async def test_cancelling_ends_the_child_and_all_that_it_started(tmp_path: Path) -> None:
    """Both hold a pipe open for writing, the grandchild last; it ends when the last of them has died."""
    pipe = tmp_path / "alive"
    os.mkfifo(pipe)
    grandchild = """
import sys, time
held = open(sys.argv[1], "w")
print("started", file=sys.stderr, flush=True)
time.sleep(60)
"""
    code = f"""
import subprocess, sys, time
held = open(sys.argv[1], "w")
subprocess.Popen([sys.executable, "-c", {grandchild!r}, sys.argv[1]])
time.sleep(60)
"""
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    ended = asyncio.Event()
    started = asyncio.Event()
    task = asyncio.ensure_future(
        ensure(
            NAMED,
            ModelStore(tmp_path),
            pull_missing=True,
            told=lambda _: started.set(),
            command=script(code, str(pipe)),
        )
    )
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    asyncio.get_running_loop().add_reader(reader, ended.set)
    try:
        await asyncio.wait_for(ended.wait(), timeout=10)
        assert os.read(reader, 1) == b""
    finally:
        asyncio.get_running_loop().remove_reader(reader)
        os.close(reader)


async def test_a_service_that_is_killed_takes_its_pull_along(tmp_path: Path) -> None:
    """No handler of the service runs then; the pull, which would wait for ever for another one, notices by itself."""
    service = """
import asyncio, functools, sys
from pathlib import Path
from botbridge.models.ensure import ensure
from botbridge.models.names import parse_name
from botbridge.models.store import ModelStore
told = functools.partial(print, flush=True)
asyncio.run(ensure(parse_name("org/tiny"), ModelStore(Path(sys.argv[1])), pull_missing=True, told=told))
"""
    ended = asyncio.Event()
    with ModelStore(tmp_path).locked("org/tiny", waiting=pytest.fail):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", service, str(tmp_path)),
            env=os.environ | {"BOTBRIDGE_HOME": str(tmp_path)},
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        async with asyncio.timeout(30):
            assert await process.stdout.readline() == b"waiting: another pull of org/tiny is running\n"
            (pull,) = psutil.Process(process.pid).children()
            descriptor = os.pidfd_open(pull.pid)
            asyncio.get_running_loop().add_reader(descriptor, ended.set)
            try:
                process.kill()
                await ended.wait()
            finally:
                asyncio.get_running_loop().remove_reader(descriptor)
                os.close(descriptor)
                await process.wait()
