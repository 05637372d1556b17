"""The worker is ended under a living service by what a machine does to it; people see one answer, and nothing else."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.fakes.telegram.client import FakeTelegram, Person
from tests.fakes.tiny_models import looping_gpt2
from tests.faults.dying import nothing_open
from tests.journey.bridge import LOOK_S, Bridge
from tests.journey.conftest import NewBridge
from tests.journey.town import is_status, telegram_places

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

ANA = Person(11)
WORDS = 2000
"""Each is a token; they are read in eight pieces."""

READ_S = 180.0
"""On a busy machine it takes long to load torch and to read so much."""


async def test_a_worker_that_is_killed_while_it_reads_a_prompt_costs_an_attempt_and_no_word_to_anybody(
    new_bridge: NewBridge, telegram: FakeTelegram, tmp_path: Path
) -> None:
    """A6: the kill falls between two pieces of the prompt, as a heartbeat told."""
    model = looping_gpt2(tmp_path / "model", width=512, layers=8, context_tokens=WORDS + 500)
    bridge = new_bridge(
        DISCORD__TOKEN="",
        INFERENCE__ENGINE="transformers",
        INFERENCE__MODEL=str(model.directory),
        INFERENCE__DTYPE="float32",
        INFERENCE__THREADS="1",
        INFERENCE__TEMPERATURE="0",
        INFERENCE__MAX_NEW_TOKENS="7",
    )
    await bridge.start()
    await telegram.say(ANA, " ".join(["I"] * WORDS))
    await bridge.logged("Worker 1 started", READ_S)
    await bridge.until(lambda: begun(bridge), READ_S)
    assert 0 < await tokens_read(bridge) < WORDS
    worker = bridge.worker()
    worker.kill()
    await bridge.logged("The worker 1 was ended by SIGKILL")
    await bridge.until(lambda: nothing_open(bridge), READ_S)
    assert bridge.worker().pid != worker.pid
    assert bridge.rows("SELECT state, attempts FROM inbox") == [{"state": "answered", "attempts": 2}]
    assert len(bridge.rows("SELECT id FROM turn WHERE role = 'assistant'")) == 1
    (said,) = telegram_places(await telegram.ledger())[f"telegram:{ANA.id}"].said
    assert said.startswith("I do not know what to say")
    (sent,) = (await telegram.ledger()).sent
    assert all(is_status(text) or said.startswith(text) for text in sent.edits)


def begun(bridge: Bridge) -> bool:
    """Whether the message is in the worker's hands; until then health may put a question of its own to it."""
    return bridge.rows("SELECT state FROM inbox") == [{"state": "running"}]


async def tokens_read(bridge: Bridge) -> int:
    """Wait until the worker has told of tokens; of how many."""
    found = 0
    while found == 0:
        await asyncio.sleep(LOOK_S)
        worker = (await bridge.ask("health"))["facts"]["worker"]
        found = worker["tokens_total"] if worker else 0
    return found
