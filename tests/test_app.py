"""What the composition root reads and puts together."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from botbridge.app import build
from botbridge.chosen import measured_rates
from botbridge.cli.health import health
from botbridge.control import Act, ControlServer, Json
from botbridge.control_verbs import Verb
from botbridge.conversation.rates import Rates
from botbridge.machine.figures import EngineFigures, Report, write_report
from botbridge.platforms.terminal.adapter import local_person
from botbridge.ports import Intake
from botbridge.settings import Settings, load_settings
from tests.fakes.in_memory_platform import InMemoryPlatform
from tests.fakes.telegram.client import FakeTelegram
from tests.journey.test_webhook import PATH, SECRET, bring, free_port


def settings_of(home: Path, engine: str = "echo", **options: str) -> Settings:
    return load_settings({"HOME": str(home), "INFERENCE__ENGINE": engine, **options})


def test_the_expected_wait_begins_with_what_the_bench_measured(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, engine="auto")
    assert measured_rates(settings) == {}
    fast = EngineFigures("llamacpp", prefill_tokens_s=1380.0, decode_tokens_s={1: 223.0, 4: 414.0})
    broken = EngineFigures("openvino", failure="not installed")
    write_report(tmp_path, Report(settings.inference.model, "r", 2, 1e10, (fast, broken)))
    assert measured_rates(settings) == {"llamacpp": Rates(1380.0, {1: 223.0, 4: 414.0})}


async def test_health_tells_how_right_the_waits_were(tmp_path: Path) -> None:
    async with build(settings_of(tmp_path), in_memory=True) as app:
        health = await app.health()
    assert health["waits"] == {"count": 0, "median_ratio": None}
    assert (health["running"], health["waiting"]) == ([], [])


async def test_health_tells_of_the_backups_that_are_to_be_made(tmp_path: Path) -> None:
    async with build(settings_of(tmp_path, BACKUP__EVERY_H="6")) as app:
        health = await app.health()
    assert health["facts"]["backup"] == {"age_s": None, "limit_s": 13 * 3600, "error": ""}  # type: ignore[index]
    assert health["warnings"] == []


async def test_what_is_to_be_mended_is_printed_and_the_bot_is_well_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTBRIDGE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)  # no `.env` lies there

    async def answer(_: Json) -> Json:
        well = {"ok": True, "state": "ready", "model": "m", "detail": "", "platforms": {}, "complaints": []}
        return well | {"warnings": ["backup: none has been made for 49 h"]}

    command = typer.Typer()
    command.command()(health)
    async with ControlServer(tmp_path / "control.sock", {Verb.HEALTH: Act(answer)}):
        printed = await asyncio.to_thread(CliRunner().invoke, command)
    assert (printed.exit_code, printed.stdout) == (0, "model: ready m\nto mend: backup: none has been made for 49 h\n")


@pytest.mark.parametrize(
    ("engine", "language", "said"),
    [
        ("echo", "en", "on my operator's own computer: nothing you write goes to anybody else"),
        ("remote", "en", "on a server my operator chose: what you write is sent there"),
        ("remote", "ar", "على خادم اختاره مشغّلي"),
    ],
)
async def test_a_newcomer_is_told_where_the_words_go(tmp_path: Path, engine: str, language: str, said: str) -> None:
    settings = settings_of(tmp_path, engine, INFERENCE__REMOTE_URL=f"http://127.0.0.1:{free_port()}/v1")
    async with build(settings, in_memory=True) as app:
        person = replace(local_person(), language=language)
        replies = [shown.text async for shown in app.terminal.ask(person, "/start")]
    assert said in replies[-1]


def test_health_takes_no_wait_for_too_long_that_the_operator_allows(tmp_path: Path) -> None:
    """A message that may wait for an hour is given up after that, and is no complaint before."""
    app = build(settings_of(tmp_path, LIMITS__WAIT_S="3600"), in_memory=True)
    assert 3600 < app.healthy.waiting_s < 3700


class SlowToLeave(InMemoryPlatform):
    """Brings one more message when it is told to leave, and has left when all of them are about to."""

    def __init__(self, name: str, leaving: asyncio.Barrier) -> None:
        super().__init__(name)
        self._leaving = leaving

    async def run(self, intake: Intake) -> None:
        try:
            await super().run(intake)
        finally:
            await intake(self.message("late"))
            for _ in range(100):  # the service would have begun with it
                await asyncio.sleep(0)
            await self._leaving.wait()


async def test_platforms_leave_side_by_side_and_what_they_bring_meanwhile_is_not_begun(tmp_path: Path) -> None:
    """A11."""
    app, leaving = build(settings_of(tmp_path), in_memory=True), asyncio.Barrier(2)
    app.platforms |= {name: SlowToLeave(name, leaving) for name in ("telegram", "discord")}  # type: ignore[operator]
    async with app:
        await app.wait_ready()
        async with asyncio.timeout(10):
            await app.drain(0)
        health = await app.health()
    assert (health["running"], len(health["waiting"])) == ([], 2)  # type: ignore[arg-type]


async def test_a_drained_service_takes_nothing_more_in(tmp_path: Path) -> None:
    """A11: Telegram is told to keep what it brings."""
    port = free_port()
    async with FakeTelegram() as telegram:
        settings = settings_of(
            tmp_path,
            TELEGRAM__TOKEN=telegram.token,
            TELEGRAM__API_BASE_URL=telegram.url,
            TELEGRAM__MODE="webhook",
            TELEGRAM__WEBHOOK_URL=f"http://127.0.0.1:{port}{PATH}",
            TELEGRAM__WEBHOOK_SECRET=SECRET,
            WEB__PORT=str(port),
        )
        async with build(settings, in_memory=True) as app:
            await telegram.wait_until(lambda record: bool(record.webhook_url))
            assert await bring(port, {"update_id": 1}) == 200
            await app.drain(0)
            assert await bring(port, {"update_id": 2}) == 503
