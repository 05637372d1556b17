"""The worker is ended under a living service by what a machine does to it; people see one answer, and nothing else."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.fakes.control_group import NoGroupError, joining, limited_group
from tests.fakes.telegram.client import FakeTelegram, Person
from tests.fakes.tiny_models import looping_gpt2
from tests.faults.chaos import PLAIN
from tests.faults.dying import nothing_open
from tests.journey.bridge import LOOK_S, Bridge
from tests.journey.conftest import NewBridge
from tests.journey.town import is_status, says, telegram_places

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

ANA, BEN = Person(11), Person(12)
WORDS = 2000
"""Each is a token; they are read in eight pieces."""

READ_S = 180.0
"""On a busy machine it takes long to load torch and to read so much."""

LIMIT_MIB = 400
"""Enough for the service and a worker that does what it should."""


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


async def test_a_worker_that_the_kernel_kills_for_want_of_memory_is_told_with_its_numbers(
    new_bridge: NewBridge, telegram: FakeTelegram
) -> None:
    """A12: as in a container that grants service and worker 400 MiB together, of which a message takes all."""
    bridge = new_bridge(DISCORD__TOKEN="")
    with limited(LIMIT_MIB) as group:
        try:
            await bridge.start(command_prefix=joining(group), program=PLAIN)
            service = bridge.pid
            await telegram.say(ANA, "!eat")
            line = await bridge.logged("was killed by the kernel for want of memory")
            assert re.search(rf"it held \d+ MiB .* may use {LIMIT_MIB} MiB together", line)
            await telegram.wait_for_reply(ANA, until=lambda sent: "gave this message up" in sent.text, timeout_s=60)
            said = await telegram.say(BEN, "still there?")
            await telegram.wait_for_reply(BEN, after=said.message_id, until=says("still there?"), timeout_s=60)
            assert bridge.pid == service
        finally:
            await bridge.kill_tree()
    ends = bridge.rows("SELECT state, attempts FROM inbox ORDER BY id")
    assert ends == [{"state": "quarantined", "attempts": 2}, {"state": "answered", "attempts": 1}]
    (told,) = telegram_places(await telegram.ledger())[f"telegram:{ANA.id}"].said
    assert "gave this message up" in told


@contextmanager
def limited(mebibytes: int) -> Iterator[Path]:
    """A control group with so much memory; the test is skipped where none can be made."""
    with ExitStack() as stack:
        try:
            group = stack.enter_context(limited_group(mebibytes * 2**20))
        except NoGroupError as error:
            pytest.skip(f"no control group with a limit of memory can be made here: {error}")
        yield group
