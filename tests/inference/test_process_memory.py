"""Weights in large pages, what is taken while a model is loaded and nothing else; what was freed is given back."""

from __future__ import annotations

import mmap
import platform
from pathlib import Path

import pytest

from botbridge.inference.engines.process_memory import MAPPINGS, SWITCH, give_back_freed, in_large_pages

SIZE_BYTES = 16 * 2**20
EDGES_BYTES = 2 * 2 * 2**20
"""The first and the last large page need not lie wholly inside."""


def large_bytes() -> int:
    """How much of this process's memory lies in large pages."""
    return told_bytes(Path("/proc/self/smaps_rollup"), "AnonHugePages")


def told_bytes(report: Path, name: str) -> int:
    """A size out of one of the system's reports about this process."""
    (line,) = [line for line in report.read_text().splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024


def filled_block() -> mmap.mmap:
    """Memory of our own, in small pages unless the system gives large ones to all."""
    block = mmap.mmap(-1, SIZE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    block[:] = b"w" * SIZE_BYTES
    return block


def can_make_them_now() -> bool:
    """Large pages are given to whoever asks, and at once."""
    if not MAPPINGS.exists() or not SWITCH.exists() or "[madvise]" not in SWITCH.read_text():
        return False
    return tuple(map(int, platform.release().split(".")[:2])) >= (6, 1)


only_where_asked_for = pytest.mark.skipif(
    not can_make_them_now(), reason="this system gives large pages to all, to nobody, or late"
)


@only_where_asked_for
def test_what_is_taken_inside_lies_in_large_pages_unchanged() -> None:
    before = large_bytes()
    with in_large_pages():
        block = filled_block()
        assert large_bytes() - before < SIZE_BYTES - EDGES_BYTES
    assert large_bytes() - before >= SIZE_BYTES - EDGES_BYTES
    assert block[:] == b"w" * SIZE_BYTES
    block.close()


@only_where_asked_for
def test_where_nobody_is_to_have_large_pages_none_are_made(tmp_path: Path) -> None:
    """The kernel would make them for the asking even then."""
    switch = tmp_path / "enabled"
    switch.write_text("always madvise [never]\n")
    before = large_bytes()
    with in_large_pages(switch):
        block = filled_block()
    assert large_bytes() - before < SIZE_BYTES - EDGES_BYTES
    block.close()


@only_where_asked_for
def test_what_was_there_before_stays_as_it_was() -> None:
    block = filled_block()
    before = large_bytes()
    with in_large_pages():
        pass
    assert large_bytes() - before < SIZE_BYTES - EDGES_BYTES
    block.close()


def test_an_error_inside_leaves_as_it_is() -> None:
    with pytest.raises(ValueError, match="no such model"), in_large_pages():
        raise ValueError("no such model")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only the GNU C library keeps and gives back like this")
def test_what_was_freed_goes_back_to_the_system() -> None:
    """Small blocks, freed all but the last: the library keeps the memory below it until it is told to give it back."""
    blocks = [bytes(60_000) for _ in range(1_000)]
    last = bytes(60_000)
    blocks.clear()
    kept = told_bytes(Path("/proc/self/status"), "VmRSS")
    give_back_freed()
    assert kept - told_bytes(Path("/proc/self/status"), "VmRSS") > 1_000 * 60_000 / 2
    assert len(last) == 60_000
