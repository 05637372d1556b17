"""How fast this machine reads memory: what bounds the decoding of one stream."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

BLOCK_BYTES: Final = 256 * 2**20
"""Far more than any cache holds, for each thread."""

ROUNDS: Final = 7


def read_bandwidth_bytes_s(threads: int) -> float:
    """Return the best of several streaming reads, in bytes per second; takes about a second.

    The best, not the mean: whatever else the machine does can only slow a read down.

    Args:
        threads: How many read side by side, each its own block.
    """
    import numpy as np  # noqa: PLC0415 - half a second of every start otherwise

    blocks = [np.ones(BLOCK_BYTES // 8, np.int64) for _ in range(threads)]
    best = 0.0
    with ThreadPoolExecutor(threads) as readers:
        for _ in range(ROUNDS):
            begun_s = time.perf_counter()
            list(readers.map(np.bitwise_or.reduce, blocks))
            best = max(best, threads * BLOCK_BYTES / (time.perf_counter() - begun_s))
    return best
