"""A real worker with a real model ends between two pieces of a prompt; the next one reads it from its beginning."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from botbridge.answers import Completion, Delta, Started
from botbridge.errors import WorkerDied
from botbridge.inference.client import WorkerClient
from botbridge.inference.options import EngineOptions, Patience
from botbridge.models.files import ModelFiles
from tests.fakes.asking import ask, prompt_of, until_state

OPTIONS = EngineOptions(engine="transformers", dtype="float32", threads=1, prefill_tokens=1)
"""A prompt is read in as many pieces as it has tokens."""

PATIENCE = Patience(heartbeat_s=0.01, silent_s=5.0, retry_least_s=0.01, retry_most_s=0.1)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # torch is loaded twice

LETTERS = 400
"""Each is a token of the model with one token a byte."""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_worker_that_is_killed_or_stopped_while_it_reads_a_prompt_fails_the_request(
    tiny_llama: ModelFiles, number: signal.Signals
) -> None:
    """A6, A9: it has read some of the prompt, and nobody has heard a word of the answer."""

    async def prepare() -> ModelFiles:
        return tiny_llama

    prompt, seen = prompt_of("a" * LETTERS, deadline_s=240), list[Started | Delta | Completion]()

    async def read() -> None:
        async for event in client.stream(prompt):
            seen.append(event)

    async with WorkerClient(prepare, OPTIONS, patience=PATIENCE) as client:
        await until_state(client, "ready")
        striking = asyncio.create_task(strike_in_mid_prompt(client, number))
        with pytest.raises(WorkerDied):
            await read()
        assert 0 < await striking < LETTERS
        (started,) = seen
        assert isinstance(started, Started)
        answer = await ask(client, prompt)
    assert answer.started == started
    assert answer.started.cached_tokens == 0
    assert len(answer.completion.provenance.completion_ids) > 0


async def strike_in_mid_prompt(client: WorkerClient, number: signal.Signals) -> int:
    """Send the worker a signal at the first heartbeat that tells of tokens; how many these were."""
    while (signs := client.worker()) is None or signs.tokens_total == 0:  # noqa: ASYNC110 - nobody tells of a heartbeat
        await asyncio.sleep(PATIENCE.heartbeat_s)
    assert client.worker_pid is not None
    os.kill(client.worker_pid, number)
    return signs.tokens_total
