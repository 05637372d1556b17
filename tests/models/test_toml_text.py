"""TOML that is written is read back as it was."""

from __future__ import annotations

import datetime as dt
import tomllib

from hypothesis import given
from hypothesis import strategies as st

from botbridge.models.toml_text import array_of_tables

TEXT = st.text(st.characters(exclude_categories=("Cs",)))
SCALARS = st.one_of(
    TEXT,
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.dates(min_value=dt.date(1000, 1, 1)),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6
)


@given(st.lists(st.dictionaries(TEXT, VALUES, max_size=4), min_size=1, max_size=3))
def test_what_is_written_is_read_back(tables: list[dict[str, object]]) -> None:
    assert tomllib.loads(array_of_tables("model", tables)) == {"model": tables}
