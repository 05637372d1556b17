"""Who holds which block of a paged kv cache: pure bookkeeping, block by block of BLOCK_TOKENS tokens.

Sequences share blocks where one was forked from another; a block that is shared
is copied before one of them writes into it.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Final

BLOCK_TOKENS: Final = 32
"""What the CPU's attention kernel lays out together. Source: openvino.genai kv_cache_manager.hpp, `cpu_block_size`."""


@dataclass(slots=True)
class BlockTable:
    """A sequence: how many tokens it holds, and the blocks that they lie in, in their order."""

    length: int = 0
    blocks: list[int] = field(default_factory=list)


class BlockPool:
    """Hands blocks out, the lowest number first, so that memory at the end is touched last."""

    def __init__(self, blocks: int) -> None:
        """Begin with so many blocks, all free."""
        self.blocks = blocks
        self._free = list(range(blocks))
        self._holders: dict[int, int] = {}

    @property
    def free(self) -> int:
        """How many blocks nobody holds."""
        return len(self._free)

    @property
    def used_rows(self) -> int:
        """The number of the highest block in use, plus one."""
        return max(self._holders, default=-1) + 1

    def grow(self, blocks: int) -> None:
        """Have so many blocks altogether from now on."""
        for block in range(self.blocks, blocks):
            heapq.heappush(self._free, block)
        self.blocks = max(self.blocks, blocks)

    def needed(self, table: BlockTable, tokens: int) -> int:
        """Return how many free blocks a sequence takes to hold so many more tokens."""
        return _block_count(table.length + tokens) - len(table.blocks) + self._must_copy(table)

    def extend(self, table: BlockTable, tokens: int) -> tuple[int, int] | None:
        """Give a sequence the blocks for so many more tokens; its length stays as it is.

        Returns:
            A block and its copy to be: what the first holds must be written to
            the second before anything is computed. None where nothing is to be copied.
        """
        copied = None
        if self._must_copy(table):
            last = len(table.blocks) - 1
            copied = table.blocks[last], self._take()
            self._release(copied[0])
            table.blocks[last] = copied[1]
        while len(table.blocks) < _block_count(table.length + tokens):
            table.blocks.append(self._take())
        return copied

    def cut(self, table: BlockTable, length: int) -> None:
        """Let a sequence hold its first tokens only."""
        table.length = min(table.length, length)
        while len(table.blocks) > _block_count(table.length):
            self._release(table.blocks.pop())

    def fork(self, table: BlockTable, length: int) -> BlockTable:
        """Return a sequence with the first tokens of another, in the same blocks."""
        length = min(table.length, length)
        shared = table.blocks[: _block_count(length)]
        for block in shared:
            self._holders[block] += 1
        return BlockTable(length, shared)

    def _must_copy(self, table: BlockTable) -> bool:
        """Tell whether the next token would go into a block that another sequence holds, too."""
        place = table.length // BLOCK_TOKENS
        return place < len(table.blocks) and self._holders[table.blocks[place]] > 1

    def _take(self) -> int:
        block = heapq.heappop(self._free)
        self._holders[block] = 1
        return block

    def _release(self, block: int) -> None:
        self._holders[block] -= 1
        if not self._holders[block]:
            del self._holders[block]
            heapq.heappush(self._free, block)


def _block_count(tokens: int) -> int:
    return -(-tokens // BLOCK_TOKENS)
