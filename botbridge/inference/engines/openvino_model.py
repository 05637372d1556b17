"""A graph over a paged cache as a `StepModel`.

Covered: any number of open sequences, in blocks that forks share until one of
them writes; one pass over the weights a step; a cache that grows when what runs
needs more than it was made for.
Not covered: adapters.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from botbridge.inference.engines.openvino_blocks import BLOCK_TOKENS, BlockPool, BlockTable
from botbridge.inference.engines.openvino_memory import WeightMemory
from botbridge.inference.engines.openvino_runtime import Node, ov
from botbridge.inference.engines.step import SequenceId
from botbridge.inference.sampling import Logits

GROWTH: Final = 1.25
"""A cache that is too small grows by a quarter; what it holds is copied."""

ALIGNMENT_BYTES: Final = 64
"""A line of the CPU's cache, and the widest register."""


class OpenVinoModel:
    """Sequences in the blocks of one cache."""

    def __init__(self, compiled: Node, cache_bytes: int, weights: WeightMemory) -> None:
        """Begin without sequences.

        Args:
            compiled: A graph of `openvino_graph`, compiled.
            cache_bytes: The memory that the cache may take before it has to
                grow. It is taken block by block, when a block is first used.
            weights: What the graph's weights lie in; held as long as this is.
        """
        self._weights = weights
        self._request = compiled.create_infer_request()
        self._caches = [_Cache(port) for port in compiled.inputs if "_cache." in port.get_any_name()]
        self.vocabulary = int(compiled.output("logits").get_partial_shape()[1].get_length())
        self._tables: dict[SequenceId, BlockTable] = {}
        self._serial = itertools.count()
        self._pool = BlockPool(0)
        self._grow(max(cache_bytes // self.block_bytes, 1))

    @property
    def block_bytes(self) -> int:
        """What a block takes in all layers together."""
        return sum(cache.row_bytes for cache in self._caches)

    @property
    def cache_bytes_per_token(self) -> int:
        """What a token of a sequence takes."""
        return -(-self.block_bytes // BLOCK_TOKENS)

    def settle(self) -> None:
        """Compute a token for nobody: with the first one the plugin lays the weights out for itself."""
        sequence = self.open()
        self.forward([(sequence, [0])])
        self.close(sequence)
        self._weights.rest()

    def open(self, adapter: str | None = None) -> SequenceId:
        """Begin an empty sequence.

        Raises:
            ValueError: An adapter is named; there is none.
        """
        if adapter is not None:
            raise ValueError(f"there is no adapter {adapter!r}")
        return self._add(BlockTable())

    def forward(self, work: Sequence[tuple[SequenceId, Sequence[int]]]) -> Logits:
        """Append tokens to sequences; (B, V) float32.

        Raises:
            ValueError: There is no such token.
        """
        pieces = [(self._tables[sequence], tokens) for sequence, tokens in work]
        tokens = np.fromiter(itertools.chain.from_iterable(new for _, new in pieces), np.int32)  # (N,)
        if tokens.min() < 0 or tokens.max() >= self.vocabulary:
            raise ValueError(f"a token is outside the vocabulary of {self.vocabulary}")
        self._make_room(pieces)
        past = np.array([table.length for table, _ in pieces], np.int32)  # (B,)
        counts = np.array([len(new) for _, new in pieces], np.int32)  # (B,)
        begins = _begins(counts)  # (B + 1,)
        steps = np.arange(len(tokens), dtype=np.int32) - np.repeat(begins[:-1], counts)  # (N,)
        given = {
            "tokens": tokens,
            "positions": np.repeat(past, counts) + steps,
            "rows": begins[1:] - 1,
            "past_lens": past,
            "subsequence_begins": begins,
            "block_indices": np.fromiter(itertools.chain.from_iterable(t.blocks for t, _ in pieces), np.int32),
            "block_indices_begins": _begins([len(table.blocks) for table, _ in pieces]),
            "max_context_len": np.array((past + counts).max(), np.int32),
        }
        for name, values in given.items():
            self._request.set_tensor(name, ov.Tensor(values.astype(np.int32, copy=False)))
        self._request.infer()
        for table, new in pieces:
            table.length += len(new)
        logits: Logits = self._request.get_tensor("logits").data.astype(np.float32)
        return logits  # a copy: the next pass writes over the tensor

    def truncate(self, sequence: SequenceId, length: int) -> int:
        """Let a sequence hold at most its first `length` tokens; how many that are."""
        table = self._tables[sequence]
        self._pool.cut(table, length)
        return table.length

    def fork(self, source: SequenceId) -> SequenceId:
        """Begin a sequence with all that another holds."""
        table = self._tables[source]
        return self._add(self._pool.fork(table, table.length))

    def close(self, sequence: SequenceId) -> None:
        """Give a sequence's blocks back."""
        self._pool.cut(self._tables.pop(sequence), 0)

    def _add(self, table: BlockTable) -> SequenceId:
        sequence = SequenceId(next(self._serial))
        self._tables[sequence] = table
        return sequence

    def _make_room(self, pieces: Sequence[tuple[BlockTable, Sequence[int]]]) -> None:
        """Give every sequence the blocks for its new tokens."""
        for table, new in pieces:
            needed = self._pool.needed(table, len(new))
            if needed > self._pool.free:
                self._grow(max(int(self._pool.blocks * GROWTH), self._pool.blocks + needed - self._pool.free))
            copied = self._pool.extend(table, len(new))
            if copied is not None:
                for cache in self._caches:
                    cache.copy(*copied)

    def _grow(self, blocks: int) -> None:
        used = self._pool.used_rows
        for cache in self._caches:
            self._request.set_tensor(cache.name, cache.grown(blocks, used))
        self._pool.grow(blocks)


class _Cache:
    """The keys or the values of one layer, a row for each block, in memory that is taken when it is written to."""

    def __init__(self, port: Node) -> None:
        self.name = port.get_any_name()
        self._kind = port.get_element_type()
        self._row_shape = [dimension.get_length() for dimension in list(port.get_partial_shape())[1:]]
        self.row_bytes = int(np.prod(self._row_shape)) * self._kind.bitwidth // 8
        self._rows: NDArray[np.uint8] = np.empty((0, self.row_bytes), np.uint8)  # (blocks, bytes)

    def grown(self, blocks: int, used: int) -> Node:
        """Have so many rows, the first `used` as they were; the tensor that shows them."""
        # All zeros: what was never written is read along with the rest of its block, and must be a number.
        memory = np.zeros(blocks * self.row_bytes + ALIGNMENT_BYTES, np.uint8)
        start = -memory.ctypes.data % ALIGNMENT_BYTES
        rows = memory[start : start + blocks * self.row_bytes].reshape(blocks, self.row_bytes)
        rows[:used] = self._rows[:used]
        self._rows = rows
        numbers = rows.reshape(-1).view(_SAME_SIZE[self._kind.bitwidth])
        return ov.Tensor(numbers, ov.Shape([blocks, *self._row_shape]), self._kind)

    def copy(self, source: int, target: int) -> None:
        """Write what one block holds into another."""
        self._rows[target] = self._rows[source]


_SAME_SIZE: Final = {8: np.uint8, 16: np.uint16, 32: np.float32}
"""Numbers of numpy's that are as wide as those of a cache; how they are read is the plugin's affair."""


def _begins(counts: Sequence[int] | NDArray[np.int32]) -> NDArray[np.int32]:
    """Return where each of several pieces begins when they lie one after another, and where the last one ends.

    >>> _begins([2, 3]).tolist()
    [0, 2, 5]
    """
    return np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
