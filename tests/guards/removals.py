"""What is taken out of the product, one guard at a time, and the test that has to notice it."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Removal:
    """A few lines without which a case of docs/reliability.md would go wrong."""

    case: str
    """Its id in the table, such as `A1`."""

    guard: str
    """What these lines do, in a clause."""

    file: str
    """Where they stand, from the root of the project."""

    text: str
    """The lines; they stand once in the file."""

    without: str
    """What stands there when the guard is gone. It still runs."""

    test: str
    """`path::name`, one of those that the table names for the case."""


def read_removals() -> Sequence[Removal]:
    """All of them, in the order of the table."""
    files = sorted(HERE.glob("*.toml"))
    return [Removal(**row) for file in files for row in tomllib.loads(file.read_text())["removal"]]
