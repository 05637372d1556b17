"""The measured speed of the catalogue's models."""

from __future__ import annotations

from pathlib import Path

import pytest

from botbridge.machine.figures import EngineFigures, Report, write_report
from botbridge.machine.speeds import measured_speed
from botbridge.models.catalogue import load_catalogue
from botbridge.models.listing import Speed

QWEN = load_catalogue().find("qwen3-1.7b")
ENGINES = (
    EngineFigures("transformers", prefill_tokens_s=90.0, decode_tokens_s={1: 9.0, 4: 20.0}),
    EngineFigures("llamacpp", prefill_tokens_s=200.0, decode_tokens_s={1: 21.5, 4: 60.0}),
    EngineFigures("openvino", failure="not installed"),
)


@pytest.mark.parametrize("pulled_as", ["qwen3-1.7b", "Qwen/Qwen3-1.7B"])
def test_the_fastest_engine_counts_with_one_person(tmp_path: Path, pulled_as: str) -> None:
    write_report(tmp_path, Report(pulled_as, "main", 2, 1e10, ENGINES))
    assert measured_speed(tmp_path, QWEN) == Speed("llamacpp", 21.5, 200.0)


def test_a_model_that_was_not_measured_has_no_speed(tmp_path: Path) -> None:
    assert measured_speed(tmp_path, QWEN) is None
    write_report(tmp_path, Report(QWEN.id, "main", 2, 1e10, ENGINES[2:]))
    assert measured_speed(tmp_path, QWEN) is None
