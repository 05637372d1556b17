"""What the operator accepted: kept whole, readable by them alone, and asked for again when in doubt."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from botbridge.errors import ModelError
from botbridge.models.acceptance import Acceptance, acceptance_path, read_acceptance, write_acceptance
from botbridge.models.uses import Use

MODEL = "org/name:Q4_K_M"
ACCEPTANCE = Acceptance(MODEL, "gemma", "2026-04-01", Use.SAAS, datetime(2026, 11, 28, 9, 30, tzinfo=UTC), "Sara")


def test_what_was_accepted_is_read_again(tmp_path: Path) -> None:
    assert read_acceptance(tmp_path, MODEL) is None
    write_acceptance(tmp_path, ACCEPTANCE)
    assert read_acceptance(tmp_path, MODEL) == ACCEPTANCE


def test_the_file_says_what_when_and_who_and_is_for_the_operator_alone(tmp_path: Path) -> None:
    path = write_acceptance(tmp_path, ACCEPTANCE)
    assert path == tmp_path / "acceptances" / "org%2Fname%3AQ4_K_M.json"
    assert json.loads(path.read_text()) == {
        "model": MODEL,
        "licence": "gemma",
        "version": "2026-04-01",
        "use": "saas",
        "accepted_at": "2026-11-28T09:30:00+00:00",
        "accepted_by": "Sara",
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_later_acceptance_takes_the_place_of_the_former_and_leaves_nothing_else(tmp_path: Path) -> None:
    write_acceptance(tmp_path, ACCEPTANCE)
    later = Acceptance(MODEL, "gemma", "2026-04-01", Use.PERSONAL, datetime(2026, 11, 29, tzinfo=UTC))
    path = write_acceptance(tmp_path, later)
    assert read_acceptance(tmp_path, MODEL) == later
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    "change",
    [
        {"use": "everything"},
        {"accepted_at": "yesterday"},
        {"accepted_at": "2026-11-28T09:30:00"},
        {"model": "another"},
        {"version": None, "use": None},
    ],
    ids=str,
)
def test_a_file_that_says_something_else_counts_as_none(tmp_path: Path, change: dict[str, object]) -> None:
    path = write_acceptance(tmp_path, ACCEPTANCE)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert read_acceptance(tmp_path, MODEL) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'"x"', b"{}", b"\xff"])
def test_a_file_that_nobody_understands_counts_as_none(tmp_path: Path, content: bytes) -> None:
    write_acceptance(tmp_path, ACCEPTANCE).write_bytes(content)
    assert read_acceptance(tmp_path, MODEL) is None


def test_what_cannot_be_kept_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "acceptances").write_text("in the way")
    with pytest.raises(ModelError, match=r"cannot be kept in \S+: "):
        write_acceptance(tmp_path, ACCEPTANCE)
    assert read_acceptance(tmp_path, MODEL) is None


def test_names_of_models_cannot_leave_the_folder(tmp_path: Path) -> None:
    assert acceptance_path(tmp_path, "../../etc/passwd").parent == tmp_path / "acceptances"
