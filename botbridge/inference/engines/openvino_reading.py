"""Reads a GGUF with OpenVINO's own reader, and says in one sentence why one cannot be computed.

Built and compared with transformers: what `openvino_limits` lists; everything else is refused by name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from botbridge.errors import ModelDamaged
from botbridge.inference.engines.openvino_graph import paged
from botbridge.inference.engines.openvino_rotary import scale_frequencies
from botbridge.inference.engines.openvino_runtime import READER_FAILURES, GraphUnfit, Node, frontend
from botbridge.models.gguf_header import GgufHeader, read_gguf_header
from botbridge.models.openvino_limits import openvino_obstacle

FREQUENCY_FACTORS: Final = "rope_freqs.weight"
"""LLaMA 3.1 and later: what each frequency is divided by, so that far positions are told apart; the reader leaves it
out. Source: llama.cpp, convert_hf_to_gguf.py, LlamaModel.generate_extra_tensors, and ggml's rope, `freq_factors`."""


def read_gguf(path: Path) -> Node:
    """Return the graph of a GGUF, ready to be compiled.

    Raises:
        ValueError: The file is damaged, or of an architecture that is not covered.
        OSError: It cannot be read.
    """
    try:
        header = read_gguf_header(path)
    except ModelDamaged as error:
        raise ValueError(f"OpenVINO cannot compute {path.name}: {error}") from error
    architecture = header.facts.get("general.architecture", "not named")
    if (obstacle := openvino_obstacle(header)) is not None:
        raise ValueError(f"OpenVINO cannot compute {path.name}, whose architecture is {architecture}: {obstacle}")
    reader = frontend.FrontEndManager().load_by_framework("gguf")
    try:
        graph = reader.convert(reader.load(str(path)))
        if FREQUENCY_FACTORS in header.tensors:
            scale_frequencies(graph, frequency_factors(path, header))
        return paged(graph)
    except (GraphUnfit, *READER_FAILURES) as error:
        reason = complaint(str(error))
        raise ValueError(
            f"OpenVINO cannot compute {path.name}, whose architecture is {architecture}: {reason}"
        ) from error


def frequency_factors(path: Path, header: GgufHeader) -> NDArray[np.float32]:
    """Return what each frequency of the rotary embedding is divided by.

    Raises:
        GraphUnfit: They are of another type.
    """
    place = header.tensors[FREQUENCY_FACTORS]
    if place.kind != "F32":
        raise GraphUnfit(f"the factors of its frequencies are {place.kind}")
    return np.fromfile(path, np.float32, place.elements, offset=place.offset_bytes)


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
