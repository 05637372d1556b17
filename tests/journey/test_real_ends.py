"""The real model, and the end of the process while it answers; and a model that cannot be loaded."""

from __future__ import annotations

import shutil
from pathlib import Path

import psutil
import pytest

from tests.fakes.discord import FakeDiscord
from tests.fakes.telegram.client import FakeTelegram
from tests.journey.bridge import Bridge
from tests.journey.conftest import NewBridge
from tests.journey.town import SARA, Town, discord_places, is_status, telegram_places

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

MODEL = {
    "INFERENCE__ENGINE": "auto",
    "INFERENCE__TEMPERATURE": "0",
    "INFERENCE__THREADS": "1",  # several wait for one another on a busy machine
    "INFERENCE__MAX_NEW_TOKENS": "32",
}
LONG = "Write a very long story about a ship, a storm and a lighthouse."
ANSWER_TIMEOUT_S = 180.0


async def test_nothing_is_lost_or_doubled_when_everything_is_killed_in_mid_answer(
    new_bridge: NewBridge, model_home: Path, telegram: FakeTelegram, discord: FakeDiscord
) -> None:
    """Somebody even writes while nothing runs. The servers' ledgers are asked, not the database."""
    town = Town(new_bridge(models=model_home / "models", **MODEL), telegram, discord)
    await ask_all(town)
    await town.bridge.kill_tree()
    assert town.bridge.processes() == []
    await telegram.say(town.somebody(), "Say hello.")
    await town.bridge.start()
    await town.bridge.until(lambda: all_settled(town.bridge, messages=5), ANSWER_TIMEOUT_S)
    await each_has_one_answer(town)


async def test_an_answer_in_the_making_is_finished_and_sent_before_sigterm_ends_it(
    new_bridge: NewBridge, model_home: Path, telegram: FakeTelegram
) -> None:
    """A11."""
    bridge = new_bridge(models=model_home / "models", **MODEL | {"RUN__GRACE_S": "600", "DISCORD__TOKEN": ""})
    await bridge.start()
    await telegram.say(SARA, LONG)
    await telegram.wait_until(lambda record: record.unconfirmed == ())
    await bridge.until(lambda: bridge.rows("SELECT state FROM inbox") == [{"state": "running"}], ANSWER_TIMEOUT_S)
    assert await bridge.terminate(ANSWER_TIMEOUT_S) == 0
    assert bridge.rows("SELECT state FROM inbox") == [{"state": "answered"}]
    assert bridge.rows("SELECT DISTINCT state FROM outbox WHERE NOT is_status") == [{"state": "sent"}]


async def test_sigterm_in_mid_answer_leaves_no_process_and_the_next_start_answers(
    new_bridge: NewBridge, model_home: Path, telegram: FakeTelegram, discord: FakeDiscord
) -> None:
    settings = MODEL | {"RUN__GRACE_S": "0"}
    town = Town(new_bridge(models=model_home / "models", **settings), telegram, discord)
    await ask_all(town)
    assert await town.bridge.terminate() == 0
    assert town.bridge.processes() == []
    await town.bridge.start()
    await town.bridge.until(lambda: all_settled(town.bridge, messages=4), ANSWER_TIMEOUT_S)
    await each_has_one_answer(town)


async def test_sigterm_while_the_model_is_loaded_leaves_no_process_and_the_next_start_answers(
    new_bridge: NewBridge, model_home: Path, telegram: FakeTelegram
) -> None:
    """A11."""
    bridge = new_bridge(models=model_home / "models", **MODEL)
    await telegram.say(SARA, "Say hello.")
    await bridge.start()
    await telegram.wait_until(lambda record: record.unconfirmed == ())
    await bridge.logged("Worker 1 started")
    assert await bridge.terminate() == 0
    assert bridge.processes() == []
    assert [row["state"] for row in bridge.rows("SELECT state FROM inbox")] == ["queued"]
    await bridge.start()
    await bridge.until(lambda: all_settled(bridge, messages=1), ANSWER_TIMEOUT_S)


async def test_the_worker_leaves_when_the_service_alone_is_killed_while_the_model_is_loaded(
    new_bridge: NewBridge, model_home: Path
) -> None:
    bridge = new_bridge(models=model_home / "models", **MODEL)
    await bridge.start()
    await bridge.logged("Worker 1 started")
    worker = bridge.worker()
    psutil.Process(bridge.pid).kill()
    assert worker.wait(timeout=10) is None or not worker.is_running()
    assert await bridge.exited() == -9


async def test_weights_that_cannot_be_loaded_are_said_to_be_so_and_the_message_waits(
    new_bridge: NewBridge, model_home: Path, telegram: FakeTelegram, tmp_path: Path
) -> None:
    (model,) = (model_home / "models").glob("*/*/model.safetensors")
    directory = tmp_path / "model"
    shutil.copytree(model.parent, directory)
    (directory / "model.safetensors").write_bytes(model.read_bytes()[:1000])
    bridge = new_bridge(**MODEL | {"INFERENCE__MODEL": str(directory), "INFERENCE__ENGINE": "transformers"})
    await bridge.start()
    await bridge.logged("could not load the model", timeout_s=60)
    said = await telegram.say(SARA, "are you there?")
    await telegram.wait_for_reply(SARA, after=said.message_id, until=lambda sent: "cannot run" in sent.text)
    assert [row["state"] for row in bridge.rows("SELECT state FROM inbox")] == ["queued"]
    health = await bridge.ask("health")
    assert (health["ok"], health["state"]) == (False, "unavailable")


async def ask_all(town: Town) -> None:
    """Let two people ask on each platform; return while the first one's answer is being written."""
    await town.bridge.start()
    await town.discord.wait_until("ready")
    sara = town.somebody()
    await town.telegram.say(sara, LONG)
    await town.telegram.say(town.somebody(), "Say hello.")
    for name in ("ana", "ben"):
        await town.discord.say("Say hello.", person=name, channel=name)
    await town.bridge.until(lambda: len(town.bridge.rows("SELECT id FROM inbox")) == 4)
    await town.telegram.wait_until(
        lambda record: any(not is_status(sent.text) for sent in record.to(sara)), ANSWER_TIMEOUT_S
    )


def all_settled(bridge: Bridge, *, messages: int) -> bool:
    """Whether so many messages came in and everything that is owed to their senders has been delivered."""
    ended = bridge.rows("SELECT id FROM inbox WHERE finished_at IS NOT NULL")
    owed = bridge.rows("SELECT id FROM outbox WHERE NOT is_status AND settled_at IS NULL")
    return len(ended) == messages and not owed


async def each_has_one_answer(town: Town) -> None:
    """Hold the ledgers of both servers to it: everywhere one question, and one text that is no status line."""
    places = telegram_places(await town.telegram.ledger()) | await discord_places(town.discord)
    assert {name: (len(place.asked), len(place.answers)) for name, place in places.items()} == dict.fromkeys(
        places, (1, 1)
    )
