"""What people write for the size of a model."""

from __future__ import annotations

import pytest

from botbridge.sizes import class_b


@pytest.mark.parametrize("size", ["", "0", "0B", "-1B", "big", "7TB", "nan", "1e3"])
def test_what_is_no_size_is_refused(size: str) -> None:
    with pytest.raises(ValueError, match="is no size"):
        class_b(size)
