"""Tiny models, built once per run, and real workers that obey fault words."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import torch

from botbridge.inference.client import WorkerClient
from botbridge.inference.options import EngineOptions, Patience
from botbridge.models.files import ModelFiles
from tests.fakes import tiny_models
from tests.fakes.asking import until_state
from tests.fakes.remote_town import Town

QUICK = Patience(heartbeat_s=0.05, silent_s=1.0, stalled_s=1.0, retry_least_s=0.01, retry_most_s=0.1)

UNHURRIED = Patience(heartbeat_s=0.05, silent_s=30.0, stalled_s=30.0, retry_least_s=0.01, retry_most_s=0.1)
"""For what is found at once: on a busy machine a worker may be silent for a while."""


@asynccontextmanager
async def faulty_client(patience: Patience, *, slots: int = 2) -> AsyncIterator[WorkerClient]:
    """A client over the echo engine that obeys fault words, when it is ready."""
    async with WorkerClient(None, EngineOptions(engine="echo-faults", slots=slots), patience=patience) as client:
        await until_state(client, "ready")
        yield client


def kill_parent(parent: subprocess.Popen[str], worker_pid: int) -> None:
    """Kill a process that has a worker, which must end within 5 s; afterwards it is gone in any case."""
    worker = os.pidfd_open(worker_pid)
    parent.kill()
    poll = select.poll()
    poll.register(worker, select.POLLIN)
    has_ended = bool(poll.poll(5000))
    if not has_ended:
        signal.pidfd_send_signal(worker, signal.SIGKILL)
    os.close(worker)
    assert has_ended, "the worker outlived its parent by 5 s"


@pytest.fixture
async def client() -> AsyncIterator[WorkerClient]:
    """A client whose worker is replaced soon after it fell silent."""
    async with faulty_client(QUICK) as client:
        yield client


@pytest.fixture
async def unhurried() -> AsyncIterator[WorkerClient]:
    """A client whose worker may be silent for long."""
    async with faulty_client(UNHURRIED) as client:
        yield client


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Models this small lose time in waiting for a second thread."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    """An instruct model with random weights."""
    return tiny_models.tiny_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def tiny_gpt2(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    """A base model with random weights."""
    return tiny_models.tiny_gpt2(tmp_path_factory.mktemp("gpt2"))


@pytest.fixture(scope="session")
def looping_gpt2(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    """A base model that says one sentence over and over."""
    return tiny_models.looping_gpt2(tmp_path_factory.mktemp("looping-gpt2"))


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    """A service over scripted servers; the test opens both."""
    async with AsyncExitStack() as stack:
        yield Town(stack)
