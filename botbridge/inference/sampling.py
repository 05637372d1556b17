"""Choosing the next token. Pure functions on one row of logits; V is the vocabulary's size.

In numpy, so that every engine can use it, those without torch as well.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from botbridge.answers import Sampling

Logits = NDArray[np.float32]

SHORTEST_BLOCK = 4
LONGEST_BLOCK = 64
COPIES = 3

LIKELY = 256
"""So many tokens hold the nucleus nearly always; sorting the whole vocabulary takes longer than some models."""


def choose_token(logits: Logits, answer_ids: Sequence[int], sampling: Sampling, random: np.random.Generator) -> int:
    """Return the id of the next token.

    Args:
        logits: (V,) float32, as the model gave them; not changed.
        answer_ids: What the answer holds so far, the prompt not included.
        sampling: How to choose.
        random: The request's own source of chance, made from its seed; drawn
            from once, and not at all when the temperature is 0.

    Raises:
        ValueError: The logits hold no number to choose by.

    >>> choose_token(np.array([0.5, 2, 1], np.float32), [], Sampling(temperature=0), np.random.default_rng(1))
    1
    """
    logits = penalised(logits, answer_ids, sampling.repetition_penalty)
    banned = tokens_completing_a_loop(answer_ids)
    if banned:
        logits = logits.copy()
        logits[list(banned)] = -np.inf
    best = int(np.argmax(logits))
    if not np.isfinite(logits[best]):
        raise ValueError("the model computed no finite logits")
    if sampling.temperature == 0:
        return best
    ids, probabilities = nucleus(logits, sampling.temperature, sampling.top_p)
    place = int(np.searchsorted(np.cumsum(probabilities), random.random(), side="right"))
    return int(ids[min(place, len(ids) - 1)])


def penalised(logits: Logits, answer_ids: Sequence[int], penalty: float) -> Logits:
    """Return logits that make the answer's own tokens less likely; the prompt's tokens stay as they are.

    Source: Keskar et al. 2019, arXiv:1909.05858, section 4.1, with the negative
    logits multiplied, as all implementations do.

    Args:
        logits: (V,) float32; not changed.
        answer_ids: The tokens to make less likely.
        penalty: 1 changes nothing, above 1 discourages.

    >>> penalised(np.array([2, -2, 2], np.float32), [0, 1], 2.0).tolist()
    [1.0, -4.0, 2.0]
    """
    if penalty == 1 or not answer_ids:
        return logits
    ids = np.unique(np.asarray(answer_ids))
    chosen = logits[ids]
    logits = logits.copy()
    logits[ids] = np.where(chosen > 0, chosen / penalty, chosen * penalty)
    return logits


def tokens_completing_a_loop(answer_ids: Sequence[int]) -> set[int]:
    """Return the tokens that would complete a third copy in a row of a block of 4 to 64 tokens.

    The first token of the first copy is not compared: a block at the start of a
    line or a sentence often differs there only, by a blank or a capital letter.

    >>> tokens_completing_a_loop([9, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3])
    {4}
    >>> tokens_completing_a_loop([1, 2, 3, 4, 1, 2, 3])
    set()
    """
    banned = set()
    longest = min(LONGEST_BLOCK, (len(answer_ids) + 2) // COPIES)
    for block in range(SHORTEST_BLOCK, longest + 1):
        recent = answer_ids[-(COPIES * block - 2) :]
        if recent[block:] == recent[:-block]:
            banned.add(answer_ids[-block])
    return banned


def nucleus(logits: Logits, temperature: float, top_p: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the likeliest tokens that together hold `top_p` of the probability, and their shares of 1.

    Args:
        logits: (V,) float32.
        temperature: Above 0; below 1 sharpens, above 1 flattens.
        top_p: 0 < top_p <= 1.

    Returns:
        ids: (K,) int64, likeliest first; at least one.
        probabilities: (K,) float64, their sum is 1.

    >>> ids, shares = nucleus(np.log(np.array([0.1, 0.6, 0.3], np.float32)), 1.0, 0.8)
    >>> ids.tolist(), shares.round(3).tolist()
    ([1, 2], [0.667, 0.333])
    """
    scaled = (logits.astype(np.float64) - float(np.max(logits))) / temperature  # (V,), the largest is 0
    weights = np.exp(scaled)  # (V,)
    wanted = top_p * weights.sum()
    likely = np.argpartition(weights, -LIKELY)[-LIKELY:] if len(weights) > LIKELY else np.arange(len(weights))
    if weights[likely].sum() < wanted:  # a flat distribution: all have to be sorted
        likely = np.arange(len(weights))
    ordered = likely[np.argsort(-weights[likely], kind="stable")]  # (L,), likeliest first
    kept = int(np.searchsorted(np.cumsum(weights[ordered]), wanted)) + 1
    ids = ordered[:kept]
    return ids, weights[ids] / weights[ids].sum()
