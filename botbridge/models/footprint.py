"""How large a model is: its weights, and the cache of its conversations. Whether that fits judges `fitting`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from botbridge.models.facts import CatalogueEntry

BITS_PER_WEIGHT: Final = {
    "Q4_0": 4.5,
    "Q4_K_M": 4.8944,
    "Q5_K_M": 5.7036,
    "Q8_0": 8.5008,
    "BF16": 16.0,
    "F16": 16.0,
    "F32": 32.0,
}
"""How large a weight becomes. Source: llama.cpp at 311c2c9, tools/quantize/README.md, table of Llama-3.1-8B;
Q4_0: its block layout, 32 weights in 18 bytes (ggml-common.h)."""

WHOLE: Final = frozenset({"F32", "BF16", "F16"})
"""Forms of the engine transformers: numbers as the publisher has them."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """What one model takes in one form.

    Attributes:
        quantization: Of the weights.
        weights_bytes: On disk.
        cache_bytes: For the conversations whose texts are kept; None where the model's shape is not known.
        measured: The size is that of a published file, not computed.
    """

    quantization: str
    weights_bytes: int
    cache_bytes: int | None
    measured: bool


def footprint(entry: CatalogueEntry, quantization: str, *, context_tokens: int, conversations: int) -> Footprint:
    """Return what a model takes.

    Args:
        entry: The model.
        quantization: One of `BITS_PER_WEIGHT`, or one of the entry's files.
        context_tokens: Length of a conversation that is kept, at most the model's own.
        conversations: How many are kept at once.

    Raises:
        KeyError: There is neither such a file nor a known size of a weight.
    """
    published = next((file for file in entry.files if file.quantization == quantization), None)
    if published is None:
        weights_bytes = round(entry.parameters * BITS_PER_WEIGHT[quantization] / 8)
    else:
        weights_bytes = published.size_bytes
    tokens = min(context_tokens, entry.context_tokens) * conversations
    cache_bytes = None if entry.kv_bytes_per_token is None else entry.kv_bytes_per_token * tokens
    measured = published is not None and published.source != "computed"
    return Footprint(quantization, weights_bytes, cache_bytes, measured)
