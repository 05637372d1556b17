"""A real worker process dies, hangs or lies; the next one answers."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from multiprocessing import resource_tracker, spawn
from pathlib import Path

import pytest

from botbridge.answers import Completion, Delta, FinishReason, RequestId, Started
from botbridge.errors import GenerationFailed, GenerationTimeout, ModelNotFound, ModelUnavailable, WorkerDied
from botbridge.inference.client import WorkerClient
from botbridge.inference.options import EngineOptions, Patience
from botbridge.inference.protocol import DeltaMessage, FromWorker, LoadFailed
from botbridge.inference.supervisor import Supervisor
from botbridge.models.files import ModelFiles
from tests.fakes.asking import ask, prompt_of, until_state
from tests.inference.conftest import QUICK, faulty_client, kill_parent

LONG = " ".join(["word"] * 5000)


@pytest.fixture
async def narrow() -> AsyncIterator[WorkerClient]:
    """A client whose worker answers one request at a time."""
    async with faulty_client(QUICK, slots=1) as client:
        yield client


async def test_an_answer_comes_back_word_by_word_with_where_it_came_from(client: WorkerClient) -> None:
    """The whole way there and back."""
    events = [event async for event in client.stream(prompt_of("good day to you"))]
    assert isinstance(events[0], Started)
    words = [event.text for event in events if isinstance(event, Delta)]
    assert words[0] == "good"  # the first comes at once, the others perhaps together
    assert "".join(words) == "good day to you"
    completion = events[-1]
    assert isinstance(completion, Completion)
    assert completion.finish_reason is FinishReason.STOP
    assert completion.provenance.engine == "echo"
    assert completion.provenance.completion_ids == (0, 1, 2, 3)
    assert completion.provenance.sampling.seed == 1


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("!segv", "SIGSEGV"),
        ("!abort", "SIGABRT"),
        ("!oom", "was ended by SIGKILL"),
        ("!exit0", "ended with exit code 0"),
        ("!exit3", "ended with exit code 3"),
        ("!hang", "computed no token"),
        ("!garbage", "sent a dict"),
        ("!undecodable", "cannot be read"),
        ("!unknown", "a request that it does not hold"),
    ],
)
async def test_a_fault_fails_the_request_it_hit_and_the_next_worker_answers(
    client: WorkerClient, word: str, reason: str
) -> None:
    """A7, A9, A12, B2: each way for a worker to go wrong is named, and ends it."""
    pid = client.worker_pid
    with pytest.raises(WorkerDied, match=reason):
        await asyncio.wait_for(ask(client, prompt_of(f"{word} {LONG}")), timeout=30)
    assert (await ask(client, prompt_of("still there?"))).text == "still there?"
    assert client.worker_pid != pid


async def test_an_engine_that_raises_fails_one_request_and_the_worker_lives_on(client: WorkerClient) -> None:
    """An error of the model is no death."""
    pid = client.worker_pid
    other = asyncio.create_task(ask(client, prompt_of("!slow:0.01 one two three four five six")))
    with pytest.raises(GenerationFailed, match="asked to fail"):
        await ask(client, prompt_of("!raise"))
    assert (await other).completion.finish_reason is FinishReason.STOP
    assert client.worker_pid == pid


async def test_what_a_condemned_worker_still_sends_is_dropped() -> None:
    """It was found to lie; between that and its death it may go on to."""
    delivered: list[FromWorker] = []
    lost = asyncio.Event()
    supervisor = Supervisor(
        None, EngineOptions(engine="echo"), QUICK, deliver=delivered.append, lost=lambda _: lost.set()
    )
    running = asyncio.create_task(supervisor.run())
    try:
        while supervisor.status.state != "ready":
            await supervisor.changed()
        number, believed = supervisor.number, DeltaMessage(supervisor.number, RequestId("r"), "true", 1)
        supervisor._receive(number, believed)
        supervisor._receive(number, {"no": "message"})
        supervisor._receive(number, DeltaMessage(number, RequestId("r"), "not to be believed", 2))
        await asyncio.wait_for(lost.wait(), timeout=30)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert delivered == [believed]


async def test_a_worker_that_could_not_load_and_does_not_leave_is_killed() -> None:
    """Alive it would be in the way of the next one for ever."""
    lost = asyncio.Event()
    supervisor = Supervisor(
        None, EngineOptions(engine="echo"), QUICK, deliver=lambda _: None, lost=lambda _: lost.set()
    )
    running = asyncio.create_task(supervisor.run())
    try:
        while supervisor.status.state != "ready":
            await supervisor.changed()
        supervisor._receive(supervisor.number, LoadFailed(supervisor.number, "bad weights"))
        await asyncio.wait_for(lost.wait(), timeout=30)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_late_message_of_an_older_generation_changes_nothing(client: WorkerClient) -> None:
    """B3: it is dropped; neither the request nor the worker suffers."""
    pid = client.worker_pid
    assert (await ask(client, prompt_of("!late but right"))).text == "!late but right"
    assert client.worker_pid == pid


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_an_idle_worker_that_is_killed_or_stopped_is_replaced(
    client: WorkerClient, number: signal.Signals
) -> None:
    """A6, A9, B1: killed inside `get` it would hold the lock of its queue for ever: the next one has its own."""
    pid = client.worker_pid
    assert pid is not None
    os.kill(pid, number)
    await until_state(client, "starting")
    assert (await ask(client, prompt_of("hello"))).text == "hello"
    assert client.worker_pid != pid


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_worker_that_is_killed_or_stopped_while_it_answers_fails_the_answer(
    client: WorkerClient, number: signal.Signals
) -> None:
    """A6, A9: the waiter learns of it instead of waiting."""

    async def read_and_strike() -> None:
        async for event in client.stream(prompt_of(f"!slow:0.01 {LONG}")):
            if isinstance(event, Delta):
                assert client.worker_pid is not None
                os.kill(client.worker_pid, number)

    with pytest.raises(WorkerDied):
        await read_and_strike()
    assert (await ask(client, prompt_of("hello"))).text == "hello"


@pytest.mark.parametrize("generations", [8, pytest.param(50, marks=pytest.mark.slow)])
async def test_many_generations_leave_no_thread_and_no_descriptor_behind(
    unhurried: WorkerClient, generations: int
) -> None:
    """B1: each idle worker is killed, and the next one answers; queues and reader threads go with their generation."""
    await _kill_and_ask(unhurried)
    before = _threads_and_descriptors()
    for _ in range(generations):
        await _kill_and_ask(unhurried)
    threads, descriptors = _threads_and_descriptors()
    assert threads <= before[0] + 1
    assert descriptors <= before[1] + 2


async def test_a_full_pipe_to_a_stopped_worker_does_not_block_the_event_loop(client: WorkerClient) -> None:
    """B4: a megabyte that nobody reads is written by a thread of the queue."""
    assert client.worker_pid is not None
    os.kill(client.worker_pid, signal.SIGSTOP)
    asking = asyncio.create_task(ask(client, prompt_of("x" * 1_000_000)))
    slowest_s = 0.0
    while not asking.done():
        began_s = time.monotonic()
        await asyncio.sleep(0)
        slowest_s = max(slowest_s, time.monotonic() - began_s)
    with pytest.raises(WorkerDied):
        await asking
    assert slowest_s < QUICK.silent_s / 2  # it was not the worker's end that set the loop free


async def test_closing_the_iterator_stops_the_worker_within_a_token(narrow: WorkerClient) -> None:
    """What nobody reads is not computed: the only slot is free again long before 5,000 words are said."""
    async with aclosing(narrow.stream(prompt_of(f"!slow:0.2 {LONG}"))) as events:  # type: ignore[type-var]
        async for event in events:
            if isinstance(event, Delta):
                break
    assert (await ask(narrow, prompt_of("next", deadline_s=5))).text == "next"


async def test_a_cancelled_task_stops_the_worker_too(narrow: WorkerClient) -> None:
    """Cancelling the reader closes its iterator."""
    begun = asyncio.Event()

    async def read() -> None:
        async for _ in narrow.stream(prompt_of(f"!slow:0.1 {LONG}")):
            begun.set()

    reading = asyncio.create_task(read())
    await begun.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert (await ask(narrow, prompt_of("next", deadline_s=5))).text == "next"


async def test_an_answer_that_takes_longer_than_its_deadline_is_given_up(client: WorkerClient) -> None:
    """And the worker with it goes on to the next."""
    with pytest.raises(GenerationTimeout):
        await ask(client, prompt_of("!slow:0.05 " + "word " * 60, deadline_s=0.3))
    assert (await ask(client, prompt_of("next"))).text == "next"


async def test_more_requests_than_slots_are_all_answered(client: WorkerClient) -> None:
    """The surplus waits inside the worker."""
    answers = await asyncio.gather(*(ask(client, prompt_of(f"number {n}")) for n in range(20)))
    assert [answer.text for answer in answers] == [f"number {n}" for n in range(20)]


async def test_leaving_fails_what_is_running_and_leaves_no_process() -> None:
    """Also when the worker is in the middle of an answer."""
    async with WorkerClient(None, EngineOptions(engine="echo-faults"), patience=QUICK) as client:
        await until_state(client, "ready")
        pid = client.worker_pid
        asking = asyncio.create_task(ask(client, prompt_of(f"!slow:0.01 {LONG}")))
        await asyncio.sleep(0)
    with pytest.raises(WorkerDied, match="stopping"):
        await asking
    assert pid is not None
    assert not Path(f"/proc/{pid}").exists()


async def test_leaving_while_the_worker_hangs_leaves_no_process_either() -> None:
    """After the grace it is killed."""
    patience = Patience(heartbeat_s=0.05, silent_s=60, stalled_s=60, shutdown_s=0.2)
    async with WorkerClient(None, EngineOptions(engine="echo-faults"), patience=patience) as client:
        await until_state(client, "ready")
        pid = client.worker_pid
        asking = asyncio.create_task(ask(client, prompt_of("!hang")))
        await asyncio.sleep(0)
    with pytest.raises(WorkerDied):
        await asking
    assert not Path(f"/proc/{pid}").exists()


async def test_a_model_that_cannot_be_had_is_said_and_tried_again() -> None:
    """A13: the third attempt succeeds by itself."""
    attempts = []

    async def prepare() -> ModelFiles:
        attempts.append(client.status().state)
        if len(attempts) < 3:
            raise ModelNotFound("no model of this name")
        return ModelFiles("m", "r", Path("unused"))

    client = WorkerClient(prepare, EngineOptions(engine="echo"), patience=QUICK)
    async with client:
        await until_state(client, "unavailable")
        assert client.status().detail == "no model of this name"
        with pytest.raises(ModelUnavailable, match="no model of this name"):
            await ask(client, prompt_of("hello"))
        await asyncio.wait_for(until_state(client, "ready"), timeout=30)
    assert attempts == ["starting", "unavailable", "unavailable"]
    assert client.status().model == "m"


async def test_an_error_that_nobody_foresaw_is_said_and_tried_again() -> None:
    """It ends neither the supervisor nor the hope for a model."""
    attempts = []

    async def prepare() -> ModelFiles:
        attempts.append(client.status().state)
        if len(attempts) < 3:
            raise PermissionError(13, "Permission denied", "/models")
        return ModelFiles("m", "r", Path("unused"))

    client = WorkerClient(prepare, EngineOptions(engine="echo"), patience=QUICK)
    async with client:
        await until_state(client, "unavailable")
        assert client.status().detail == "PermissionError: [Errno 13] Permission denied: '/models'"
        await until_state(client, "ready")
    assert attempts == ["starting", "unavailable", "unavailable"]


async def test_a_worker_that_cannot_be_started_is_said_and_tried_again() -> None:
    """No process can begin while the interpreter that it needs is not there."""
    resource_tracker.ensure_running()  # needs it, too
    python = spawn.get_executable()
    spawn.set_executable("/absent/python")
    try:
        async with WorkerClient(None, EngineOptions(engine="echo"), patience=QUICK) as client:
            await until_state(client, "unavailable")
            first = client.status().detail
            spawn.set_executable(python)
            await until_state(client, "ready")
    finally:
        spawn.set_executable(python)
    assert first == "FileNotFoundError: [Errno 2] No such file or directory: b'/absent/python'"


async def test_a_model_that_cannot_be_loaded_is_said() -> None:
    """A13: the engine's reason reaches the status."""
    async with WorkerClient(None, EngineOptions(engine="abacus"), patience=QUICK) as client:
        await until_state(client, "unavailable")
        assert "there is no engine named 'abacus'" in client.status().detail


