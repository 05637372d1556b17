"""Contenders side by side in one run: turn by turn, medians, and each ratio beside its goal.

Absolute times of two runs cannot be compared on a machine that does other work,
too; the ratio of two contenders that took turns can.
"""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from botbridge.resources import usable_cores

RESULTS = Path(__file__).with_name("results")


@dataclass(frozen=True)
class Goal:
    """A ratio that was reached, and what it should be.

    Attributes:
        id: As docs/performance.md names it.
        what: Which contenders are compared, and at what.
        at_least: The ratio that is wanted; None where `at_most` says it.
        at_most: The ratio that must not be exceeded.
        samples: The ratio of each pair of turns, or the figures behind it.
    """

    id: str
    what: str
    ratio: float
    at_least: float | None = None
    at_most: float | None = None
    samples: tuple[float, ...] = field(default=())

    @property
    def is_met(self) -> bool:
        """Whether the ratio is as it should be."""
        return (self.at_least is None or self.ratio >= self.at_least) and (
            self.at_most is None or self.ratio <= self.at_most
        )

    @property
    def wanted(self) -> str:
        """The ratio that is wanted, and on which side of it to be."""
        return f">= {self.at_least:g}" if self.at_least is not None else f"<= {self.at_most:g}"

    @property
    def verdict(self) -> str:
        """Whether the goal is met, in a word."""
        return "met" if self.is_met else "MISSED"

    def __str__(self) -> str:
        return f"{self.id:4} {self.ratio:7.2f}  goal {self.wanted:8} {self.verdict:7} {self.what}"


def by_turns(contenders: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Return what each contender scored in each round; all of them once, then all again.

    Args:
        contenders: Each returns its score, the higher the better.
        rounds: How often each has its turn, after one that does not count.
    """
    scores: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, run in contenders.items():
            score = run()
            say(f"  round {number}: {name} {score:.1f}")
            if number:
                scores[name].append(score)
    return scores


def ratio(scores: Mapping[str, list[float]], ours: str, theirs: str) -> tuple[float, tuple[float, ...]]:
    """Return the median of the pairs' ratios, and all of them."""
    pairs = tuple(round(a / b, 3) for a, b in zip(scores[ours], scores[theirs], strict=True))
    return statistics.median(pairs), pairs


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of all values does not exceed.

    >>> quantile([4.0, 1.0, 3.0, 2.0], 0.5), quantile([4.0, 1.0, 3.0, 2.0], 0.99)
    (2.0, 4.0)
    """
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]


def conclude(name: str, goals: list[Goal], details: Mapping[str, object], directory: Path = RESULTS) -> None:
    """Print the goals and write them, with the machine and all details, as JSON."""
    for goal in goals:
        print(goal)
    directory.mkdir(exist_ok=True)
    report = {
        "machine": machine(),
        "goals": [asdict(goal) | {"met": goal.is_met} for goal in goals],
        "details": dict(details),
    }
    (directory / f"{name}.json").write_text(json.dumps(report, indent=2, default=str) + "\n", encoding="utf-8")


def machine() -> dict[str, object]:
    """Return what the figures depend on."""
    versions: dict[str, str | None] = {}
    for package in ("torch", "transformers", "llama_cpp_python", "openvino_genai", "xllamacpp"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {
        "processor": model or platform.processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "threads": usable_cores(),
        "python": platform.python_version(),
        **versions,
    }


def say(line: str) -> None:
    """Tell whoever waits what is being done."""
    print(line, file=sys.stderr, flush=True)
