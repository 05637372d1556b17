"""What a model takes, as the engine holds it that computes it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from botbridge.machine.need import Holding, Weights, need_of

BOTH = Weights(has_gguf=True, has_safetensors=True, gguf_bytes=800, safetensors_bytes=2500, quantization="Q4_K_M")
HOLDING = Holding("transformers", "auto", conversations=4, context_tokens=None, kept_bytes=100)
MODERN = {"avx512_bf16"}


def held(holding: Holding, flags: set[str], weights: Weights = BOTH) -> tuple[int, str] | None:
    need = need_of(weights, holding, flags, kv_bytes_per_token=10, trained_tokens=8192, fetch_bytes=0)
    return None if need is None else (need.footprint.weights_bytes, need.footprint.quantization)


@pytest.mark.parametrize(
    ("changes", "flags", "expected"),
    [
        ({}, MODERN, (2500, "BF16")),
        ({}, {"avx2"}, (5000, "F32")),
        ({"dtype": "float32"}, MODERN, (5000, "F32")),
        ({"dtype": "bfloat16"}, {"avx2"}, (2500, "BF16")),
        ({"engine": "llamacpp"}, {"avx2"}, (800, "Q4_K_M")),
        ({"engine": "openvino"}, MODERN, (800, "Q4_K_M")),
    ],
)
def test_weights_are_held_in_the_form_that_the_engine_takes(
    changes: dict[str, str], flags: set[str], expected: tuple[int, str]
) -> None:
    """Without instructions for bfloat16 `transformers` falls back to float32."""
    assert held(replace(HOLDING, **changes), flags) == expected  # type: ignore[arg-type]


def test_a_form_that_the_engine_does_not_compute_and_a_size_that_nobody_knows_are_no_need() -> None:
    assert held(replace(HOLDING, engine="llamacpp"), MODERN, Weights(has_safetensors=True, safetensors_bytes=1)) is None
    assert held(HOLDING, MODERN, Weights(has_safetensors=True)) is None


@pytest.mark.parametrize(
    ("context_tokens", "trained_tokens", "tokens"), [(None, 8192, 2048), (512, 8192, 512), (None, 1024, 1024)]
)
def test_answers_side_by_side_are_as_long_as_every_answer_may_be(
    context_tokens: int | None, trained_tokens: int, tokens: int
) -> None:
    need = need_of(
        BOTH,
        replace(HOLDING, context_tokens=context_tokens),
        MODERN,
        kv_bytes_per_token=10,
        trained_tokens=trained_tokens,
        fetch_bytes=0,
    )
    assert need is not None
    assert (need.conversation_tokens, need.footprint.cache_bytes) == (tokens, 4 * tokens * 10)
    assert need.memory_bytes == need.footprint.memory_bytes + 100


def test_the_cache_of_an_unknown_shape_is_unknown() -> None:
    need = need_of(BOTH, HOLDING, MODERN, kv_bytes_per_token=None, trained_tokens=None, fetch_bytes=0)
    assert need is not None
    assert need.footprint.cache_bytes is None
