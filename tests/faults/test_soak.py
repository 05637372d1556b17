"""Two minutes of the soak; `make soak` runs it for as long as one likes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.soak import is_good, soak, table

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

KILLS = 20
SECONDS = 105.0


async def test_nothing_is_lost_doubled_or_shown_to_others_while_everything_is_killed(tmp_path: Path) -> None:
    report = await soak(tmp_path / "home", SECONDS, seed=20261125)
    assert is_good(report), table(report)
    assert sum(report["kills"].values()) >= KILLS
    assert min(report["kills"].values()) > 0
    assert report["answered"] > 0
    assert report["unknown_parts_unexplained"] == 0, table(report)
