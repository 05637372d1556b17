"""What was measured outlives the command, and decides which engine is taken."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from botbridge.machine.figures import EngineFigures, Quality, Report, read_report, report_path, write_report

SLOW = EngineFigures("transformers", "5", 900.0, {1: 40.0, 8: 120.0}, 2.0, 0.1, 2000, 10**9, 2 * 10**8, 0.7)
FAST = replace(SLOW, engine="llamacpp", decode_tokens_s={1: 200.0, 8: 500.0}, quality=Quality(20.5, 20.0, 0.93))
MISSING = EngineFigures("openvino", failure="not installed")
REPORT = Report("org/model", "abc", 2, 3e10, (SLOW, MISSING, FAST))


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = write_report(tmp_path, REPORT)
    assert path == report_path(tmp_path, "org/model")
    assert read_report(tmp_path, "org/model") == REPORT
    assert read_report(tmp_path, "org/other") is None


def test_the_fastest_engine_comes_first_and_one_that_failed_not_at_all() -> None:
    assert REPORT.fastest_first == ("llamacpp", "transformers")


def test_what_more_people_are_told_than_can_be_counts_for_nothing() -> None:
    for_few = replace(FAST, decode_tokens_s={1: 73.0, 4: 170.0, 16: 405.0})
    for_many = replace(FAST, engine="openvino", decode_tokens_s={1: 70.0, 4: 165.0, 16: 669.0})
    report = Report("m", "abc", 2, 3e10, (for_many, for_few))
    assert report.fastest_first == ("openvino", "llamacpp")
    assert report.order_for(1) == report.order_for(4) == ("llamacpp", "openvino")


def test_where_many_are_answered_at_once_what_so_many_are_told_decides() -> None:
    for_one = replace(FAST, decode_tokens_s={1: 200.0, 8: 300.0, 16: 310.0})
    for_many = replace(FAST, engine="openvino", decode_tokens_s={1: 80.0, 8: 400.0, 16: 600.0})
    report = Report("m", "abc", 2, 3e10, (for_one, for_many, replace(SLOW, failure="out of memory")))
    assert report.order_for(4) == ("llamacpp", "openvino")
    assert report.order_for(8) == ("openvino", "llamacpp")
    assert report.order_for(12) == ("openvino", "llamacpp")  # as with 8, the nearest that was measured below
    late = replace(for_many, decode_tokens_s={1: 80.0, 8: 290.0, 16: 600.0})
    assert Report("m", "abc", 2, 3e10, (late, for_one)).order_for(8) == ("llamacpp", "openvino")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"engines": [{}]}', "not json", '{"engines": 7}'])
def test_a_report_that_cannot_be_understood_is_none(tmp_path: Path, content: str) -> None:
    """A measurement can be made again; a bot that does not start because of one cannot be excused."""
    path = report_path(tmp_path, "m")
    path.parent.mkdir(parents=True)
    path.write_text(content)
    assert read_report(tmp_path, "m") is None


def test_a_report_of_a_later_version_is_none(tmp_path: Path) -> None:
    path = write_report(tmp_path, REPORT)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"weather": "fine"}))
    assert read_report(tmp_path, "org/model") is None
