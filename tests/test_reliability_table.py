"""docs/reliability.md names a test for each case, or says that there is none."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CASES = {"A": 13, "B": 9, "C": 10, "D": 12, "E": 11, "F": 12, "G": 6}
"""How many cases each section has."""

NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def rows() -> dict[str, str]:
    """The cell of the tests by case."""
    lines = (ROOT / "docs" / "reliability.md").read_text().splitlines()
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines if re.match(r"\| [A-G]\d+ \|", line)
    ]
    assert len({row[0] for row in cells}) == len(cells), "a case stands there twice"
    return {row[0]: row[-1] for row in cells}


def functions(path: str) -> set[str]:
    """The names of a module's test functions."""
    found = ast.walk(ast.parse((ROOT / path).read_text()))
    return {node.name for node in found if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_case_is_in_the_table() -> None:
    wanted = [f"{section}{number}" for section, last in CASES.items() for number in range(1, last + 1)]
    assert list(rows()) == wanted


def test_every_case_names_a_test_or_is_open() -> None:
    assert [case for case, cell in rows().items() if not NAMED.search(cell) and "open: " not in cell] == []


def test_every_test_that_is_named_exists() -> None:
    named = {match.groups() for cell in rows().values() for match in NAMED.finditer(cell)}
    assert [f"{path}::{name}" for path, name in sorted(named) if name not in functions(path)] == []
