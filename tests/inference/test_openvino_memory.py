"""Where OpenVINO's copy of the weights lies; without the engine itself."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from botbridge.inference.engines.openvino_memory import ALIGNMENT_BYTES, WeightMemory, padded

SIZE_BYTES = 64 * 2**20


def resident_bytes() -> int:
    """What of this process is in memory, files included."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


def filled(memory: WeightMemory) -> np.ndarray:
    """All of it."""
    half = np.full(SIZE_BYTES // 2, 7, np.uint8)
    content = memory.put([half, half])
    memory.seal()
    return content


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the weights lie in memory")
def test_what_rests_takes_no_memory_and_is_there_when_it_is_read(tmp_path: Path) -> None:
    memory = WeightMemory(SIZE_BYTES, tmp_path)
    content = filled(memory)
    assert int(content.sum()) == 7 * SIZE_BYTES
    taken = resident_bytes()
    memory.rest()
    assert taken - resident_bytes() > 0.9 * SIZE_BYTES
    assert int(content.sum()) == 7 * SIZE_BYTES
    assert list(tmp_path.iterdir()) == []


def test_where_no_file_can_be_it_is_memory(tmp_path: Path) -> None:
    memory = WeightMemory(SIZE_BYTES, tmp_path / "absent")
    assert not memory.is_file
    content = filled(memory)
    memory.rest()
    assert int(content.sum()) == 7 * SIZE_BYTES


def test_more_than_disk_and_memory_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MemoryError):
        WeightMemory(2**60, tmp_path)


def test_each_piece_begins_where_a_register_may_load_it(tmp_path: Path) -> None:
    memory = WeightMemory(padded(3) + padded(65), tmp_path)
    first, second = (memory.put([np.full(length, length, np.uint8)]) for length in (3, 65))
    memory.seal()
    assert second.ctypes.data - first.ctypes.data == ALIGNMENT_BYTES
    assert (first.tolist(), second.tolist()) == ([3] * 3, [65] * 65)
