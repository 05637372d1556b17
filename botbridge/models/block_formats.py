"""Two of llama.cpp's quantizations that the package gguf can read and not write: IQ4_NL and Q4_K.

Both hold a weight in 4 bits. IQ4_NL has 16 steps that lie closer near zero,
where most weights are, and a scale for each 32 of them; Q4_K has 16 even steps
between the least and the greatest of each 32, and scales and least values of
eight such blocks in 6 bits each.

Sources of the layouts: llama.cpp, ggml/src/ggml-common.h (block_iq4_nl,
block_q4_K) and ggml-quants.c (get_scale_min_k4).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

BLOCK: Final = 32
BLOCKS: Final = 8
LARGE_BLOCK: Final = BLOCK * BLOCKS

STEPS: Final = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32)
"""What the 16 numbers of IQ4_NL stand for. Source: ggml-common.h, kvalues_iq4nl."""

FINENESS: Final = 8
NEAREST: Final = np.searchsorted((STEPS[:-1] + STEPS[1:]) / 2, np.arange(-128, 128, 1 / FINENESS)).astype(np.uint8)
"""Which of `STEPS` is nearest to each eighth from -128 to 128."""

SHIFTS: Final = (-6, -3, -1, 1, 3, 6)
"""Scales that are tried for a block of IQ4_NL: its greatest weight comes to lie so far beside the outermost step."""

LEVELS: Final = (14.2, 14.6, 15.0, 15.4, 15.8)
"""Over so many steps the extent of a block of Q4_K is laid in turn, before it is fitted."""

CHUNK_BLOCKS: Final = 8192
"""So many blocks at once: what is computed of them stays in the processor's cache."""

HIGHEST_4: Final = 15
HIGHEST_6: Final = 63


def quantize_iq4_nl(weights: Floats) -> Bytes:
    """Round weights to IQ4_NL.

    Of several scales for a block the one is taken whose error is least, large
    weights counting more than small ones by their square (as in llama.cpp,
    quantize_row_iq4_nl_impl without an importance matrix).

    Args:
        weights: (R, N), N a multiple of 32.

    Returns:
        (R, N / 32 * 18).
    """
    rows = weights.shape[0]
    blocks = np.ascontiguousarray(weights, np.float32).reshape(-1, BLOCK)
    packed = [_iq4_nl(blocks[at : at + CHUNK_BLOCKS]) for at in range(0, len(blocks), CHUNK_BLOCKS)]
    return np.concatenate(packed).reshape(rows, -1)


def _iq4_nl(blocks: Floats) -> Bytes:
    """(B, 32) float32 becomes (B, 18) bytes."""
    greatest = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1)[:, None], axis=1)
    importance = blocks * blocks
    best_scale, best_gain = np.zeros_like(greatest), np.full_like(greatest, -1.0)
    for shift in SHIFTS:
        steps = STEPS[_numbers(blocks, _quotient(STEPS[0] + shift, greatest))]
        product = (importance * blocks * steps).sum(axis=1, keepdims=True)
        square = (importance * steps * steps).sum(axis=1, keepdims=True)
        scale = _quotient(product, square)
        gain = scale * product
        better = gain > best_gain
        best_scale, best_gain = np.where(better, scale, best_scale), np.where(better, gain, best_gain)
    scale = best_scale.astype(np.float16)
    numbers = _numbers(blocks, _quotient(1, scale.astype(np.float32)))
    half = BLOCK // 2
    return np.concatenate([scale.view(np.uint8), numbers[:, :half] | (numbers[:, half:] << 4)], axis=1)


def _numbers(blocks: Floats, inverse_scale: Floats) -> Bytes:
    """Return which of `STEPS` each weight comes nearest to, (B, 32)."""
    eighths = np.rint(blocks * (FINENESS * inverse_scale)).clip(-128 * FINENESS, 128 * FINENESS - 1).astype(np.int16)
    numbers: Bytes = NEAREST[eighths + 128 * FINENESS]
    return numbers


