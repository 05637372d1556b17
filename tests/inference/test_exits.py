"""The operator reads whether the kernel killed a worker for want of memory, or somebody did."""

from __future__ import annotations

import asyncio
import mmap
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from botbridge.inference.exits import MEBIBYTE, MemoryWitness
from botbridge.inference.options import EngineOptions, Patience
from botbridge.inference.supervisor import Supervisor
from botbridge.models.files import ModelFiles

PATIENCE = Patience(heartbeat_s=0.05, silent_s=60.0)
PID = 7
GROUP = "sys/fs/cgroup"


def write(root: Path, **files: str) -> Path:
    """The kernel's files, as they look inside a container; by the first part of their names."""
    places = {
        "statm": f"proc/{PID}/statm",
        "cgroup": "proc/self/cgroup",
        "events": f"{GROUP}/memory.events",
        "max": f"{GROUP}/memory.max",
        "current": f"{GROUP}/memory.current",
    }
    for name, text in files.items():
        path = root / places[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def container(root: Path, *, kills: int) -> Path:
    """A container that may use 512 MiB."""
    return write(root, cgroup="0::/\n", events=f"oom_kill {kills}\n", max=str(512 * MEBIBYTE), current="1")


def doomed(root: Path, patience: Patience = PATIENCE) -> tuple[Supervisor, list[str], asyncio.Event]:
    """A supervisor of an echo below these files of a kernel, why it lost workers, and that it lost one."""
    lost: list[str] = []
    gone = asyncio.Event()

    def note(reason: str) -> None:
        lost.append(reason)
        gone.set()

    options = EngineOptions(engine="echo")
    return Supervisor(None, options, patience, deliver=lambda _: None, lost=note, root=root), lost, gone


def test_what_a_worker_held_is_remembered_when_it_is_gone(tmp_path: Path) -> None:
    root = write(container(tmp_path, kills=4), statm=f"999 {300 * MEBIBYTE // mmap.PAGESIZE} 5")
    witness = MemoryWitness(PID, root)
    witness.look()
    write(root, statm="0 0 0")  # as of a process whose end nobody has asked for yet
    witness.look()
    facts = witness.facts()
    assert (facts.kills, facts.limit_bytes, facts.resident_bytes) == (0, 512 * MEBIBYTE, 300 * MEBIBYTE)


@pytest.mark.parametrize(
    ("kills", "reason"),
    [
        (4, "worker 1 was ended by SIGKILL, and not by the kernel for want of memory"),
        (5, "worker 1 was killed by the kernel for want of memory"),
        (None, "worker 1 was ended by SIGKILL, perhaps by the system for want of memory"),
    ],
)
async def test_a_sigkill_is_the_kernels_when_it_counts_one_more(tmp_path: Path, kills: int | None, reason: str) -> None:
    """A12: the count at the worker's start is held against the one at its end."""
    supervisor, lost, gone = doomed(container(tmp_path, kills=4))
    running = asyncio.create_task(supervisor.run())
    try:
        while supervisor.status.state != "ready":
            await supervisor.changed()
        if kills is None:
            (tmp_path / GROUP / "memory.events").unlink()
        else:
            container(tmp_path, kills=kills)
        assert supervisor.pid is not None
        os.kill(supervisor.pid, signal.SIGKILL)
        await asyncio.wait_for(gone.wait(), timeout=30)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert lost[0].startswith(reason)
    assert ("512 MiB" in lost[0]) == (kills == 5)


async def test_a_hang_is_seen_after_a_failure_of_the_watch_that_nobody_foresaw(tmp_path: Path) -> None:
    """The kernel's file about the worker holds what nobody can read, once."""
    supervisor, lost, gone = doomed(container(tmp_path, kills=4), replace(PATIENCE, silent_s=0.5))
    running = asyncio.create_task(supervisor.run())
    try:
        while supervisor.status.state != "ready":
            await supervisor.changed()
        statm = tmp_path / f"proc/{supervisor.pid}/statm"
        statm.parent.mkdir(parents=True)
        with capture_logs() as logs:
            statm.write_text("what is this")
            async with asyncio.timeout(30):
                while not logs:  # noqa: ASYNC110 - a list has no event
                    await asyncio.sleep(0.01)
            statm.unlink()
            assert supervisor.pid is not None
            os.kill(supervisor.pid, signal.SIGSTOP)
            await asyncio.wait_for(gone.wait(), timeout=30)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert {line["work"] for line in logs} == {"worker watch"}
    assert "was killed" in lost[0]


@pytest.mark.parametrize(
    ("number", "kills", "is_left_out"),
    [
        (signal.SIGILL, 4, True),
        pytest.param(signal.SIGKILL, 5, True, marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, 4, False, marks=pytest.mark.slow),
    ],
)
async def test_auto_leaves_an_engine_out_when_a_worker_died_of_loading_with_it_and_at_last_tries_all_again(
    tmp_path: Path, tiny_gpt2: ModelFiles, number: signal.Signals, kills: int, is_left_out: bool
) -> None:
    """Compiled for another processor, or too large a copy; whom somebody killed says nothing about its engine."""

    async def prepare() -> ModelFiles:
        return tiny_gpt2

    supervisor = Supervisor(
        prepare,
        EngineOptions(engine="auto"),
        Patience(heartbeat_s=0.05, silent_s=60.0, retry_least_s=0.01, retry_most_s=0.1),
        deliver=lambda _: None,
        lost=lambda _: None,
        root=container(tmp_path, kills=4),
    )
    running = asyncio.create_task(supervisor.run())
    seen: list[str] = []
    try:
        while "is loading the model" not in supervisor.status.detail:
            await supervisor.changed()
        container(tmp_path, kills=kills)
        assert supervisor.pid is not None
        os.kill(supervisor.pid, number)
        async with asyncio.timeout(60):
            while supervisor.status.state != "ready":
                await supervisor.changed()
                seen.append(supervisor.status.detail)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert any("The engine transformers is left out: with it, worker 1 was" in detail for detail in seen) == is_left_out
    assert supervisor.number == (3 if is_left_out else 2)
