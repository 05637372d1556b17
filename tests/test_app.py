"""What the composition root reads and puts together."""

from __future__ import annotations

from pathlib import Path

from botbridge.app import build, measured_rates
from botbridge.conversation.rates import Rates
from botbridge.machine.figures import EngineFigures, Report, write_report
from botbridge.settings import Settings, load_settings


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


def test_health_takes_no_wait_for_too_long_that_the_operator_allows(tmp_path: Path) -> None:
    """A message that may wait for an hour is given up after that, and is no complaint before."""
    app = build(settings_of(tmp_path, LIMITS__WAIT_S="3600"), in_memory=True)
    assert 3600 < app.healthy.waiting_s < 3700
