"""IQ4_NL and Q4_K as we write them, read again by the package gguf."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind
from gguf import quants
from numpy.typing import NDArray

from botbridge.models.block_formats import STEPS, quantize_iq4_nl, quantize_q4_k

Quantize = Callable[[NDArray[np.float32]], NDArray[np.uint8]]

FORMATS = [
    pytest.param(quantize_iq4_nl, Kind.IQ4_NL, 18 / 32, id="iq4_nl"),
    pytest.param(quantize_q4_k, Kind.Q4_K, 144 / 256, id="q4_k"),
]
ROWS, COLUMNS = 40, 512


def error(weights: NDArray[np.float32], packed: NDArray[np.uint8], kind: Kind) -> float:
    """The root of the mean square of what was lost, as a share of the weights' own."""
    lost = quants.dequantize(packed, kind) - weights
    return float(np.sqrt((lost**2).mean() / (weights**2).mean()))


@pytest.fixture
def weights() -> NDArray[np.float32]:
    """Some whose sizes differ from row to row, as a model's do."""
    random = np.random.default_rng(8)
    return (random.normal(size=(ROWS, COLUMNS)) * np.geomspace(1e-3, 10, ROWS)[:, None]).astype(np.float32)


@pytest.mark.parametrize(("quantize", "kind", "bytes_per_weight"), FORMATS)
def test_little_is_lost(quantize: Quantize, kind: Kind, bytes_per_weight: float, weights: NDArray[np.float32]) -> None:
    """Less than in Q4_0, which takes as much room."""
    packed = quantize(weights)
    assert packed.dtype == np.uint8
    assert packed.shape == (ROWS, COLUMNS * bytes_per_weight)
    assert error(weights, packed, kind) < 0.92 * error(weights, quants.quantize(weights, Kind.Q4_0), Kind.Q4_0)


@pytest.mark.parametrize(("quantize", "kind", "bytes_per_weight"), FORMATS)
def test_each_row_is_rounded_by_itself_and_zeros_stay_zeros(
    quantize: Quantize, kind: Kind, bytes_per_weight: float, weights: NDArray[np.float32]
) -> None:
    weights[3] = 0
    packed = quantize(weights)
    assert not quants.dequantize(packed, kind)[3].any()
    assert np.array_equal(packed[7:9], quantize(weights[7:9]))


@pytest.mark.parametrize("sign", [1, -1])
def test_what_lies_on_the_steps_of_iq4_nl_is_kept(sign: int) -> None:
    """The scale has the sign that puts the greatest weight onto the outermost step."""
    weights = sign * 0.5 * np.tile(STEPS, (2, 4)).astype(np.float32)
    assert np.array_equal(quants.dequantize(quantize_iq4_nl(weights), Kind.IQ4_NL), weights)


def test_blocks_of_q4_k_have_steps_and_least_values_of_their_own() -> None:
    """Eight blocks with sixteen even steps each, some above zero only, with scales that 6 bits can tell apart."""
    steps = np.array([63, 1, 40, 32, 63, 7, 16, 21], np.float32)[:, None]
    depths = np.array([63, 0, 5, 17, 33, 62, 1, 48], np.float32)[:, None]
    numbers = np.tile(np.arange(16, dtype=np.float32), (8, 2))
    weights = (steps * numbers - 4 * depths).reshape(1, 256)
    assert np.array_equal(quants.dequantize(quantize_q4_k(weights), Kind.Q4_K), weights)


def test_weights_above_zero_only_begin_at_zero() -> None:
    """The format can hold no least value above it."""
    weights = np.full((1, 256), 5, np.float32)
    assert np.abs(quants.dequantize(quantize_q4_k(weights), Kind.Q4_K) - weights).max() < 0.01
