"""What is drawn, as data: wait against load, speed against streams, models side by side. `drawing` draws it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from botbridge.machine.figures import Report
from botbridge.machine.plan import Plan
from botbridge.models.comparing import Comparison

POINTS: Final = 60
LONGEST_WAITS: Final = 3.0
"""Waits are drawn up to so many times the bound: beyond, they only go to infinity."""

MOST_BUSY: Final = 0.995


@dataclass(frozen=True, slots=True)
class Curve:
    """A line through points, x ascending."""

    label: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """A straight line across the drawing: upright at an x, or level at a y; one of them is None."""

    label: str
    x: float | None = None
    y: float | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """Curves over one pair of axes.

    Attributes:
        x_label: With its unit.
        y_label: With its unit.
        most_y: Where the drawing ends; None where the highest point does.
        dots: Each point is a measurement and is shown; x doubles from one to the next.
    """

    title: str
    x_label: str
    y_label: str
    curves: tuple[Curve, ...]
    marks: tuple[Mark, ...] = ()
    most_y: float | None = None
    dots: bool = False


@dataclass(frozen=True, slots=True)
class Bars:
    """Things side by side, one panel for each quantity.

    Attributes:
        names: Of the things, first on top.
        panels: What is compared, with its unit, and the value of each thing; None where it is not known.
    """

    title: str
    names: tuple[str, ...]
    panels: tuple[tuple[str, tuple[float | None, ...]], ...]


def wait_chart(plan: Plan) -> Chart:
    """Return the waits in the busiest hour against the number of people, with bound, limit and the load planned for."""
    people_at_most = plan.load.users * plan.service.most_s / plan.load.peak_messages_s
    last = min(max(1.3 * plan.limit.users, 1.15 * plan.load.users), MOST_BUSY * people_at_most)
    curves: dict[str, list[tuple[float, float]]] = {
        "first word, mean": [],
        "first word, 95 of 100": [],
        "whole answer, mean": [],
        "whole answer, 95 of 100": [],
    }
    for place in range(1, POINTS + 1):
        people = last * place / POINTS
        waits = plan.service.waits(plan.load.peak_messages_s * people / plan.load.users)
        if waits is not None:
            times = (waits.first_word_s, waits.first_word_p95_s, waits.answer_s, waits.answer_p95_s)
            for curve, time_s in zip(curves.values(), times, strict=True):
                curve.append((people, time_s))
    bound_s = plan.limit.wait_s
    highest_s = max((time_s for curve in curves.values() for _, time_s in curve), default=bound_s)
    marks = [
        Mark(f"wait bound, {bound_s:g} s", y=bound_s),
        Mark(f"served within it: {plan.limit.users:,} people", x=float(plan.limit.users)),
        Mark(f"planned for: {plan.load.users:,} people", x=float(plan.load.users)),
    ]
    engine = plan.measured.engine or "speed as given"
    return Chart(
        f"{plan.model}, {engine}: wait in the busiest hour",
        f"people, each with {plan.load.messages_per_day:g} messages a day",
        "wait, s",
        tuple(Curve(label, tuple(points)) for label, points in curves.items()),
        tuple(marks),
        most_y=min(1.1 * max(highest_s, bound_s), LONGEST_WAITS * bound_s),
    )


def bench_chart(report: Report) -> Chart:
    """Return the tokens per second of every engine that was measured, against the answers made at once."""
    measured = [figures for figures in report.engines if not figures.failure and figures.decode_tokens_s]
    threads = f"{report.threads} thread{'s' if report.threads > 1 else ''}"
    return Chart(
        f"{report.model}: speed by engine, {threads}",
        "answers at once",
        "tokens per second, all answers together",
        tuple(
            Curve(
                f"{figures.engine} {figures.engine_version}".strip(),
                tuple(sorted((float(streams), rate) for streams, rate in figures.decode_tokens_s.items())),
            )
            for figures in measured
        ),
        dots=True,
    )


def compare_bars(title: str, rows: Sequence[tuple[str, Mapping[str, float | None]]]) -> Bars:
    """Return models side by side; quantities that none of them has are left out.

    Args:
        rows: A model's name, and its quantities by name with unit, such as `{"weights, GB": 0.8, "MMLU, %": None}`.
    """
    quantities = list(dict.fromkeys(name for _, row in rows for name in row))
    panels = ((name, tuple(row.get(name) for _, row in rows)) for name in quantities)
    known = tuple((name, values) for name, values in panels if any(value is not None for value in values))
    return Bars(title, tuple(name for name, _ in rows), known)


def comparison_bars(comparison: Comparison, speeds_tokens_s: Sequence[float | None]) -> Bars:
    """Return models side by side: size, memory, the speed that was measured here, and what one source scored alike.

    Args:
        comparison: The models.
        speeds_tokens_s: For each of them; None where it was not measured.
    """
    rows = []
    for place, (entry, taken) in enumerate(zip(comparison.entries, comparison.footprints, strict=True)):
        quantities: dict[str, float | None] = {
            "parameters, thousand millions": entry.parameters / 1e9,
            # With a cache of unknown size a bar would be too short.
            f"weights and cache as {taken.quantization}, GB": None
            if taken.cache_bytes is None
            else (taken.weights_bytes + taken.cache_bytes) / 1e9,
            "speed here, tokens/s": speeds_tokens_s[place],
        }
        for group in comparison.comparable:
            shown = "" if group.shots is None else f" ({group.shots})"
            quantities[f"{group.benchmark}{shown}, %, by {group.source}"] = group.percents[place]
        rows.append((entry.id, quantities))
    return compare_bars("Models side by side", rows)


def within(chart: Chart) -> Chart:
    """Cut the curves off where the drawing ends, at the point where they leave it."""
    if chart.most_y is None:
        return chart
    return replace(
        chart, curves=tuple(Curve(curve.label, _below(curve.points, chart.most_y)) for curve in chart.curves)
    )


def _below(points: Sequence[tuple[float, float]], most_y: float) -> tuple[tuple[float, float], ...]:
    kept: list[tuple[float, float]] = []
    for x, y in points:
        if y > most_y:
            if kept:
                before_x, before_y = kept[-1]
                kept.append((before_x + (x - before_x) * (most_y - before_y) / (y - before_y), most_y))
            break
        kept.append((x, y))
    return tuple(kept)
