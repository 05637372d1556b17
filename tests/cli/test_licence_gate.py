"""A model whose licence was not accepted is neither fetched nor run, by any way in; once accepted, it is."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from botbridge.api import Bot
from botbridge.cli.models import models_app
from botbridge.control import ControlClient
from botbridge.errors import ModelNotLicensed
from botbridge.models.ensure import pull_error
from botbridge.models.store import ModelStore
from botbridge.settings import child_environment, load_settings
from tests.fakes.hub import FakeHub
from tests.fakes.tiny_models import tiny_llama
from tests.journey.bridge import Bridge

LLAMA, GEMMA, OPT = "meta-llama/Llama-3.2-1B-Instruct", "google/gemma-3-1b-it", "facebook/opt-6.7b"
TOKEN = "hf_accepted"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A real model of a few thousand random weights, as a hub holds it."""
    directory = tiny_llama(tmp_path_factory.mktemp("tiny")).directory
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.fixture
def hub(weights: dict[str, bytes]) -> Iterator[FakeHub]:
    """A hub with small models under the names of large ones."""
    with FakeHub() as server:
        for name in (LLAMA, GEMMA):
            server.repository(name, gated=True).commit(weights)
        server.repository(OPT).commit(weights)
        server.repository("org/unheard-of").commit(weights)
        server.accepted_tokens = {TOKEN}
        yield server


