"""Which published scores may be held against one another: of one source, one benchmark and one way to ask. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Final

from botbridge.models.facts import CatalogueEntry, Score, Task
from botbridge.models.match_facts import Yardstick

BENCHMARK_OF: Final = {
    Task.LOGIC: "MMLU",
    Task.MATHS: "GSM8K",
    Task.MULTILINGUAL: "MMMLU",
    Task.ARABIC: "MMMLU (ar)",
    Task.CODE: "HumanEval",
    Task.CHAT: "IFEval",
}
"""What a need is measured by: questions of 57 subjects, word problems, the former in many languages and in Arabic,
small programs, instructions whose keeping a program checks."""

LEAST_COMPARED: Final = 2


def choose_yardstick(entries: Sequence[CatalogueEntry], needs: Sequence[Task]) -> Yardstick | None:
    """Return the one source that measured most of these models for these needs; None where none measured two.

    What a sibling scored, such as the base model, says nothing of the model itself and does not count.
    """
    wanted = {BENCHMARK_OF[need] for need in needs if need in BENCHMARK_OF}
    sources = sorted({score.source for entry in entries for score in entry.scores})
    found = [
        (len(compared), yardstick)
        for source in sources
        if (yardstick := _of_source(source, entries, wanted)) is not None
        and len(compared := measured(entries, yardstick)) >= LEAST_COMPARED
    ]
    return max(found, key=lambda one: (one[0], len(one[1].benchmarks)), default=(0, None))[1]


def measured(entries: Sequence[CatalogueEntry], yardstick: Yardstick) -> Mapping[str, float]:
    """Return the mean of each model that a yardstick measured in full, in percent, by the model's id."""
    means = {}
    for entry in entries:
        percents = [
            score.percent
            for score in entry.scores
            if score.source == yardstick.source and score.of is None
            if (score.benchmark, score.shots) in yardstick.benchmarks
        ]
        if len(percents) == len(yardstick.benchmarks):
            means[entry.id] = fmean(percents)
    return means


def needs_of(yardstick: Yardstick) -> frozenset[Task]:
    """Return the needs that a yardstick speaks of.

    >>> sorted(needs_of(Yardstick("a-board", (("GSM8K", "5"),))))
    [<Task.MATHS: 'maths'>]
    """
    benchmarks = {benchmark for benchmark, _ in yardstick.benchmarks}
    return frozenset(need for need, benchmark in BENCHMARK_OF.items() if benchmark in benchmarks)


def other_score(entry: CatalogueEntry, need: Task) -> Score | None:
    """Return a published score that was not compared, to be shown as such; the model's own before a sibling's."""
    fitting = [score for score in entry.scores if score.benchmark == BENCHMARK_OF.get(need)]
    return min(fitting, key=lambda score: score.of is not None, default=None)


def _of_source(source: str, entries: Sequence[CatalogueEntry], wanted: set[str]) -> Yardstick | None:
    """Return what one source measured, each benchmark in the way in which most were asked."""
    ways = Counter(
        (score.benchmark, score.shots)
        for entry in entries
        for score in entry.scores
        if score.source == source and score.of is None and score.benchmark in wanted
    )
    usual: dict[str, tuple[int, str | None]] = {}
    for (benchmark, shots), count in sorted(ways.items(), key=lambda way: (way[0][0], way[0][1] or "")):
        if count >= LEAST_COMPARED and count > usual.get(benchmark, (0, None))[0]:
            usual[benchmark] = count, shots
    return Yardstick(source, tuple((benchmark, shots) for benchmark, (_, shots) in usual.items())) if usual else None
