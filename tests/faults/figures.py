"""Which figures a soak has to reach, and what keeps it from being good: a sentence each, pure."""

from __future__ import annotations

import math
from typing import Any

FULL_SECONDS = 600
"""The figures below are those of ten minutes; a shorter soak has to reach its share of them, a longer one more."""

LEAST_KILLS, LEAST_OF_EACH_KIND, LEAST_ACCEPTED = 100, 5, 1_000

MUST_BE_NOTHING = {
    "lost": "messages were lost",
    "doubled": "answers or messages were doubled",
    "in_a_wrong_chat": "texts were shown in another chat",
    "unknown_parts_unexplained": "parts are in doubt without a death or a cut connection that fell inside their send",
}

MOST = {"rss_most_mb": 300.0, "descriptors_most": 300, "threads_most": 80}
"""Twice what was seen of a service under this load, and less than a leak of a few bytes a message makes of it."""

LONG_LIFE_S = 120
"""A shorter life says nothing of a slope: caches still fill."""

LAST_LIFE_SHARE = 0.25
"""So much of a soak, at its end, the main process is left alive: growth shows in a long life only."""

MOST_SLOPE = 5.0
"""Megabytes, or descriptors, a minute."""


def share(of_ten_minutes: int, seconds: float) -> int:
    """What a figure of ten minutes is for a soak of so many seconds, rounded up.

    >>> share(100, 120), share(5, 120), share(5, 3600)
    (20, 1, 30)
    """
    return math.ceil(of_ten_minutes * seconds / FULL_SECONDS)


def shortcomings(report: dict[str, Any]) -> list[str]:
    """Why a soak proves nothing, or what it found, a sentence each; empty when the promise was kept and tried."""
    found = [f"{report[name]} {what}." for name, what in MUST_BE_NOTHING.items() if report[name]]
    if report["unknown_parts"] > report["sends_cut"]:
        found.append(f"{report['unknown_parts']} parts are in doubt, {report['sends_cut']} sends were cut.")
    if report["defects"]:
        found.append(f"{len(report['defects'])} times a process did what it must not do.")
    found += [f"{name} is {report[name]}, at most {most:g} was seen." for name, most in _beyond(report).items()]
    found += [f"{what} are {number}, {least} are needed." for what, number, least in _too_few(report)]
    return found


def _beyond(report: dict[str, Any]) -> dict[str, float]:
    """The bounds on growth that were broken."""
    bounds = dict(MOST)
    if min(report["last_life_s"], LAST_LIFE_SHARE * report["seconds"]) >= LONG_LIFE_S:
        bounds |= dict.fromkeys(("rss_slope_mb_a_minute", "descriptors_slope_a_minute"), MOST_SLOPE)
    return {name: most for name, most in bounds.items() if (report[name] or 0) > most}


def _too_few(report: dict[str, Any]) -> list[tuple[str, int, int]]:
    """Figures that were not reached, with what they had to be."""
    figures = [
        ("kills", sum(report["kills"].values()), LEAST_KILLS),
        *((f"kills of {kind}", number, LEAST_OF_EACH_KIND) for kind, number in report["kills"].items()),
        ("accepted messages", report["accepted"], LEAST_ACCEPTED),
        ("answered messages", report["answered"], 1),
    ]
    needed = [(what, number, share(least, report["seconds"])) for what, number, least in figures]
    return [(what, number, least) for what, number, least in needed if number < least]
