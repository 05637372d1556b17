"""What counts as noticed: a test that fails by what was promised, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guards.__main__ import without
from tests.guards.removals import Removal

PRODUCT = """def bounded(number: int) -> int:
    # at most ten
    return min(number, 10)
"""

NAME = "test_of_a_name_that_fills_a_line_of_eighty_columns_so_that_no_reason_would_have_room_beside_it"
TEST = f"""from product import bounded

def {NAME}():
    assert bounded(11) == 10
"""


@pytest.mark.parametrize(
    ("text", "gone", "is_noticed"),
    [
        ("min(number, 10)", "number", True),
        ("# at most ten", "# as it comes", False),
        ("min(number, 10)", "no_such_name", False),
        ("return", "return return", False),
    ],
    ids=["guard", "comment", "broken name", "broken syntax"],
)
def test_only_a_test_that_fails_for_want_of_its_guard_has_noticed(
    tmp_path: Path, text: str, gone: str, is_noticed: bool
) -> None:
    (tmp_path / "product.py").write_text(PRODUCT)
    (tmp_path / "test_product.py").write_text(TEST)
    removal = Removal("A1", "a bound", "product.py", text, gone, f"test_product.py::{NAME}")
    assert without(tmp_path, removal).noticed is is_noticed
    assert (tmp_path / "product.py").read_text() == PRODUCT
