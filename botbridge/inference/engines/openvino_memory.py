"""Where the weights of a graph lie: in a file without a name, so that what the plugin keeps of them takes no memory.

The CPU plugin lays a matrix out anew when it first multiplies with it, computes
with that copy, and keeps the one it was given for as long as the model lives;
it has no setting against this (2026.4.1). Of a file the system keeps in memory
what is being read only, so that such weights are there once. Of the embedding's
table, of which each token reads one row, it is those rows.

Covered: Linux. Elsewhere, and where there is no room on the disk, the weights
lie in memory, twice.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Final

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

ALIGNMENT_BYTES: Final = 64
"""The plugin copies what begins elsewhere. Source: its `Input::cloneBlobIfRequired`."""


class WeightMemory:
    """Memory of a size that is known from the start, filled from its beginning on.

    Whoever computes with it has to hold this object: OpenVINO does not.

    Attributes:
        size_bytes: All of it.
        is_file: Whether the disk holds it.
    """

    def __init__(self, size_bytes: int, directory: Path) -> None:
        """Take it all, from the disk if that is possible.

        Args:
            size_bytes: The sum of `padded` over all that will be put into it.
            directory: Where the file is to be; it has no name there, and goes with the process.

        Raises:
            MemoryError: It is to be had neither there nor from memory.
        """
        self.size_bytes = max(size_bytes, 1)
        self._file = _nameless_file(self.size_bytes, directory)
        self.is_file = self._file is not None
        self._mapping = _mapped(self._file, self.size_bytes)
        self._filled_bytes = 0

    def put(self, pieces: Iterable[Bytes]) -> Bytes:
        """Return where pieces lie now, one behind another; they begin where a register's load may."""
        start = end = self._filled_bytes
        for piece in pieces:
            if self._file is None:
                self._mapping[end : end + len(piece)] = piece.tobytes()
            else:  # through the file: through its mapping each page would be fetched before it is written
                self._file.seek(end)
                self._file.write(piece.data)
            end += len(piece)
        self._filled_bytes = start + padded(end - start)
        return np.frombuffer(self._mapping, np.uint8, end - start, start)

    def seal(self) -> None:
        """Say that nothing more is put into it."""
        if self._file is not None:
            self._file.close()
        self.rest()

    def rest(self) -> None:
        """Let the file alone hold what was written; what is read again comes from there."""
        if self.is_file:
            self._mapping.madvise(mmap.MADV_DONTNEED)


def padded(size_bytes: int) -> int:
    """Return how much of a `WeightMemory` so many bytes take.

    >>> padded(64), padded(65)
    (64, 128)
    """
    return -(-size_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


def _nameless_file(size_bytes: int, directory: Path) -> IO[bytes] | None:
    """Return a file that has room for so many bytes; None where there can be none."""
    if not hasattr(os, "posix_fallocate") or not hasattr(mmap, "MADV_DONTNEED"):
        return None
    try:
        file = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115 - closed when it is full
    except OSError:  # no right to write there
        return None
    try:
        # Reserved at once: a disk that is full when a page is written to ends the process with a signal.
        os.posix_fallocate(file.fileno(), 0, size_bytes)
    except OSError:  # no room
        file.close()
        return None
    return file


def _mapped(file: IO[bytes] | None, size_bytes: int) -> mmap.mmap:
    """Return the bytes of a file, or of memory where there is none.

    Raises:
        MemoryError: There are not so many.
    """
    try:
        return mmap.mmap(-1 if file is None else file.fileno(), size_bytes)
    except OSError as error:
        raise MemoryError(str(error)) from error