@pytest.fixture
async def bridge(hub: FakeHub) -> AsyncIterator[Bridge]:
    """A service that is not started yet, with a home whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="bb") as home:
        settings = {
            "HUB__ENDPOINT": hub.endpoint,
            "HUB__TOKEN": TOKEN,
            "INFERENCE__MODEL": LLAMA,
            "INFERENCE__ENGINE": "transformers",
            "INFERENCE__MAX_NEW_TOKENS": "4",
            "INFERENCE__THREADS": "1",
            "INFERENCE__DTYPE": "float32",
        }
        bridge = Bridge(Path(home), settings)
        yield bridge
        await bridge.kill_tree()


def is_refusal(err: str, sentence: str) -> bool:
    """One line of ours that says so, and no traceback."""
    ours = [line for line in err.splitlines() if line.startswith("botbridge: ")]
    return len(ours) == 1 and sentence in ours[0] and "Traceback" not in err


def models(bridge: Bridge, *words: str) -> Result:
    """Run `botbridge models` with the settings of a service."""
    variables = {"BOTBRIDGE_HOME": str(bridge.home)} | {f"BOTBRIDGE_{name}": of for name, of in bridge.settings.items()}
    return CliRunner().invoke(models_app, words, env=variables)


async def is_served(bridge: Bridge) -> None:
    """Return once the service answers; a process tells nobody else that it does."""
    client = ControlClient(bridge.home / "control.sock")
    async with asyncio.timeout(60):
        while not await client.is_served():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def accept(bridge: Bridge, model: str, use: str) -> None:
    assert models(bridge, "licence", model, "--use", use, "--accept").exit_code == 0


def test_a_pull_is_refused_then_accepted_and_brings_the_notice(bridge: Bridge, hub: FakeHub) -> None:
    refused = models(bridge, "pull", LLAMA)
    assert isinstance(refused.exception, ModelNotLicensed)
    assert "--use personal --accept" in str(refused.exception)
    assert hub.requests == []
    assert not (bridge.home / "models").exists()
    accept(bridge, LLAMA, "personal")
    directory = Path(json.loads(models(bridge, "pull", LLAMA, "--json").stdout)["directory"])
    assert "Llama 3.2 is licensed under" in (directory / "NOTICE").read_text(encoding="utf-8")
    assert models(bridge, "verify").exit_code == 0


def test_where_others_write_to_the_bot_the_licence_is_proposed_for_them(bridge: Bridge) -> None:
    bridge.settings["TELEGRAM__TOKEN"] = "1:token"
    refused = models(bridge, "pull", LLAMA)
    assert str(refused.exception).endswith("--use saas --accept")


def test_a_refused_pull_tells_programs_which_error_it_is(bridge: Bridge) -> None:
    """`botbridge run` reads this line of the pull that it starts."""
    refused = models(bridge, "pull", GEMMA, "--json")
    assert refused.exit_code == 1
    assert type(pull_error(refused.stdout.encode(), 1)) is ModelNotLicensed


@pytest.mark.slow
async def test_run_refuses_then_runs_what_was_accepted_and_shows_its_notice(bridge: Bridge) -> None:
    await bridge.start()
    assert await bridge.exited() == 1
    assert is_refusal(bridge.log, "was not accepted here"), bridge.log
    assert not bridge.database.exists()

    accept(bridge, LLAMA, "saas")
    assert models(bridge, "pull", LLAMA).exit_code == 0
    await bridge.start()
    await bridge.logged("Built with Llama")
    await bridge.logged("Llama 3.2 is licensed under the Llama 3.2 Community License")
    await is_served(bridge)
    # With a seed: what a random model says may be nothing, which is not remembered.
    code, out, err = await bridge.command("chat", "--once", "hello", "--seed", "3")
    assert (code, bool(out)) == (0, True), err
    assert bridge.log.count("Built with Llama") == 1

    assert await bridge.terminate() == 0
    (bridge.home / "acceptances").rename(bridge.home / "withdrawn")
    code, out, err = await bridge.command("replay", "last")
    assert (code, out) == (1, "")
    assert is_refusal(err, "was not accepted here"), err


@pytest.mark.parametrize(
    ("model", "sentence"), [(LLAMA, "accepted for personal alone"), (OPT, "clause 2.a(i)")], ids=["wider", "forbidden"]
)
async def test_a_use_that_was_not_accepted_is_refused(bridge: Bridge, model: str, sentence: str) -> None:
    accept(bridge, model, "personal")
    bridge.settings |= {"INFERENCE__MODEL": model, "LICENCE__USE": "saas"}
    assert sentence in str(models(bridge, "pull", model).exception)
    await bridge.start()
    assert await bridge.exited() == 1
    assert is_refusal(bridge.log, sentence), bridge.log


@pytest.mark.parametrize("words", [("chat", "--once", "hello"), ("bench", "--tokens", "1")], ids=lambda words: words[0])
@pytest.mark.slow
async def test_no_other_command_loads_it_either(bridge: Bridge, words: tuple[str, ...]) -> None:
    accept(bridge, LLAMA, "personal")
    assert models(bridge, "pull", LLAMA).exit_code == 0
    (bridge.home / "acceptances").rename(bridge.home / "withdrawn")
    code, out, err = await bridge.command(*words)
    assert (code, out) == (1, "")
    assert is_refusal(err, "was not accepted here"), err
    assert bridge.processes() == []


def test_the_python_interface_refuses_it_as_well(bridge: Bridge) -> None:
    settings = load_settings({"HOME": str(bridge.home), "INFERENCE__MODEL": LLAMA})
    with pytest.raises(ModelNotLicensed, match="was not accepted here"):
        Bot(settings=settings)


@pytest.mark.slow
async def test_an_unknown_licence_is_a_note_and_the_model_is_fetched_and_run(bridge: Bridge, hub: FakeHub) -> None:
    note = f"org/unheard-of: licence unknown to botbridge; read {hub.endpoint}/org/unheard-of"
    pulled = models(bridge, "pull", "org/unheard-of")
    assert pulled.exit_code == 0
    assert note in pulled.stderr.splitlines()
    assert ModelStore(bridge.home).installed()
    await bridge.start(INFERENCE__MODEL="org/unheard-of")
    await bridge.logged(note)


@pytest.mark.slow
async def test_an_engine_that_runs_no_model_here_asks_for_no_licence(bridge: Bridge) -> None:
    bridge.settings["INFERENCE__ENGINE"] = "echo"
    assert (await bridge.command("chat", "--once", "hello there"))[:2] == (0, "hello there\n")
    await bridge.start()
    await is_served(bridge)
    assert (await bridge.command("chat", "--once", "hello there"))[:2] == (0, "hello there\n")


def test_the_use_of_the_settings_reaches_the_pull_that_the_service_starts(tmp_path: Path) -> None:
    settings = load_settings({"HOME": str(tmp_path), "LICENCE__USE": "embed"})
    assert child_environment(settings)["BOTBRIDGE_LICENCE__USE"] == "embed"
    unset = load_settings({"HOME": str(tmp_path)})
    assert "BOTBRIDGE_LICENCE__USE" not in child_environment(unset)
