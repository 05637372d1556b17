"""Where sequences lie among the streams of a llama.cpp context: decisions only.

A step over neighbouring streams is one pass over the weights; each gap between
them costs another pass. Moving a sequence costs a copy of its tokens, once.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence


def gaps(streams: Sequence[int]) -> int:
    """Return how many more passes than one these streams take.

    >>> gaps([0, 1, 2]), gaps([5, 0, 1, 3])
    (0, 2)
    """
    ordered = sorted(streams)
    return sum(after - before > 1 for before, after in itertools.pairwise(ordered))


def cheapest_window(idle: Sequence[int], working: Sequence[int], width: int) -> tuple[int, int]:
    """Return where so many neighbouring streams can be had at the least cost, and the cost in tokens.

    Args:
        idle: For each stream, how many tokens would have to be parked to free
            it; 0 for a free one and for one whose sequence is at work.
        working: For each stream, how many tokens of a sequence that is at work
            lie in it; they have to be moved when it is outside the window.
        width: How many streams are needed; at most as many as there are.

    >>> cheapest_window([0, 900, 0, 0], [50, 0, 40, 0], 2)
    (2, 50)
    >>> cheapest_window([0, 0, 0], [0, 70, 0], 2)
    (0, 0)
    """
    everything = sum(working)
    costs = [
        (sum(idle[start : start + width]) + everything - sum(working[start : start + width]), start)
        for start in range(len(idle) - width + 1)
    ]
    cost, start = min(costs)
    return start, cost


def grown_cells(cells: int, needed: int, most: int) -> int:
    """Return how many cells a stream gets when it needs more: twice as many, or as many as it may have.

    >>> grown_cells(1024, 1025, 8192), grown_cells(1024, 5000, 8192), grown_cells(1024, 5000, 5120)
    (2048, 8192, 5120)
    """
    while cells < needed:
        cells *= 2
    return min(cells, most)
