"""How the memory of a model lies: what stays in large pages, what was freed with the system; and whether it is enough.

Decoding reads all weights for every token, and in pages of 4 KiB the CPU looks
up an address for every 4 KiB; inside a virtual machine each look-up is one into
two tables. With pages of 2 MiB one person is answered 1.2 times as fast (the
embedded model and the 1B shape, llama.cpp). Most distributions give large pages
only to whoever asks for them.

Covered: large pages on Linux, giving back with the GNU C library. Elsewhere,
and where the system was told never to give large pages, nothing happens.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from botbridge.resources import available_memory_bytes
from botbridge.sizes import size_text

MAPPINGS: Final = Path("/proc/self/maps")

SWITCH: Final = Path("/sys/kernel/mm/transparent_hugepage/enabled")
"""Who is given large pages. Source: Linux, Documentation/admin-guide/mm/transhuge.rst."""

LEAST_BYTES: Final = 4 * 2**20
"""Two large pages: below, hardly one lies wholly inside. The same from which blocks have a mapping of their own
(`spawning.MEMORY`)."""

MADV_COLLAPSE: Final = 25
"""Make large pages of small ones now. Source: madvise(2); since Linux 6.1. Older systems do it bit by bit."""


@contextmanager
def in_large_pages(switch: Path = SWITCH) -> Iterator[None]:
    """Put the large blocks of memory that were taken inside into large pages, at its end.

    Args:
        switch: Where the system says who is given them.
    """
    before = set(_mappings())
    yield
    if switch.exists() and "[never]" in switch.read_text(encoding="ascii"):
        return  # to make them at once is possible even then, and against the operator's will
    libc = ctypes.CDLL(None, use_errno=True)
    for start, size_bytes in _mappings():
        if (start, size_bytes) not in before:
            for advice in (mmap.MADV_HUGEPAGE, MADV_COLLAPSE):
                # Refused by systems without it, or where no large page is free: then all stays as it was.
                libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(size_bytes), advice)


def _mappings() -> Iterator[tuple[int, int]]:
    """Yield start and size of each large mapping that is writable and no file's; nothing outside Linux."""
    if not MAPPINGS.exists() or not hasattr(mmap, "MADV_HUGEPAGE"):
        return
    for line in MAPPINGS.read_text(encoding="ascii", errors="replace").splitlines():
        extent, rights, _, _, inode, *name = line.split(maxsplit=5)
        start, end = (int(address, 16) for address in extent.split("-"))
        if rights == "rw-p" and inode == "0" and not name and end - start >= LEAST_BYTES:
            yield start, end - start


def give_back_freed() -> None:
    """Return to the system what was freed and is still kept for later: after loading a model 5 to 12 MB."""
    with suppress(AttributeError):  # other C libraries have no such function
        ctypes.CDLL(None).malloc_trim(0)


def require_room(weights_bytes: int, free_bytes: int | None = None) -> None:
    """See before loading that weights fit, because afterwards the kernel ends the process for it, without a word.

    Args:
        weights_bytes: What they take at least.
        free_bytes: Memory that is left; None asks the kernel.

    Raises:
        MemoryError: They need more than there is.

    >>> require_room(7_000_000_000, free_bytes=3_100_000_000)
    Traceback (most recent call last):
    MemoryError: the weights need 7.0 GB, and 3.1 GB of memory were free
    """
    free = available_memory_bytes() if free_bytes is None else free_bytes
    if free is not None and weights_bytes > free:
        raise MemoryError(f"the weights need {size_text(weights_bytes)}, and {size_text(free)} of memory were free")
