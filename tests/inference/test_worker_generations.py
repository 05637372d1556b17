"""Worker after worker: what one leaves behind when it is cut off, starved or orphaned harms none that follows."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from botbridge.answers import Delta, RequestId
from botbridge.errors import GenerationFailed, WorkerDied
from botbridge.inference.client import WorkerClient
from botbridge.inference.options import EngineOptions
from botbridge.inference.protocol import DeltaMessage, FromWorker
from botbridge.inference.supervisor import Supervisor
from tests.fakes.asking import ask, prompt_of, until_state
from tests.inference.conftest import UNHURRIED, kill_parent

GENERATIONS = 50
SPARE_BYTES = 256 * 2**20


@pytest.mark.slow
async def test_fifty_workers_are_killed_while_they_wait_for_work_and_each_next_one_answers(
    unhurried: WorkerClient,
) -> None:
    """B1: an idle worker waits inside `get` with the lock of its queue."""
    pids = set()
    for number in range(GENERATIONS):
        assert unhurried.worker_pid is not None
        pids.add(unhurried.worker_pid)
        os.kill(unhurried.worker_pid, signal.SIGKILL)
        await until_state(unhurried, "starting")
        assert (await ask(unhurried, prompt_of(f"hello {number}"))).text == f"hello {number}"
    assert len(pids) == GENERATIONS


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_worker_that_ends_in_the_middle_of_a_message_is_replaced(
    client: WorkerClient, number: signal.Signals
) -> None:
    """A6, B2: half of a message lies in the pipe, and nobody is left who could write the rest."""

    async def read_and_strike() -> None:
        pid = client.worker_pid
        async for event in client.stream(prompt_of("!pour")):
            if isinstance(event, Delta) and pid is not None:
                os.kill(pid, number)
                pid = None  # more of its words may come; by then it is another worker that lives

    with pytest.raises(WorkerDied):
        await read_and_strike()
    assert (await ask(client, prompt_of("hello"))).text == "hello"
    readers = [thread.name for thread in threading.enumerate() if thread.name.endswith("-reader")]
    assert len(readers) == 1  # nobody waits any more for the rest


async def test_a_request_that_is_ended_twice_ends_the_worker_and_not_the_next_request(unhurried: WorkerClient) -> None:
    """B2: a worker that says a thing twice may say anything."""
    pid = unhurried.worker_pid
    with pytest.raises(GenerationFailed, match="asked to fail twice"):
        await ask(unhurried, prompt_of("!twice"))
    await until_state(unhurried, "starting")
    assert (await ask(unhurried, prompt_of("hello"))).text == "hello"
    assert unhurried.worker_pid != pid


async def test_an_older_generation_is_not_heard_any_more() -> None:
    """B3: neither what it says of itself nor what it says in the name of the present one."""
    delivered: list[FromWorker] = []
    supervisor = Supervisor(
        None, EngineOptions(engine="echo"), UNHURRIED, deliver=delivered.append, lost=lambda _reason: None
    )
    running = asyncio.create_task(supervisor.run())
    try:
        while supervisor.status.state != "ready":
            await supervisor.changed()
        former = supervisor.number
        assert supervisor.pid is not None
        os.kill(supervisor.pid, signal.SIGKILL)
        while supervisor.number == former or supervisor.status.state != "ready":
            await supervisor.changed()
        number = supervisor.number
        supervisor._receive(former, DeltaMessage(former, RequestId("r"), "late", 1))
        supervisor._receive(former, DeltaMessage(number, RequestId("r"), "forged", 1))
        supervisor._receive(number, DeltaMessage(former, RequestId("r"), "old", 1))
        supervisor._receive(number, believed := DeltaMessage(number, RequestId("r"), "true", 1))
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert delivered == [believed]


async def test_a_worker_without_memory_fails_its_request_by_name_and_the_service_lives(unhurried: WorkerClient) -> None:
    """A12: where the kernel refuses memory instead of killing; the next request is answered."""
    assert unhurried.worker_pid is not None
    pages = int(Path(f"/proc/{unhurried.worker_pid}/statm").read_text().split()[0])
    limit_bytes = pages * resource.getpagesize() + SPARE_BYTES
    resource.prlimit(unhurried.worker_pid, resource.RLIMIT_AS, (limit_bytes, limit_bytes))
    with pytest.raises((GenerationFailed, WorkerDied), match="out of memory"):
        await ask(unhurried, prompt_of("!eat"))
    assert (await ask(unhurried, prompt_of("hello"))).text == "hello"


@pytest.mark.slow
def test_a_parent_that_is_killed_takes_along_a_worker_that_is_stuck_in_loading(tmp_path: Path) -> None:
    """A10: the pipe to the parent is watched before torch is imported and before the model is read.

    The weights are a FIFO that nobody writes to. Opening it tells that the worker is reading.
    """
    weights = tmp_path / "model.safetensors"
    os.mkfifo(weights)
    script = f"""
import asyncio
from pathlib import Path
from botbridge.inference.client import WorkerClient
from botbridge.inference.options import EngineOptions, Patience
from botbridge.models.files import ModelFiles

async def prepare():
    return ModelFiles("m", "r", Path({str(tmp_path)!r}))

async def main():
    async with WorkerClient(prepare, EngineOptions(engine="transformers")) as client:
        while client.worker_pid is None:
            await asyncio.sleep(0)
        print(client.worker_pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker_pid = int(parent.stdout.readline())
        try:
            with weights.open("wb"):  # returns when the worker has opened it, too
                kill_parent(parent, worker_pid)
        finally:
            parent.kill()  # else a worker that opens nothing would be waited for without end
