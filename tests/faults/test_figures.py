"""A soak that found something, or tried too little, is not good, and says why."""

from __future__ import annotations

import pytest

from tests.faults.figures import shortcomings

SOAKED = {
    "seconds": 600, "accepted": 1_000, "answered": 800, "kills": {"worker": 50, "main": 5, "network": 45},
    "lost": 0, "doubled": 0, "in_a_wrong_chat": 0, "defects": [], "unknown_parts_unexplained": 0,
    "unknown_parts": 7, "sends_cut": 7,
    "rss_most_mb": 140.0, "descriptors_most": 60, "threads_most": 20,
    "rss_slope_mb_a_minute": 1.5, "descriptors_slope_a_minute": 0.0, "last_life_s": 170,
}  # fmt: skip


@pytest.mark.parametrize(
    "found",
    [
        {"lost": 1}, {"doubled": 1}, {"in_a_wrong_chat": 1}, {"defects": ["a process is left"]},
        {"unknown_parts_unexplained": 1}, {"unknown_parts": 8}, {"rss_most_mb": 900.0}, {"descriptors_most": 4000},
        {"threads_most": 900}, {"rss_slope_mb_a_minute": 50.0}, {"descriptors_slope_a_minute": 40.0},
        {"accepted": 999}, {"answered": 0}, {"kills": {"worker": 50, "main": 5, "network": 44}},
        {"kills": {"worker": 50, "main": 4, "network": 46}}, {"seconds": 660},
    ],
)  # fmt: skip
def test_a_soak_is_not_good_that_found_something_or_tried_too_little(found: dict[str, object]) -> None:
    assert shortcomings(SOAKED) == []
    assert shortcomings(SOAKED | found) != []


def test_a_short_soak_has_to_reach_its_share() -> None:
    short = {"seconds": 120, "accepted": 200, "kills": {"worker": 10, "main": 1, "network": 9}}
    assert shortcomings(SOAKED | short) == []
    assert shortcomings(SOAKED | short | {"accepted": 199}) == ["accepted messages are 199, 200 are needed."]
    assert shortcomings(SOAKED | short | {"kills": {"worker": 10, "main": 0, "network": 10}}) != []


@pytest.mark.parametrize("short", [{"last_life_s": 40}, {"seconds": 300}])
def test_a_short_life_is_not_judged_by_its_slope(short: dict[str, object]) -> None:
    """Nor one that lasts only because much was left to do when the soak was over."""
    assert shortcomings(SOAKED | {"rss_slope_mb_a_minute": 50.0} | short) == []
