"""Reads a GGUF with OpenVINO's own reader, and says in one sentence why one cannot be computed.

Built and compared with transformers: llama, qwen2, qwen3 and gemma3 (tests).
Further architectures that the reader knows are taken when all their attention
is plain; the others are refused by name.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

from botbridge.inference.engines.openvino_graph import GraphUnfit, paged
from botbridge.inference.engines.openvino_runtime import READER_FAILURES, Node, frontend

HEAD_BYTES: Final = 2**16
"""Where the architecture is looked for; it is the first thing that a GGUF says of itself, as a rule."""

STRING: Final = struct.pack("<I", 8)
"""What stands between a name and its text. Source: ggml docs/gguf.md, GGUF_METADATA_VALUE_TYPE_STRING."""


def read_gguf(path: Path) -> Node:
    """Return the graph of a GGUF, ready to be compiled.

    Raises:
        ValueError: The file is damaged, or of an architecture that is not covered.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        architecture = architecture_of(file.read(HEAD_BYTES))
    reader = frontend.FrontEndManager().load_by_framework("gguf")
    try:
        return paged(reader.convert(reader.load(str(path))))
    except (GraphUnfit, *READER_FAILURES) as error:
        reason = complaint(str(error))
        raise ValueError(
            f"OpenVINO cannot compute {path.name}, whose architecture is {architecture}: {reason}"
        ) from error


def architecture_of(head: bytes) -> str:
    r"""Return what a GGUF calls its architecture.

    Args:
        head: The file's first bytes.

    >>> architecture_of(b"GGUF...general.architecture\x08\0\0\0\x05\0\0\0\0\0\0\0llama...")
    'llama'
    >>> architecture_of(b"GGUF")
    'not named'
    """
    _, _, text = head.partition(b"general.architecture" + STRING)
    size_bytes = int.from_bytes(text[:8], "little")
    return text[8 : 8 + size_bytes].decode("utf-8", "replace") or "not named"


def complaint(text: str) -> str:
    r"""Return what one of OpenVINO's messages says, without where in its sources.

    >>> complaint("Check 'a' failed at src/b.cpp:86:\n[GGUF] no builder for 'x'. See c.cpp for more.\n\n")
    "no builder for 'x'"
    >>> complaint("Exception from src/b.cpp:1:\nException from src/c.cpp:2:\nthe file is short\n")
    'the file is short'
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith(PLACES)]
    first = (said or lines or ["it does not say why"])[0]
    return first.removeprefix("[GGUF] ").removeprefix("[load_gguf] ").partition(". ")[0]


PLACES: Final = ("Check ", "Exception from ", "While validating ", "FrontEnd API failed")
"""How lines begin that tell a place in OpenVINO's sources."""
