"""Starting with something wrong: a clear sentence, nothing acknowledged that cannot be kept, the rest works."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from botbridge.models.catalogue import load_catalogue
from botbridge.models.manifest import write_manifest
from botbridge.setting_groups import DEFAULT_MODEL
from tests.fakes.discord import FakeDiscord
from tests.fakes.telegram.client import FakeTelegram
from tests.journey.bridge import Bridge
from tests.journey.conftest import NewBridge
from tests.journey.town import SARA, says

WITHOUT_POWERS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
"""Before a command: an administrator who may no longer write everywhere."""


async def test_a_wrong_telegram_token_leaves_discord_working(new_bridge: NewBridge, discord: FakeDiscord) -> None:
    bridge = new_bridge(TELEGRAM__TOKEN=f"123456:{'w' * 35}")
    await bridge.start()
    await bridge.logged("Telegram does not know this token")
    await discord.wait_until("ready")
    asked = await discord.say("hello")
    await discord.wait_for_reply(asked, until=lambda text: text == "hello")
    health = await bridge.ask("health")
    assert not health["ok"]
    assert health["platforms"]["telegram"] == "Telegram does not know this token"
    assert health["platforms"]["discord"] == "on"
    assert "w" * 35 not in bridge.log


async def test_a_wrong_discord_token_leaves_telegram_working(new_bridge: NewBridge, telegram: FakeTelegram) -> None:
    bridge = new_bridge(DISCORD__TOKEN="not-the-token")
    await bridge.start()
    assert "Discord does not know the token" in await bridge.logged("platform is off")
    said = await telegram.say(SARA, "hello")
    await telegram.wait_for_reply(SARA, after=said.message_id, until=says("hello"))
    health = await bridge.ask("health")
    assert not health["ok"]
    assert health["platforms"]["discord"].startswith("off: ")


async def test_without_its_model_it_stays_up_says_so_and_keeps_the_message(
    new_bridge: NewBridge, telegram: FakeTelegram
) -> None:
    """When the model is there after all, the same message is answered, in the place of what was said before."""
    bridge = new_bridge(INFERENCE__ENGINE="auto", INFERENCE__MODEL="nobody/not-pulled")
    await bridge.start()
    assert "models pull nobody/not-pulled" in await bridge.logged("The model cannot be had")
    said = await telegram.say(SARA, "are you there?")
    told = await telegram.wait_for_reply(SARA, after=said.message_id, until=lambda sent: "cannot run" in sent.text)
    code, out, _ = await bridge.command("health")
    assert (code, "nobody/not-pulled" in out) == (1, True)
    assert [row["state"] for row in bridge.rows("SELECT state FROM inbox")] == ["queued"]
    assert await bridge.terminate() == 0
    await bridge.start(INFERENCE__ENGINE="echo")
    answer = await telegram.wait_for_reply(SARA, until=says("are you there?"))
    assert answer.message_id == told.message_id
    assert [sent.text for sent in (await telegram.ledger()).to(SARA)] == ["are you there?"]


async def test_a_model_that_is_damaged_on_the_disk_is_named_and_the_message_waits(
    new_bridge: NewBridge, telegram: FakeTelegram
) -> None:
    bridge = new_bridge(INFERENCE__ENGINE="auto", INFERENCE__MODEL=DEFAULT_MODEL)
    damage_model(bridge.home)
    await bridge.start()
    line = await bridge.logged("The model cannot be had")
    assert "model.safetensors" in line
    assert f"models pull {DEFAULT_MODEL}" in line
    said = await telegram.say(SARA, "are you there?")
    await telegram.wait_for_reply(SARA, after=said.message_id, until=lambda sent: "cannot run" in sent.text)
    assert [row["state"] for row in bridge.rows("SELECT state FROM inbox")] == ["queued"]


@dataclass(frozen=True)
class Trouble:
    """Something wrong with a home, and what is said about it.

    Attributes:
        cause: Brings it about; goes on until the generator is closed.
        sentences: What the one line of the refusal holds.
        command_prefix: Before the command that starts the service.
    """

    cause: Callable[[Path], Iterator[None]]
    sentences: tuple[str, ...]
    command_prefix: tuple[str, ...] = ()


def newer_schema(home: Path) -> Iterator[None]:
    """Another, later version of botbridge was here."""
    with closing(sqlite3.connect(home / "botbridge.db")) as connection, connection:
        connection.executescript(
            "CREATE TABLE alembic_version (version_num TEXT); INSERT INTO alembic_version VALUES ('9999');"
        )
    yield


def read_only_file(home: Path) -> Iterator[None]:
    """The file is there and must not be written."""
    sqlite3.connect(home / "botbridge.db").close()
    (home / "botbridge.db").chmod(0o400)
    yield


def locked_file(home: Path) -> Iterator[None]:
    """Some other program is writing."""
    with closing(sqlite3.connect(home / "botbridge.db", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("BEGIN EXCLUSIVE")
        yield


def damaged_file(home: Path) -> Iterator[None]:
    """What lies there is no database any more."""
    (home / "botbridge.db").write_bytes(b"these are not the bytes of a database" * 100)
    yield


def file_for_socket(home: Path) -> Iterator[None]:
    """Something that is no socket lies where the socket goes."""
    (home / "control.sock").write_text("precious")
    yield


TROUBLES = [
    Trouble(newer_schema, ("has the schema 9999", "a newer one wrote it")),
    Trouble(
        read_only_file, ("Permission denied", "writable for this user"), WITHOUT_POWERS if os.getuid() == 0 else ()
    ),
    pytest.param(Trouble(locked_file, ("another process holds its write lock",)), marks=pytest.mark.slow),
    Trouble(damaged_file, ("no SQLite database at all", "puts a backup in its place")),
    Trouble(file_for_socket, ("control.sock is in the way of the control socket: it is not a socket",)),
]


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.cause.__name__)
async def test_what_makes_keeping_impossible_is_refused_and_nothing_is_acknowledged(
    new_bridge: NewBridge, telegram: FakeTelegram, trouble: Trouble
) -> None:
    if trouble.command_prefix and shutil.which(trouble.command_prefix[0]) is None:
        pytest.skip("only a user who is not an administrator can be refused here")
    said = await telegram.say(SARA, "keep this")
    bridge = new_bridge()
    for _ in trouble.cause(bridge.home):
        await bridge.start(command_prefix=trouble.command_prefix)
        assert await bridge.exited() == 1
    assert refusal(bridge.log, trouble.sentences), bridge.log
    assert "Traceback" not in bridge.log
    assert (await telegram.ledger()).unconfirmed == (said.update_id,)
    assert bridge.processes() == []


async def test_a_second_service_on_the_same_database_is_refused_with_the_name_of_the_first(
    bridge: Bridge, new_bridge: NewBridge, telegram: FakeTelegram
) -> None:
    second = new_bridge(home=bridge.home)
    await second.start()
    assert await second.exited() == 1
    assert refusal(second.log, (f"is in use by process {bridge.pid}",)), second.log
    said = await telegram.say(SARA, "hello")
    await telegram.wait_for_reply(SARA, after=said.message_id, until=says("hello"))


@pytest.mark.slow
async def test_a_lock_on_the_database_delays_what_arrives_and_loses_nothing(
    bridge: Bridge, telegram: FakeTelegram
) -> None:
    with closing(sqlite3.connect(bridge.database, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        said = await telegram.say(SARA, "hello")
        await bridge.logged("message not stored")
        assert (await telegram.ledger()).unconfirmed == (said.update_id,)
    await telegram.wait_for_reply(SARA, after=said.message_id, until=says("hello"), timeout_s=60)
    assert len((await telegram.ledger()).to(SARA)) == 1


def refusal(log: str, sentences: tuple[str, ...]) -> bool:
    """Whether one line of the log that is meant for people holds all of these."""
    lines = [line for line in log.splitlines() if line.startswith("botbridge: ")]
    return any(all(sentence in line for sentence in sentences) for line in lines)


def damage_model(home: Path) -> None:
    """Leave the default model as a disk that lost the end of a file would."""
    revision = load_catalogue().resolve(DEFAULT_MODEL).pinned_revision
    assert revision is not None
    directory = home / "models" / DEFAULT_MODEL / revision
    directory.mkdir(parents=True)
    weights = directory / "model.safetensors"
    weights.write_bytes(b"w" * 100)
    write_manifest(directory, DEFAULT_MODEL, revision)
    weights.write_bytes(b"w" * 50)


async def test_health_is_no_while_a_platform_cannot_be_reached(new_bridge: NewBridge, discord: FakeDiscord) -> None:
    """A token that was never tried is not a platform that is on."""
    bridge = new_bridge(TELEGRAM__API_BASE_URL="http://127.0.0.1:9")
    await bridge.start()
    await discord.wait_until("ready")
    asked = await discord.say("hello")
    await discord.wait_for_reply(asked, until=lambda text: text == "hello")
    health = await bridge.ask("health")
    assert not health["ok"]
    assert "Connect call failed ('127.0.0.1', 9)" in health["platforms"]["telegram"]
    assert health["platforms"]["discord"] == "on"
