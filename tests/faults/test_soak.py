"""Two minutes of the soak; `make soak` runs it for as long as one likes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.figures import shortcomings
from tests.faults.soak import soak, table

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

SECONDS = 120.0


async def test_nothing_is_lost_doubled_or_shown_to_others_while_everything_is_killed(tmp_path: Path) -> None:
    """At least 20 kills, one of each kind, and 200 messages: the share of two minutes in the figures of ten."""
    report = await soak(tmp_path / "home", SECONDS, seed=20261125)
    assert shortcomings(report) == [], table(report)