def quantize_q4_k(weights: Floats) -> Bytes:
    """Round weights to Q4_K.

    Steps and least value of each block of 32 are fitted to what they round to,
    from several beginnings, and the fit with the least error is taken, large
    weights counting more (as in llama.cpp, make_qkx2_quants).

    Args:
        weights: (R, N), N a multiple of 256.

    Returns:
        (R, N / 256 * 144).
    """
    rows = weights.shape[0]
    blocks = np.ascontiguousarray(weights, np.float32).reshape(-1, BLOCKS, BLOCK)
    size = CHUNK_BLOCKS // BLOCKS
    return np.concatenate([_q4_k(blocks[at : at + size]) for at in range(0, len(blocks), size)]).reshape(rows, -1)


def _q4_k(blocks: Floats) -> Bytes:
    """(B, 8, 32) float32 becomes (B, 144) bytes."""
    steps, depths = (fitted.reshape(-1, BLOCKS) for fitted in _fit(blocks.reshape(-1, BLOCK)))
    step_scale, step_numbers = _in_6_bits(steps)
    depth_scale, depth_numbers = _in_6_bits(depths)
    step = (step_scale.astype(np.float32) * step_numbers)[..., None]
    depth = (depth_scale.astype(np.float32) * depth_numbers)[..., None]
    numbers = _even_numbers((blocks + depth) * _quotient(1, step)).astype(np.uint8)
    pairs = numbers.reshape(-1, BLOCKS // 2, 2, BLOCK)
    parts = (
        step_scale.view(np.uint8),
        depth_scale.view(np.uint8),
        _packed_6_bits(step_numbers.astype(np.uint8), depth_numbers.astype(np.uint8)),
        (pairs[:, :, 0] | (pairs[:, :, 1] << 4)).reshape(len(blocks), -1),
    )
    return np.concatenate(parts, axis=1)


def _fit(blocks: Floats) -> tuple[Floats, Floats]:
    """(B, 32): for each block the step, and how far below zero the first number lies; twice (B, 1), 0 or above."""
    low = np.minimum(blocks.min(axis=1, keepdims=True), 0)
    extent = blocks.max(axis=1, keepdims=True) - low
    importance = np.sqrt((blocks * blocks).mean(axis=1, keepdims=True)) + np.abs(blocks)
    all_weights, all_products = _sum(importance), _sum(importance * blocks)
    best_step, best_depth, best_error = extent / HIGHEST_4, -low, np.full_like(low, np.inf)
    for levels in LEVELS:
        numbers = _even_numbers((blocks - low) * _quotient(levels, extent))
        first, second = _sum(importance * numbers), _sum(importance * numbers * numbers)
        product = _sum(importance * numbers * blocks)
        determinant = all_weights * second - first * first
        step = _quotient(all_weights * product - all_products * first, determinant)
        depth = -_quotient(second * all_products - first * product, determinant)
        step = np.where(depth < 0, _quotient(product, second), step)
        depth = np.maximum(depth, 0)
        error = _sum(importance * (step * numbers - depth - blocks) ** 2)
        better = (error < best_error) & (step > 0)
        best_step, best_depth = np.where(better, step, best_step), np.where(better, depth, best_depth)
        best_error = np.where(better, error, best_error)
    return best_step, best_depth


def _even_numbers(steps: Floats) -> Floats:
    return np.rint(steps).clip(0, HIGHEST_4)


def _sum(blocks: Floats) -> Floats:
    total: Floats = blocks.sum(axis=1, keepdims=True)
    return total


def _in_6_bits(values: Floats) -> tuple[NDArray[np.float16], Floats]:
    """(B, 8) values of 0 and above as one scale a row, (B, 1), and whole numbers up to 63."""
    scale = (values.max(axis=1, keepdims=True) / HIGHEST_6).astype(np.float16)
    return scale, np.rint(values * _quotient(1, scale.astype(np.float32))).clip(0, HIGHEST_6)


def _packed_6_bits(steps: Bytes, lows: Bytes) -> Bytes:
    """Twice (B, 8) numbers of 6 bits become (B, 12) bytes: the first four whole, the others' high bits above them."""
    half = BLOCKS // 2
    return np.concatenate(
        [
            steps[:, :half] | (steps[:, half:] >> 4 << 6),
            lows[:, :half] | (lows[:, half:] >> 4 << 6),
            (steps[:, half:] & 15) | ((lows[:, half:] & 15) << 4),
        ],
        axis=1,
    )


def _quotient(numerator: Floats | float, denominator: Floats) -> Floats:
    """Divide; 0 where there is nothing to divide by."""
    return np.divide(numerator, denominator, out=np.zeros_like(denominator), where=denominator != 0)
