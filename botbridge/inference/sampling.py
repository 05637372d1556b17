"""Choosing the next token. Pure functions on one row of logits; V is the vocabulary's size.

In numpy, so that every engine can use it, those without torch as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from botbridge.answers import Sampling

Logits = NDArray[np.float32]

SHORTEST_BLOCK = 4
LONGEST_BLOCK = 64
COPIES = 3

NEGLIGIBLE = 25.0
"""A token e^25 times less likely than the likeliest is not looked at: a million of them change no share by 1e-4."""

NEAR = 1e-3
"""Tokens of at least so much of the likeliest one's probability nearly always hold what is wanted: some hundreds."""


class Choice(NamedTuple):
    """The next token, and how clearly it won.

    Attributes:
        margin: At temperature 0 the distance of its logit to the next best one;
            above, the distance of the number drawn to the nearer end of the
            token's own interval, as a share of 1. A computation that differs by
            less than this chooses the same token.
    """

    token_id: int
    margin: float


def choose_token(logits: Logits, answer_ids: Sequence[int], sampling: Sampling, random: np.random.Generator) -> Choice:
    """Return the next token.

    Args:
        logits: (V,) float32, as the model gave them; not changed.
        answer_ids: What the answer holds so far, the prompt not included.
        sampling: How to choose.
        random: The request's own source of chance, made from its seed; drawn
            from once, and not at all when the temperature is 0.

    Raises:
        ValueError: The logits hold no number to choose by.

    >>> choose_token(np.array([0.5, 2, 1], np.float32), [], Sampling(temperature=0), np.random.default_rng(1))
    Choice(token_id=1, margin=1.0)
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
        return Choice(best, _lead(logits, best))
    ids, probabilities = nucleus(logits, sampling.temperature, sampling.top_p)
    ends = np.cumsum(probabilities)
    drawn = random.random()
    place = min(int(np.searchsorted(ends, drawn, side="right")), len(ids) - 1)
    begin = ends[place - 1] if place else -np.inf
    end = ends[place] if place < len(ids) - 1 else np.inf
    return Choice(int(ids[place]), float(min(drawn - begin, end - drawn)))


def _lead(logits: Logits, best: int) -> float:
    """How far the best logit lies above the second best."""
    others = [float(side.max()) for side in (logits[:best], logits[best + 1 :]) if side.size]
    return float(logits[best]) - max(others, default=-np.inf)


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
        if answer_ids[-1] != answer_ids[-1 - block]:  # nearly always, and much cheaper than a look at all
            continue
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
    best = float(np.max(logits))
    ids = np.flatnonzero(logits >= best - NEGLIGIBLE * temperature)  # (L,)
    weights = np.exp((logits[ids].astype(np.float64) - best) / temperature)  # (L,), the largest is 1
    wanted = top_p * float(weights.sum())
    # Small models leave tens of thousands of tokens a little weight, and to sort these takes longer than all else.
    near = np.flatnonzero(weights >= NEAR)
    if weights[near].sum() >= wanted:
        ids, weights = ids[near], weights[near]
    order = np.argsort(-weights, kind="stable")
    ids, weights = ids[order], weights[order]
    kept = int(np.searchsorted(np.cumsum(weights), wanted)) + 1
    return ids[:kept], weights[:kept] / weights[:kept].sum()
