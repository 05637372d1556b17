"""What a model's safetensors files hold, read from their headers alone; what is cut off or missing is named.

Source: the format, https://huggingface.co/docs/safetensors: eight bytes with the
header's length, the header in JSON with each tensor's place, then the tensors.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from botbridge.sentences import Sentence

LENGTH_BYTES: Final = 8
SINGLE_NAME: Final = "model.safetensors"
INDEX_NAME: Final = "model.safetensors.index.json"


class WeightsDamaged(ValueError):
    """A file of weights cannot be what was published; `reason` says why, and can be said in another language."""

    def __init__(self, reason: Sentence) -> None:
        super().__init__(reason)
        self.reason = reason


def count_numbers(directory: Path) -> int:
    """Return how many numbers the weights of a model are, after a look at every file.

    Raises:
        WeightsDamaged: A file is cut off, is no safetensors file, or is missing; the sentence names it.
    """
    return sum(numbers for path in weight_files(directory) for numbers in tensor_sizes(path))


def weight_files(directory: Path) -> list[Path]:
    """Return the files that hold a model's weights, chosen as transformers does.

    Raises:
        WeightsDamaged: There is neither the one file nor an index, or the index names a file that is not there.
    """
    single, index = directory / SINGLE_NAME, directory / INDEX_NAME
    if single.exists():
        return [single]
    if not index.is_file():
        raise WeightsDamaged(Sentence("there is neither {file} nor {index}", file=SINGLE_NAME, index=INDEX_NAME))
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsDamaged(Sentence("{file} is damaged and names no files", file=INDEX_NAME)) from error
    for name in names:
        if not (directory / name).is_file():
            raise WeightsDamaged(Sentence("{file} is missing; {index} names it", file=name, index=INDEX_NAME))
    return [directory / name for name in names]


def tensor_sizes(path: Path) -> Iterator[int]:
    """Yield how many numbers each tensor of a file holds.

    Raises:
        WeightsDamaged: The file is cut off, too long, or no safetensors file.
    """
    try:
        size_bytes = path.stat().st_size
        with path.open("rb") as file:
            header_bytes = int.from_bytes(file.read(LENGTH_BYTES), "little")
            if size_bytes < LENGTH_BYTES + header_bytes:
                raise WeightsDamaged(
                    Sentence(
                        "{file} is cut off: its header alone needs {needed} bytes",
                        file=path.name,
                        needed=f"{header_bytes:,}",
                    )
                )
            header = json.loads(file.read(header_bytes))
        tensors = [entry for name, entry in header.items() if name != "__metadata__"]
        needed_bytes = LENGTH_BYTES + header_bytes + max(entry["data_offsets"][1] for entry in tensors)
        numbers = [math.prod(entry["shape"]) for entry in tensors]
    except OSError as error:
        unread = Sentence("{path} cannot be read: {error}", path=path.name, error=error.strerror)
        raise WeightsDamaged(unread) from error
    except WeightsDamaged:
        raise
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        headless = Sentence("{file} is damaged: it has no header that can be read", file=path.name)
        raise WeightsDamaged(headless) from error
    if size_bytes != needed_bytes:
        raise WeightsDamaged(
            Sentence(
                "{file} is damaged: it should have {needed} bytes and has {size}",
                file=path.name,
                needed=f"{needed_bytes:,}",
                size=f"{size_bytes:,}",
            )
        )
    yield from numbers
