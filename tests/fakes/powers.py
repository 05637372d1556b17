"""Files that may not be read, also when the tests run as root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


@contextmanager
def unreadable(path: Path) -> Iterator[None]:
    """Take every right on a file or directory away, and from root its power over that."""
    user_id, mode = os.geteuid(), path.stat().st_mode
    path.chmod(0)
    if user_id == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user_id)
        path.chmod(mode)
