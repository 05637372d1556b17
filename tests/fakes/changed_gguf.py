"""GGUF files that somebody has changed."""

from __future__ import annotations

from pathlib import Path

import gguf


def with_tensor_type(source: Path, target: Path, number: int) -> Path:
    """Copy a GGUF file, its last tensor declared to be of another type."""
    content = bytearray(source.read_bytes())
    tensor = gguf.GGUFReader(source).tensors[-1]
    field = tensor.field
    # Name, number of dimensions, dimensions, type, offset: the type follows the dimensions.
    place = field.offset + sum(int(part.nbytes) for part in field.parts[:-2])
    content[place : place + 4] = number.to_bytes(4, "little")
    target.write_bytes(content)
    return target
