"""`botbridge doctor` as an operator runs it, on this machine."""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from botbridge.control import ControlClient
from tests.fakes.schemas import complaints
from tests.journey.bridge import Bridge

ECHO = {"INFERENCE__ENGINE": "echo"}


@pytest.fixture
def home() -> Iterator[Path]:
    """Short, because a socket's path has to be."""
    with tempfile.TemporaryDirectory(prefix="bb") as directory:
        yield Path(directory)


@pytest.fixture
async def bridge(home: Path) -> AsyncIterator[Bridge]:
    bridge = Bridge(home, ECHO)
    yield bridge
    await bridge.kill_tree()


async def test_a_machine_that_can_is_ready_with_0_and_tells_it_in_the_published_form(bridge: Bridge) -> None:
    code, out, err = await bridge.command("doctor", "--json")
    printed = json.loads(out)
    assert (code, printed["ready"], err) == (0, True, "")
    assert complaints("doctor", printed) == []


async def test_what_is_missing_ends_with_1_and_the_command_that_mends_it_on_a_line_of_its_own(bridge: Bridge) -> None:
    """However narrow the table is: a command that is broken in two cannot be copied."""
    bridge.settings = {
        "INFERENCE__MODEL": "an-organisation-with-a-long-name/and-a-model-with-a-name-that-is-no-shorter"
    }
    code, out, _ = await bridge.command("doctor")
    assert code == 1
    assert f"\n    botbridge models pull {bridge.settings['INFERENCE__MODEL']}\n" in out
    assert out.endswith("Not ready.\n")


async def test_another_model_than_the_settings_can_be_asked_about(bridge: Bridge) -> None:
    bridge.settings = {}
    code, out, _ = await bridge.command("doctor", "--model", "org/absent", "--json")
    assert (code, json.loads(out)["model"]) == (1, "org/absent")


async def test_in_arabic_all_but_the_json_is_arabic(bridge: Bridge) -> None:
    code, out, _ = await bridge.command("doctor", "--lang", "ar")
    assert (code, out.endswith("جاهز.\n")) == (0, True)
    _, printed, _ = await bridge.command("doctor", "--lang", "ar", "--json")
    assert not re.search("[\u0600-\u06ff]", json.dumps(json.loads(printed), ensure_ascii=False))


async def test_a_name_that_no_model_has_is_wrong_use(bridge: Bridge) -> None:
    bridge.settings = {}
    code, out, err = await bridge.command("doctor", "--model", "no such model")
    assert (code, out) == (2, "")
    assert "no model is called" in err


LEAST_BOT_BYTES = 200_000_000
"""The weights of the embedded model, and the processes that it needs: 128 MB and more for the service alone."""


async def until_ready(bridge: Bridge) -> None:
    """Return once the service's model is loaded; a process tells nobody by itself."""
    client = ControlClient(bridge.home / "control.sock")
    async with asyncio.timeout(60):
        while not await client.is_served() or (await client.ask("health"))["state"] != "ready":  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_beside_a_bot_that_runs_its_own_memory_is_not_missed(home: Path, model_home: Path) -> None:
    """It is looked over as it is, and the one that runs is left alone."""
    async with Bridge(home, {}, models=model_home / "models") as bridge:
        await until_ready(bridge)
        code, out, err = await bridge.command("doctor", "--json")
        rows = {row["component"]: row for row in json.loads(out)["rows"]}
        assert (code, err) == (0, "hashing the files of smollm2-135m-instruct\n")
        assert "MB of the running bot" in rows["Memory (RAM)"]["found"]
        assert json.loads(out)["machine"]["memory"]["bot_bytes"] > LEAST_BOT_BYTES
        assert rows["Model"]["found"].endswith("every hash agrees")
        assert rows["Database"]["status"] == "ok"
        await until_ready(bridge)
