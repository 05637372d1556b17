"""Everything that a service at its most talkative leaves behind, searched for every secret that it was told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from botbridge.app import build
from botbridge.settings import load_settings
from tests.fakes.discord import FakeDiscord
from tests.fakes.telegram.client import FakeTelegram
from tests.journey.bridge import Bridge
from tests.journey.conftest import NewBridge
from tests.journey.hunting import SECRET_SETTINGS, found_in, known_to_the_kernel, leaks, left_behind, spellings
from tests.journey.town import SARA, says

HUB_TOKEN = "hf_canaryOfTheHub0123456789"
REMOTE_KEY = "sk-canary-of-the-remote-0123456789"
WEBHOOK_URL = "https://bot.example.org/canary-of-the-webhook-0123456789"
WEBHOOK_SECRET = "canary_of_the_webhook_9876543210"


@pytest.fixture
def secrets(telegram: FakeTelegram, discord: FakeDiscord) -> dict[str, str]:
    """Every secret of the settings, by the setting's name; each is set and in use where there is a use for it."""
    return {
        "TELEGRAM__TOKEN": telegram.token,
        "TELEGRAM__WEBHOOK_URL": WEBHOOK_URL,
        "TELEGRAM__WEBHOOK_SECRET": WEBHOOK_SECRET,
        "DISCORD__TOKEN": discord.token,
        "HUB__TOKEN": HUB_TOKEN,
        "INFERENCE__REMOTE_KEY": REMOTE_KEY,
    }


@pytest.fixture
async def talkative(new_bridge: NewBridge, secrets: dict[str, str], discord: FakeDiscord) -> Bridge:
    """A service that logs all it can, and whose model breaks on demand."""
    bridge = new_bridge(LOG__LEVEL="DEBUG", **secrets)
    await bridge.start()
    await discord.wait_until("ready", timeout_s=120)
    return bridge


@pytest.mark.slow
async def test_no_secret_is_anywhere_where_it_was_not_put(
    talkative: Bridge, telegram: FakeTelegram, discord: FakeDiscord, secrets: dict[str, str]
) -> None:
    """Answers, failures and nonsense of both platforms, a killed worker, every command that prints facts, and an end.

    Looked into are stdout, stderr, the database with its log and backup, what the
    kernel knows of the processes, and what the commands say.
    """
    bridge = talkative
    said = await telegram.say(SARA, "hello")
    await telegram.wait_for_reply(SARA, after=said.message_id, until=says("hello"))
    asked = await discord.say("hello")
    await discord.wait_for_reply(asked, until=lambda text: text == "hello")
    for kind in ("status", "cut", "garbage"):
        await telegram.break_calls("*", kind, times=2)
    await discord.fail("status", times=2)
    await telegram.offer_raw('{"message": 7}')
    await discord.dispatch("MESSAGE_CREATE", {"id": "1", "content": 7})
    for text in ("one", "two"):
        said = await telegram.say(SARA, text)
        await telegram.wait_for_reply(SARA, after=said.message_id, until=says(text), timeout_s=60)
        asked = await discord.say(text)
        await discord.wait_for_reply(asked, until=lambda reply, text=text: reply == text)
    places = known_to_the_kernel(bridge.worker(), "environ", "cmdline")
    places |= known_to_the_kernel(psutil.Process(bridge.pid), "cmdline")
    bridge.worker().kill()
    await bridge.logged("Worker 2 started")
    for words in (
        "health --json",
        "config show",
        "config show --json",
        "config check",
        "admin queue --json",
        f"people export telegram:{SARA.id}",
        "db check",
        "db backup copy.db",
    ):
        code, out, err = await bridge.command(*words.split())
        assert code == 0 or words.startswith("health"), err
        assert out or err
        places[words] = (out + err).encode()
    places |= {f"{name} before the end": content for name, content in left_behind(bridge.home).items()}
    assert await bridge.terminate() == 0
    places |= left_behind(bridge.home)
    places["wrong token"] = await _log_with_a_wrong_token(bridge, secrets["TELEGRAM__TOKEN"])
    assert b'"level": "debug"' in places["stderr.log"], "the log was not at its most talkative"
    for place in ("botbridge.db", "botbridge.db-wal before the end", "copy.db"):
        assert b"hello" in places[place], "the database was not read where its content is"
    assert "stdout.log" in places
    assert found_in(places, secrets) == []


async def _log_with_a_wrong_token(bridge: Bridge, token: str) -> bytes:
    """What is said when Telegram refuses: libraries repeat the token that was offered."""
    await bridge.start(TELEGRAM__TOKEN=token[:-1] + ("A" if token[-1] != "A" else "B"))
    await bridge.logged("Telegram does not know this token")
    await bridge.terminate()
    return bridge.log.replace(bridge.settings["TELEGRAM__TOKEN"], token).encode()


def test_every_secret_of_the_settings_is_hunted_and_kept_out_of_the_log(secrets: dict[str, str]) -> None:
    """A new one is forgotten neither here nor by whoever redacts."""
    assert secrets.keys() == SECRET_SETTINGS
    assert set(load_settings(dict(secrets)).secrets) == set(secrets.values())


def test_the_log_of_a_command_hides_every_secret_that_is_set(secrets: dict[str, str], tmp_path: Path) -> None:
    """Even where something says it: in the log of a whole life nothing does, so that life alone would not show this."""
    words = "[structlog.get_logger().error('said', value=os.environ[f'BOTBRIDGE_{name}']) for name in sys.argv[1:]]"
    script = f"import os, sys, structlog\nfrom botbridge.cli.printing import prepare\nprepare()\n{words}"
    settings = {f"BOTBRIDGE_{name}": value for name, value in {"HOME": str(tmp_path), **secrets}.items()}
    done = subprocess.run(
        [sys.executable, "-c", script, *secrets],
        env=os.environ | settings,
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    assert found_in({"stderr": done.stderr}, secrets) == []
    assert done.stderr.count(b"said") == len(secrets)


def test_the_hunt_finds_what_is_there(secrets: dict[str, str], tmp_path: Path) -> None:
    """However a secret is spelt, in whichever file."""
    bridge = Bridge(tmp_path / "home", secrets)
    (bridge.home / "deep").mkdir()
    for name, secret in secrets.items():
        for spelling in spellings(secret):
            (bridge.home / "deep" / "file").write_bytes(b"\0before " + spelling + b" after\0")
            assert leaks(bridge) == [("deep/file", name)]
    (bridge.home / "deep" / "file").write_bytes(b"nothing")
    assert leaks(bridge) == []


@pytest.mark.parametrize("mode", ["polling", "webhook"])
def test_no_secret_stands_in_what_objects_say_of_themselves(secrets: dict[str, str], tmp_path: Path, mode: str) -> None:
    """Settings, adapters and all that hangs on them; a debugger or a traceback prints these."""
    settings = load_settings({"HOME": str(tmp_path), "INFERENCE__ENGINE": "echo", "TELEGRAM__MODE": mode, **secrets})
    app = build(settings)
    objects = {
        "settings": settings,
        **{f"group {name}": value for name, value in settings},
        "app": app,
        **{f"app's {name}": value for name, value in vars(app).items()},
        **{
            f"{platform}'s {name}": value
            for platform in app.platforms.values()
            for name, value in vars(platform).items()
            if name != "_bot"  # The library's own prints its token; nothing of ours prints it.
        },
    }
    said = {name: f"{value!r} {value!s}".encode() for name, value in objects.items()}
    assert found_in(said, secrets) == []
    assert found_in({"dump": json.dumps(settings.model_dump(mode="json")).encode()}, secrets) == []
