"""Whether a model fits: what it takes, as the engine holds it that computes it, against what the machine can hold."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botbridge.inference.choice import FASTEST_FIRST
from botbridge.inference.engines import prefix
from botbridge.models.fitting import (
    LEAST_SHARE,
    SERVICE_BYTES,
    WORKER_BYTES,
    Holding,
    Judgement,
    MemoryNeed,
    StoredWeights,
    Verdict,
    memory_need,
    worker_bytes,
)

BOTH = StoredWeights(has_gguf=True, has_safetensors=True, gguf_bytes=800, quantization="Q4_K_M", numbers=1250)
MODERN = Holding(conversations=4, kept_bytes=100)
OLD = replace(MODERN, computes_bfloat16=False)
SHAPE = {"kv_bytes_per_token": 10, "trained_tokens": 8192}


def need(
    holding: Holding = MODERN, engine: str = "transformers", weights: StoredWeights = BOTH, **shape: int | None
) -> MemoryNeed:
    found = memory_need(weights, engine, holding, **{**SHAPE, **shape})  # type: ignore[arg-type]
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("engine", "holding", "expected"),
    [
        ("transformers", MODERN, (2500, "BF16")),
        ("transformers", OLD, (5000, "F32")),
        ("transformers", replace(MODERN, dtype="float32"), (5000, "F32")),
        ("transformers", replace(OLD, dtype="bfloat16"), (2500, "BF16")),
        ("llamacpp", OLD, (800, "Q4_K_M")),
        ("openvino", MODERN, (800, "Q4_K_M")),
    ],
)
def test_weights_are_held_in_the_form_that_the_engine_takes(
    engine: str, holding: Holding, expected: tuple[int, str]
) -> None:
    """Without instructions for bfloat16 `transformers` falls back to float32."""
    found = need(holding, engine)
    assert (found.weights_bytes, found.form) == expected


@pytest.mark.parametrize(
    ("engine", "weights_mb", "streams_mb", "measured_mb"),
    [
        ("llamacpp", 118, 94, 341),
        ("llamacpp", 765, 134, 1090),
        ("openvino", 118, 0, 382),
        ("openvino", 765, 0, 1594),
        ("transformers", 269, 0, 763),
        ("transformers", 892, 0, 1623),
        ("transformers", 538, 0, 1120),
        ("transformers", 1784, 0, 2807),
    ],
)
def test_what_is_reckoned_is_near_what_was_measured(
    engine: str, weights_mb: int, streams_mb: int, measured_mb: int
) -> None:
    """The table of docs/performance.md; a fiftieth too little at worst, four tenths too much."""
    reckoned_mb = weights_mb + streams_mb + worker_bytes(engine, weights_mb * 10**6) / 10**6
    assert 0.98 * measured_mb <= reckoned_mb <= 1.4 * measured_mb


def test_every_engine_that_computes_has_its_overhead() -> None:
    assert WORKER_BYTES.keys() == {*FASTEST_FIRST}


def test_a_form_that_the_engine_does_not_compute_and_a_size_that_nobody_knows_are_no_need() -> None:
    whole = StoredWeights(has_safetensors=True, numbers=1)
    assert memory_need(whole, "llamacpp", MODERN, **SHAPE) is None  # type: ignore[arg-type]
    unknown = StoredWeights(has_safetensors=True)
    assert memory_need(unknown, "transformers", MODERN, **SHAPE) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("context_tokens", "trained_tokens", "tokens"), [(None, 8192, 2048), (512, 8192, 512), (None, 1024, 1024)]
)
def test_answers_side_by_side_are_as_long_as_every_answer_may_be(
    context_tokens: int | None, trained_tokens: int, tokens: int
) -> None:
    found = need(replace(MODERN, context_tokens=context_tokens), trained_tokens=trained_tokens)
    assert (found.conversation_tokens, found.cache_bytes) == (tokens, 4 * tokens * 10)


def test_a_cache_in_float32_is_twice_as_large() -> None:
    assert need(OLD).cache_bytes == 2 * (need(MODERN).cache_bytes or 0)
    assert need(OLD, "llamacpp").cache_bytes == need(MODERN, "llamacpp").cache_bytes


def test_what_is_needed_is_weights_caches_and_what_botbridge_takes_by_itself() -> None:
    found = need(engine="llamacpp")
    assert found.needed_bytes == 800 + 4 * 2048 * 10 + 25 + SERVICE_BYTES + WORKER_BYTES["llamacpp"]
    assert need(engine="openvino").overhead_bytes == SERVICE_BYTES + WORKER_BYTES["openvino"] + 560 + 88


def test_a_cache_of_unknown_size_counts_as_unknown_and_not_as_nothing() -> None:
    """What is known may be too much already; else nobody can tell."""
    found = need(kv_bytes_per_token=None)
    assert (found.cache_bytes, found.needed_bytes) == (None, None)
    assert Judgement(found, found.least_bytes).verdict is Verdict.UNKNOWN
    assert Judgement(found, found.least_bytes - 1).verdict is Verdict.DOES_NOT_FIT
    assert "and a cache of unknown size, has" in str(Judgement(found, found.least_bytes))
    assert "cache of unknown size for 4 answers side by side of 2048 tokens" in str(found)


def test_a_machine_without_a_bound_that_is_known_leaves_it_open() -> None:
    assert Judgement(need(), None).verdict is Verdict.UNKNOWN
    assert str(Judgement(need(), None)).startswith("needs ")


@given(st.integers(0, 10**12), st.integers(1, 10**8))
def test_what_does_not_fit_is_never_told_with_two_equal_sizes(weights_bytes: int, short_bytes: int) -> None:
    """However little is lacking."""
    found = need(engine="llamacpp", weights=StoredWeights(has_gguf=True, gguf_bytes=weights_bytes))
    judgement = Judgement(found, found.least_bytes - short_bytes)
    needs, has = str(judgement).removeprefix("does not fit: needs ").split(", has ")
    assert needs != has
    assert judgement.short_bytes == short_bytes


def test_what_fits_by_the_last_byte_fits() -> None:
    found = need(engine="llamacpp")
    judgement = Judgement(found, found.least_bytes)
    assert (judgement.verdict, judgement.short_bytes) == (Verdict.FITS, 0)
    assert str(judgement) == "fits: needs 378 MB, has 378 MB"


@given(
    st.sampled_from(["llamacpp", "openvino", "transformers"]),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.sampled_from([0, 10**9]),
)
def test_what_may_be_kept_where_it_does_not_fit_is_as_much_as_fits(
    engine: str, kept_bytes: int, has_more_bytes: int, fetching_bytes: int
) -> None:
    """Set to that it fits, and to a little more it does not; or none is small enough."""

    def least_bytes(kept: int) -> int:
        return replace(need(replace(MODERN, kept_bytes=kept), engine), fetching_bytes=fetching_bytes).least_bytes

    has_bytes = least_bytes(0) - 10**5 + has_more_bytes
    found = replace(need(replace(MODERN, kept_bytes=kept_bytes), engine), fetching_bytes=fetching_bytes)
    setting = found.kept_within(has_bytes)
    if setting is None:
        assert least_bytes(0) > has_bytes
    else:
        assert least_bytes(setting) <= has_bytes
        assert fetching_bytes or least_bytes(setting + int(1 / LEAST_SHARE)) > has_bytes


def test_on_a_gpu_keeping_less_frees_nothing_of_the_machines_memory() -> None:
    assert replace(need(), on_gpu=True).kept_within(10**12) is None


def test_the_share_of_those_who_wait_is_the_prefix_caches_own() -> None:
    assert LEAST_SHARE == prefix.LEAST_SHARE
