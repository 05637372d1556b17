"""Sizes as people read and write them: bytes, and classes of models."""

from __future__ import annotations

import re
from typing import Final

MEGABYTE: Final = 10**6
GIGABYTE: Final = 10**9


def size_text(size_bytes: float) -> str:
    """Write an amount of memory or disk; 10 to the power of 9 is a gigabyte, as on the label of a disk.

    >>> size_text(7_241_000_000), size_text(269_030_016), size_text(0)
    ('7.2 GB', '269 MB', '0 MB')
    """
    if size_bytes < GIGABYTE:
        return f"{size_bytes / MEGABYTE:.0f} MB"
    return f"{size_bytes / GIGABYTE:.1f} GB"


def enough_text(size_bytes: int) -> str:
    """Write an amount that has to be added, rounded up: what is told is enough.

    >>> enough_text(1_120_000_000), enough_text(1_100_000_000), enough_text(999_000_001)
    ('1.2 GB', '1.1 GB', '1.0 GB')
    """
    step = MEGABYTE if size_bytes <= GIGABYTE - MEGABYTE else GIGABYTE // 10
    return size_text(-(-size_bytes // step) * step)


def at_most_text(size_bytes: int) -> str:
    """Write an amount that there is, rounded down: what is told is there.

    >>> at_most_text(1_990_000_000), at_most_text(1_000_000_000), at_most_text(999_900_000)
    ('1.9 GB', '1.0 GB', '999 MB')
    """
    step = MEGABYTE if size_bytes < GIGABYTE else GIGABYTE // 10
    return size_text(size_bytes // step * step)


def class_b(text: str) -> float:
    """Understand a class of models by size, in thousand millions of parameters.

    >>> class_b("7B"), class_b("350M"), class_b("1.7"), class_b(" .5 b ")
    (7.0, 0.35, 1.7, 0.5)

    Raises:
        ValueError: It is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)\s*([bm]?)", text.strip().casefold())
    if found is None or float(found[1]) == 0:
        raise ValueError(f"{text!r} is no size: say 7B, 1.7B or 350M")
    return float(found[1]) / (1000 if found[2] == "m" else 1)
