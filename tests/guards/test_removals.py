"""Each case has a guard that can be taken out; `make guards` takes them out and runs the tests."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.guards.removals import ROOT, Removal, read_removals
from tests.test_reliability_table import rows

REMOVALS: Sequence[Removal] = read_removals()


def test_every_case_that_is_not_open_has_a_guard_to_remove() -> None:
    wanted = [case for case, cell in rows().items() if "open: " not in cell]
    assert list(dict.fromkeys(removal.case for removal in REMOVALS)) == wanted


@pytest.mark.parametrize("removal", REMOVALS, ids=lambda removal: f"{removal.case}, {removal.guard}")
def test_a_guard_stands_where_it_is_removed(removal: Removal) -> None:
    assert removal.file.startswith(("botbridge/", "migrations/"))
    assert (ROOT / removal.file).read_text().count(removal.text) == 1
    assert removal.text != removal.without


@pytest.mark.parametrize("removal", REMOVALS, ids=lambda removal: f"{removal.case}, {removal.guard}")
def test_its_test_is_one_that_the_table_names(removal: Removal) -> None:
    named = removal.test.partition("[")[0]  # without the one of its parameters that notices
    assert f"`{named}`" in rows()[removal.case]
