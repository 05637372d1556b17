"""Drawings: what they show is decided as data; files and terminal have the same in them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from botbridge.errors import NotDrawn
from botbridge.machine.charts import (
    POINTS,
    Bars,
    Chart,
    Curve,
    bench_chart,
    compare_bars,
    comparison_bars,
    wait_chart,
    within,
)
from botbridge.machine.drawing import can_draw, draw, ticks
from botbridge.machine.plan import Load
from botbridge.machine.queueing import Service, Speed, Talk
from botbridge.models.catalogue import load_catalogue
from botbridge.models.comparing import compare
from tests.machine.test_plan import LOAD, REPORT, planned

ROWS = [
    ("small", {"weights, GB": 0.8, "MMLU, %": 30.0}),
    ("large", {"weights, GB": 4.4, "MMLU, %": None, "GSM8K, %": None}),
]


def test_waits_are_drawn_with_bound_limit_and_the_load_that_is_planned_for() -> None:
    plan = planned()
    chart = wait_chart(plan)
    assert [curve.label for curve in chart.curves] == [
        "first word, mean", "first word, 95 of 100", "whole answer, mean", "whole answer, 95 of 100",
    ]  # fmt: skip
    assert [(mark.x, mark.y) for mark in chart.marks] == [(None, 10.0), (plan.limit.users, None), (50, None)]
    assert chart.x_label == "people, each with 10 messages a day"
    for curve in chart.curves:
        assert [x for x, _ in curve.points] == sorted(x for x, _ in curve.points)
        assert curve.points[-1][0] >= plan.limit.users


@pytest.mark.parametrize("load", [LOAD, replace(LOAD, users=5000), Load(1, 0.001)])
@pytest.mark.parametrize("prompt_tokens", [40.0, 4000.0])
def test_any_load_can_be_drawn(load: Load, prompt_tokens: float, tmp_path: Path) -> None:
    """More than the machine can answer, next to nothing, and one where nobody is served in time."""
    chart = wait_chart(planned(load, Service(Speed({1: 44.0}, 218.0), Talk(prompt_tokens, 150.0), 4)))
    assert all(len(curve.points) == POINTS for curve in chart.curves)
    assert chart.title in draw(chart, "-")
    draw(chart, str(tmp_path / "w.svg"))
    assert (tmp_path / "w.svg").exists()


def test_a_curve_ends_where_the_drawing_does() -> None:
    chart = Chart("t", "x", "y", (Curve("c", ((0.0, 0.0), (1.0, 5.0), (2.0, 15.0), (3.0, 40.0))),), most_y=10.0)
    assert within(chart).curves[0].points == ((0.0, 0.0), (1.0, 5.0), (1.5, 10.0))


def test_engines_that_failed_are_not_drawn() -> None:
    assert [curve.label for curve in bench_chart(REPORT).curves] == ["transformers 5", "llamacpp 5"]
    assert bench_chart(REPORT).title.endswith("2 threads")


def test_a_quantity_that_nobody_has_is_left_out() -> None:
    bars = compare_bars("Models", ROWS)
    assert bars == Bars("Models", ("small", "large"), (("weights, GB", (0.8, 4.4)), ("MMLU, %", (30.0, None))))


@pytest.mark.parametrize("chart", [wait_chart(planned()), bench_chart(REPORT), compare_bars("Models", ROWS)])
def test_every_chart_becomes_a_picture(chart: Chart | Bars, tmp_path: Path) -> None:
    """A PNG of more than a few lines, and an SVG that any XML parser reads; both in the same way twice."""
    for suffix in ("png", "svg"):
        for name in ("first", "second"):
            assert draw(chart, str(tmp_path / f"{name}.{suffix}")) == ""
        assert (tmp_path / f"first.{suffix}").read_bytes() == (tmp_path / f"second.{suffix}").read_bytes()
    assert (tmp_path / "first.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert ET.parse(tmp_path / "first.svg").getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_the_terminal_has_title_axes_and_a_key_to_the_characters() -> None:
    chart = wait_chart(planned())
    drawn = draw(chart, "-")
    for told in (chart.title, chart.x_label, chart.y_label, *(each.label for each in (*chart.curves, *chart.marks))):
        assert told in drawn
    assert max(map(len, drawn.splitlines())) <= 80
    assert "\x1b" not in drawn
    assert draw(chart, "-") == drawn


def test_models_are_drawn_by_size_memory_speed_and_the_scores_that_can_be_compared() -> None:
    """A cache of unknown size would make a bar too short, and a score of another source belongs in no panel."""
    names = ("qwen3-1.7b", "falcon-h1-1.5b-instruct")
    catalogue = load_catalogue()
    entries = [entry for name in names if (entry := catalogue.entry(name)) is not None]
    bars = comparison_bars(compare(entries), [12.5, None])
    panels = dict(bars.panels)
    assert bars.names == names
    assert panels["speed here, tokens/s"] == (12.5, None)
    memory_gb, unknown = panels["weights and cache as Q4_K_M, GB"]
    assert (memory_gb or 0) > 1
    assert unknown is None
    assert panels["MMLU (5), %, by tii-evaluations"] == (57.04, 62.03)
    assert not [name for name in panels if "qwen3-report" in name]


def test_the_terminal_shows_models_as_bars_and_what_is_not_known_as_a_dash() -> None:
    lines = draw(compare_bars("Models", ROWS), "-").splitlines()
    assert lines[0] == "Models"
    small, large = lines[3:5]
    assert small.startswith("small  █")
    assert large == "large  " + "█" * 50 + " 4.4"
    assert lines[-1] == "large   –"


@pytest.mark.parametrize(
    ("target", "is_drawn"),
    [
        ("-", True),
        ("a.png", True),
        ("b/c.SVG", True),
        ("a.pdf", False),
        ("png", False),
        ("", False),
        ("a.png.txt", False),
    ],
)
def test_only_png_svg_and_the_terminal_are_drawn_to(target: str, is_drawn: bool) -> None:
    assert can_draw(target) is is_drawn


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(NotDrawn, match=r"absent/w.png cannot be written: No such file or directory$"):
        draw(bench_chart(REPORT), str(tmp_path / "absent" / "w.png"))


@pytest.mark.parametrize(("target", "package"), [("w.png", "matplotlib"), ("-", "plotext")])
def test_without_the_package_that_draws_one_sentence_names_the_command(
    target: str, package: str, tmp_path: Path
) -> None:
    """In a Python that finds the package nowhere."""
    done = subprocess.run(
        [sys.executable, "-c", HIDDEN, package, target],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    command = ".venv/bin/pip install -c constraints.txt -e '.[plot]'"
    assert done.stdout == f"{package}, which draws this, is not installed; `{command}` adds it\n"


HIDDEN = """
import sys
from importlib.machinery import PathFinder

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == sys.argv[1]:
            return None
        return PathFinder.find_spec(name, path, target)

sys.meta_path = [each for each in sys.meta_path if each is not PathFinder] + [Finder()]
from botbridge.errors import NotDrawn
from botbridge.machine.drawing import require
try:
    require(sys.argv[2])
except NotDrawn as error:
    print(error)
"""


@pytest.mark.parametrize("most", [1e-3, 0.7, 1.0, 9.9, 30.0, 1540.0, 1e7])
def test_ticks_are_round_and_few(most: float) -> None:
    found = ticks(most)
    assert found[0] == 0.0
    assert 0.5 * most < found[-1] <= most * (1 + 1e-9)
    assert 3 <= len(found) <= 8
