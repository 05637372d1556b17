"""What a GGUF file says of itself, read without any library, so that the service may look before it loads.

Covered: the types of its weights, its own description, and whether all weights
are there. Not covered: the weights, and lists (vocabulary, merges), which are
stepped over.

Source: the GGUF specification, ggml docs/gguf.md; the types are those of ggml.h.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from botbridge.errors import ModelDamaged
from botbridge.sentences import Sentence

MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)
DEFAULT_ALIGNMENT_BYTES: Final = 32

_STRING: Final = 8
_ARRAY: Final = 9
_SCALARS: Final = MappingProxyType(
    {
        number: struct.Struct(f"<{code}")
        for number, code in zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), "BbHhIif?Qqd", strict=True)
    }
)

TENSOR_TYPES: Final[Mapping[int, tuple[str, int, int]]] = MappingProxyType(
    {
        0: ("F32", 1, 4),
        1: ("F16", 1, 2),
        2: ("Q4_0", 32, 18),
        3: ("Q4_1", 32, 20),
        6: ("Q5_0", 32, 22),
        7: ("Q5_1", 32, 24),
        8: ("Q8_0", 32, 34),
        10: ("Q2_K", 256, 84),
        11: ("Q3_K", 256, 110),
        12: ("Q4_K", 256, 144),
        13: ("Q5_K", 256, 176),
        14: ("Q6_K", 256, 210),
        16: ("IQ2_XXS", 256, 66),
        17: ("IQ2_XS", 256, 74),
        18: ("IQ3_XXS", 256, 98),
        19: ("IQ1_S", 256, 50),
        20: ("IQ4_NL", 32, 18),
        21: ("IQ3_S", 256, 110),
        22: ("IQ2_S", 256, 82),
        23: ("IQ4_XS", 256, 136),
        24: ("I8", 1, 1),
        25: ("I16", 1, 2),
        26: ("I32", 1, 4),
        27: ("I64", 1, 8),
        28: ("F64", 1, 8),
        29: ("IQ1_M", 256, 56),
        30: ("BF16", 1, 2),
        34: ("TQ1_0", 256, 54),
        35: ("TQ2_0", 256, 66),
        39: ("MXFP4", 32, 17),
        40: ("NVFP4", 64, 36),
        41: ("Q1_0", 128, 18),
    }
)
"""Number of a type in the file: its name, the weights in a block of it, and the bytes of a block."""

WITHDRAWN_TYPES: Final[Mapping[int, str]] = MappingProxyType(
    {
        4: "Q4_2",
        5: "Q4_3",
        31: "Q4_0_4_4",
        32: "Q4_0_4_8",
        33: "Q4_0_8_8",
        36: "IQ4_NL_4_4",
        37: "IQ4_NL_4_8",
        38: "IQ4_NL_8_8",
    }
)
"""Types that older files hold and llama.cpp no longer reads. Source: the comments of ggml.h, enum ggml_type."""


@dataclass(frozen=True, slots=True)
class TensorPlace:
    """Where one tensor lies.

    Attributes:
        kind: The name of its type.
        elements: How many numbers it holds.
        offset_bytes: Where they begin, from the beginning of the file.
    """

    kind: str
    elements: int
    offset_bytes: int


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """A file's own description.

    Attributes:
        facts: Numbers, texts and flags by key; lists are left out.
        tensors: By name.
    """

    facts: Mapping[str, int | float | bool | str]
    tensors: Mapping[str, TensorPlace]


def read_gguf_header(path: Path) -> GgufHeader:
    """Read and check a GGUF file's header, some milliseconds for each hundred thousand words of its vocabulary.

    Raises:
        ModelDamaged: It is no GGUF, is cut short, or holds weights of a type that no engine reads; the type is named.
    """
    try:
        if path.stat().st_size == 0:  # which mmap refuses in words of its own
            raise ModelDamaged(Sentence("{path} is no GGUF file", path=path))
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _Reader(path, content).header()
    except (struct.error, OverflowError, UnicodeDecodeError) as error:
        raise ModelDamaged(Sentence("{path} is cut short or damaged: its header cannot be read", path=path)) from error
    except (OSError, ValueError) as error:
        raise ModelDamaged(Sentence("{path} cannot be read: {error}", path=path, error=str(error))) from error


def type_name(number: int) -> str:
    """Return what a type of weights is called.

    >>> type_name(2), type_name(31), type_name(99)
    ('Q4_0', 'Q4_0_4_4', 'ggml type 99')
    """
    known = TENSOR_TYPES.get(number)
    return known[0] if known else WITHDRAWN_TYPES.get(number, f"ggml type {number}")


class _Reader:
    """Walks through one header."""

    def __init__(self, path: Path, content: mmap.mmap) -> None:
        self._path = path
        self._content = content
        self._place = 0

    def header(self) -> GgufHeader:
        if self._content[: len(MAGIC)] != MAGIC:
            raise ModelDamaged(Sentence("{path} is no GGUF file", path=self._path))
        self._place = len(MAGIC)
        version = self._number("<I")
        if version not in VERSIONS:
            raise ModelDamaged(
                Sentence(
                    "{path} is GGUF of version {version}; versions 2 and 3 are read", path=self._path, version=version
                )
            )
        tensors, facts_count = self._number("<Q"), self._number("<Q")
        facts = dict(self._facts(facts_count))
        places: dict[str, TensorPlace] = {}
        end_bytes = 0
        for tensor, number, offset_bytes, elements in self._tensors(tensors):
            if number not in TENSOR_TYPES:
                raise ModelDamaged(
                    Sentence(
                        "{path} holds weights of the type {type}, which no engine reads; take the model in another "
                        "quantization, such as {examples}",
                        path=self._path,
                        type=type_name(number),
                        examples="Q4_0, Q4_K_M, Q8_0",
                    )
                )
            name, block, block_bytes = TENSOR_TYPES[number]
            places[tensor] = TensorPlace(name, elements, offset_bytes)
            end_bytes = max(end_bytes, offset_bytes + elements // block * block_bytes)
        alignment = facts.get("general.alignment", DEFAULT_ALIGNMENT_BYTES)
        start_bytes = -(-self._place // alignment) * alignment if isinstance(alignment, int) and alignment > 0 else 0
        if len(self._content) < start_bytes + end_bytes:
            raise ModelDamaged(
                Sentence(
                    "{path} is cut short: it holds {size} bytes, not {needed}",
                    path=self._path,
                    size=len(self._content),
                    needed=start_bytes + end_bytes,
                )
            )
        from_start = {
            tensor: replace(place, offset_bytes=start_bytes + place.offset_bytes) for tensor, place in places.items()
        }
        return GgufHeader(facts, from_start)

    def _facts(self, count: int) -> Iterator[tuple[str, int | float | bool | str]]:
        for _ in range(count):
            key = self._text()
            kind = self._number("<I")
            if kind == _ARRAY:
                self._skip_array()
            elif kind == _STRING:
                yield key, self._text()
            else:
                yield key, self._scalar(kind)

    def _tensors(self, count: int) -> Iterator[tuple[str, int, int, int]]:
        """Yield name, type, offset in bytes behind the header and number of weights of each tensor."""
        for _ in range(count):
            name = self._text()
            elements = 1
            for _ in range(self._number("<I")):
                elements *= self._number("<Q")
            yield name, self._number("<I"), self._number("<Q"), elements

    def _skip_array(self) -> None:
        kind, count = self._number("<I"), self._number("<Q")
        if kind != _STRING:
            self._place += count * self._layout(kind).size
            return
        unpack, content, place = struct.Struct("<Q").unpack_from, self._content, self._place
        for _ in range(count):
            place += 8 + unpack(content, place)[0]
        self._place = place

    def _text(self) -> str:
        length = self._number("<Q")
        text = self._content[self._place : self._place + length]
        if len(text) != length:
            raise struct.error("a text ends behind the file")
        self._place += length
        return text.decode("utf-8")

    def _scalar(self, kind: int) -> int | float | bool:
        layout = self._layout(kind)
        value: int | float | bool = layout.unpack_from(self._content, self._place)[0]
        self._place += layout.size
        return value

    def _number(self, layout: str) -> int:
        value: int = struct.unpack_from(layout, self._content, self._place)[0]
        self._place += struct.calcsize(layout)
        return value

    def _layout(self, kind: int) -> struct.Struct:
        if kind not in _SCALARS:
            raise struct.error(f"a value of the unknown kind {kind}")
        return _SCALARS[kind]