async def test_a_worker_that_dies_again_and_again_makes_the_model_unavailable(client: WorkerClient) -> None:
    """A13: after three deaths without an answer between them people can be told; then it recovers."""
    for _ in range(3):
        await until_state(client, "ready")
        with pytest.raises(WorkerDied):
            await ask(client, prompt_of("!exit0"))
    assert client.status().state == "unavailable"
    await until_state(client, "ready")


@pytest.mark.parametrize("moment", ["starting", "idle", "hanging", "stopped", "seized", "in a thread"])
def test_a_parent_that_is_killed_takes_its_worker_along(moment: str) -> None:
    """A10: also when the worker reads no queue, because it is not so far yet, hangs, or runs no thread at all.

    Where another thread than the main one started it, the kernel is not asked to kill it.
    """
    script = f"""
import asyncio, os, signal, threading
from botbridge.inference.client import WorkerClient
from botbridge.inference.options import EngineOptions, Patience
from tests.fakes.asking import ask, prompt_of, until_state

async def main():
    async with WorkerClient(None, EngineOptions(engine="echo-faults")) as client:
        if {moment!r} == "starting":
            while client.worker_pid is None:
                await asyncio.sleep(0)
        else:
            await until_state(client, "ready")
        if {moment!r} == "hanging":
            task = asyncio.create_task(ask(client, prompt_of("!hang")))
            await asyncio.sleep(0)
        if {moment!r} == "seized":
            task = asyncio.create_task(ask(client, prompt_of("!seize")))
            while client.worker().silent_s < 3 * Patience().heartbeat_s:  # it has taken Python's lock
                await asyncio.sleep(0.05)
        if {moment!r} == "stopped":
            os.kill(client.worker_pid, signal.SIGSTOP)
        print(client.worker_pid, flush=True)
        await asyncio.Event().wait()

if {moment!r} == "in a thread":
    threading.Thread(target=asyncio.run, args=(main(),)).start()
else:
    asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        kill_parent(parent, int(parent.stdout.readline()))


def test_a_worker_outlives_the_thread_that_started_it() -> None:
    """As in a notebook, where the kernel would otherwise take the thread's end for the parent's."""
    loop = asyncio.new_event_loop()
    client = WorkerClient(None, EngineOptions(engine="echo"))

    def start() -> None:
        loop.run_until_complete(client.__aenter__())
        loop.run_until_complete(until_state(client, "ready"))

    starting = threading.Thread(target=start)
    starting.start()
    starting.join()
    before = client.worker_pid
    try:
        for _ in range(20):
            assert loop.run_until_complete(ask(client, prompt_of("hello"))).text == "hello"
        assert client.worker_pid == before
    finally:
        loop.run_until_complete(client.__aexit__(None, None, None))
        loop.close()


async def _kill_and_ask(client: WorkerClient) -> None:
    assert client.worker_pid is not None
    os.kill(client.worker_pid, signal.SIGKILL)
    await until_state(client, "starting")
    assert (await ask(client, prompt_of("hello"))).text == "hello"


def _threads_and_descriptors() -> tuple[int, int]:
    return len(list(Path("/proc/self/task").iterdir())), len(list(Path("/proc/self/fd").iterdir()))
