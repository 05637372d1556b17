"""How much of a machine one model takes, as it will really be held: by the engine that computes it. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from botbridge.machine.doctor_facts import Need
from botbridge.models.footprint import Footprint
from botbridge.models.match_facts import CONVERSATION_TOKENS

BFLOAT16_FLAGS: Final = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""Source: inference/engines/transformers_device.py, cpu_computes_bfloat16."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The forms in which weights are, or will be, on the disk.

    Attributes:
        has_gguf: As one GGUF file.
        has_safetensors: As safetensors.
        gguf_bytes: Of the GGUF file that engines would take; None where it is not known yet.
        safetensors_bytes: Of all of them, with 16 bits a number, as almost all publishers have them; None likewise.
        quantization: Of the GGUF, as far as it is known.
    """

    has_gguf: bool = False
    has_safetensors: bool = False
    gguf_bytes: int | None = None
    safetensors_bytes: int | None = None
    quantization: str = "GGUF"


@dataclass(frozen=True, slots=True)
class Holding:
    """How the settings want a model held.

    Attributes:
        engine: The one that computes it.
        dtype: `auto`, `float32` or `bfloat16`.
        conversations: How many answers run side by side.
        context_tokens: Upper bound of one of them; None for the model's own.
        kept_bytes: What conversations may keep between turns.
    """

    engine: str
    dtype: str
    conversations: int
    context_tokens: int | None
    kept_bytes: int


def need_of(
    weights: Weights,
    holding: Holding,
    flags: Collection[str],
    *,
    kv_bytes_per_token: int | None,
    trained_tokens: int | None,
    fetch_bytes: int,
) -> Need | None:
    """Return what a model takes; None where its size is not known, or it comes in no form that the engine computes.

    Args:
        weights: The forms that there are.
        holding: What the settings want.
        flags: Sets of instructions of the processor.
        kv_bytes_per_token: Of its cache; None where its shape is not known.
        trained_tokens: The longest text it was made for; None where that is not known.
        fetch_bytes: What is still to come to the disk.
    """
    held = _held(weights, holding, flags)
    if held is None:
        return None
    weights_bytes, form = held
    tokens = min(CONVERSATION_TOKENS, holding.context_tokens or CONVERSATION_TOKENS, trained_tokens or 2**62)
    cache_bytes = None if kv_bytes_per_token is None else kv_bytes_per_token * tokens * holding.conversations
    return Need(
        Footprint(form, weights_bytes, cache_bytes, measured=True),
        conversations=holding.conversations,
        conversation_tokens=tokens,
        kept_bytes=holding.kept_bytes,
        fetch_bytes=fetch_bytes,
    )


def _held(weights: Weights, holding: Holding, flags: Collection[str]) -> tuple[int, str] | None:
    """Return the bytes of the weights in memory, and the name of their number format.

    INFERENCE__QUANTIZE=int8 changes nothing here: the numbers are read as they are and become integers afterwards.
    """
    if holding.engine != "transformers":
        return None if weights.gguf_bytes is None else (weights.gguf_bytes, weights.quantization)
    if weights.safetensors_bytes is None:
        return None
    if holding.dtype == "float32" or (holding.dtype == "auto" and BFLOAT16_FLAGS.isdisjoint(flags)):
        return weights.safetensors_bytes * 2, "F32"
    return weights.safetensors_bytes, "BF16"
