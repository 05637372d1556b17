"""Who holds which block: none is lost, none is written to by one sequence while another reads it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botbridge.inference.engines.openvino_blocks import BLOCK_TOKENS, BlockPool, BlockTable

WHOLE = BLOCK_TOKENS
PART = BLOCK_TOKENS // 2


def extended(pool: BlockPool, table: BlockTable, tokens: int) -> tuple[int, int] | None:
    """Give a sequence so many more tokens, as a pass does."""
    copied = pool.extend(table, tokens)
    table.length += tokens
    return copied


def test_a_block_is_taken_only_when_the_last_one_is_full() -> None:
    pool, table = BlockPool(4), BlockTable()
    extended(pool, table, 1)
    assert table.blocks == [0]
    extended(pool, table, WHOLE - 1)
    assert table.blocks == [0]
    extended(pool, table, 1)
    assert table.blocks == [0, 1]
    assert (pool.free, pool.used_rows) == (2, 2)


def test_what_is_cut_off_is_free_again_and_the_lowest_is_taken_first() -> None:
    pool, first, second = BlockPool(4), BlockTable(), BlockTable()
    extended(pool, first, 2 * WHOLE)
    extended(pool, second, WHOLE)
    pool.cut(first, PART)
    assert (first.length, first.blocks, pool.free) == (PART, [0], 2)
    extended(pool, second, 1)
    assert second.blocks == [2, 1]
    pool.cut(first, WHOLE)
    assert first.length == PART


def test_a_fork_shares_blocks_and_whoever_writes_first_gets_a_copy() -> None:
    pool, source = BlockPool(4), BlockTable()
    extended(pool, source, WHOLE + PART)
    fork = pool.fork(source, WHOLE + PART)
    assert (fork.blocks, pool.free) == ([0, 1], 2)
    assert pool.needed(fork, 1) == 1
    assert extended(pool, fork, 1) == (1, 2)
    assert (source.blocks, fork.blocks) == ([0, 1], [0, 2])
    assert pool.needed(source, 1) == 0
    assert extended(pool, source, 1) is None


def test_a_fork_that_ends_with_a_full_block_copies_nothing() -> None:
    pool, source = BlockPool(4), BlockTable()
    extended(pool, source, WHOLE + PART)
    fork = pool.fork(source, WHOLE)
    assert fork.blocks == [0]
    assert extended(pool, fork, 1) is None
    assert fork.blocks == [0, 2]


def test_a_sequence_that_was_cut_into_a_shared_block_copies_it() -> None:
    pool, source = BlockPool(4), BlockTable()
    extended(pool, source, WHOLE)
    fork = pool.fork(source, WHOLE)
    pool.cut(source, PART)
    assert extended(pool, source, 1) == (0, 1)
    assert fork.blocks == [0]


def test_a_block_is_free_when_its_last_holder_lets_go() -> None:
    pool, source = BlockPool(2), BlockTable()
    extended(pool, source, WHOLE)
    fork = pool.fork(source, WHOLE)
    pool.cut(source, 0)
    assert pool.free == 1
    pool.cut(fork, 0)
    assert (pool.free, pool.used_rows) == (2, 0)


def test_a_pool_grows_and_never_shrinks() -> None:
    pool, table = BlockPool(1), BlockTable()
    extended(pool, table, WHOLE)
    assert pool.needed(table, WHOLE + 1) == 2
    pool.grow(3)
    pool.grow(2)
    assert (pool.blocks, pool.free) == (3, 2)
    extended(pool, table, WHOLE + 1)
    assert table.blocks == [0, 1, 2]


@given(st.lists(st.tuples(st.sampled_from(["extend", "cut", "fork"]), st.integers(0, 5), st.integers(0, 80))))
def test_every_sequence_reads_what_it_wrote(steps: list[tuple[str, int, int]]) -> None:
    """Blocks as a cache would hold them: each token is written once, at its place in its sequence's blocks."""
    pool, rows = BlockPool(0), dict[tuple[int, int], int]()
    tables, texts = [BlockTable()], [list[int]()]
    written = iter(range(10_000))
    for act, place, number in steps:
        table, text = tables[place % len(tables)], texts[place % len(tables)]
        if act == "extend":
            pool.grow(pool.blocks + max(pool.needed(table, number) - pool.free, 0))
            if (copied := pool.extend(table, number)) is not None:
                rows |= {(copied[1], row): rows.get((copied[0], row), -1) for row in range(BLOCK_TOKENS)}
            for at in range(table.length, table.length + number):
                text.append(next(written))
                rows[table.blocks[at // BLOCK_TOKENS], at % BLOCK_TOKENS] = text[-1]
            table.length += number
        elif act == "cut":
            pool.cut(table, number)
            del text[number:]
        else:
            tables.append(pool.fork(table, number))
            texts.append(text[:number])
        for held, expected in zip(tables, texts, strict=True):
            read = [rows[held.blocks[at // BLOCK_TOKENS], at % BLOCK_TOKENS] for at in range(held.length)]
            assert read == expected
    for table in tables:
        pool.cut(table, 0)
    assert pool.free == pool.blocks


def test_more_than_there_is_cannot_be_taken() -> None:
    """Whoever extends asks first."""
    with pytest.raises(IndexError):
        BlockPool(1).extend(BlockTable(), WHOLE + 1)
