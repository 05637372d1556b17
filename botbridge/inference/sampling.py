"""Choosing the next token from one row of logits; V is the vocabulary's size.

In numpy, so that every engine can use it, those without torch as well. The row
is computed on in place: between two steps the caches hold nothing of it, and a
copy of 128,000 numbers takes as long as a look at them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from botbridge.answers import Sampling

Logits = NDArray[np.float32]

SHORTEST_BLOCK = 4
LONGEST_BLOCK = 64
COPIES = 3

LEAST_TEMPERATURE = 1e-5
"""Below, the likeliest token is taken: one whose logit is a thousandth less is drawn in none of e^100 times."""

NEGLIGIBLE = 1e-11
"""A token so many times less likely than the likeliest is not drawn: a million of them change no share by 1e-4."""

NEAR = 1e-3
"""Tokens of at least so much of the likeliest one's probability nearly always hold what is wanted: some hundreds."""


class Choice(NamedTuple):
    """The next token, and how clearly it won.

    Attributes:
        margin: At temperature 0 the distance of its logit to the next best one;
            above, as a share of 1, how far the number drawn is from where
            another token would have come: the ends of the token's own interval,
            an equally likely neighbour, the edge of the nucleus where one token
            more or fewer would move that interval so far. Arithmetic that
            differs by much less than this chooses the same token.
    """

    token_id: int
    margin: float


def choose_token(logits: Logits, answer_ids: Sequence[int], sampling: Sampling, random: np.random.Generator) -> Choice:
    """Return the next token.

    Args:
        logits: (V,) float32, as the model gave them; used up.
        answer_ids: What the answer holds so far, the prompt not included.
        sampling: How to choose.
        random: The request's own source of chance, made from its seed; drawn
            from once, and not at all when the temperature is (nearly) 0.

    Raises:
        ValueError: The logits hold no number to choose by.

    >>> choose_token(np.array([0.5, 2, 1], np.float32), [], Sampling(temperature=0), np.random.default_rng(1))
    Choice(token_id=1, margin=1.0)
    """
    penalise(logits, answer_ids, sampling.repetition_penalty)
    for token_id in tokens_completing_a_loop(answer_ids):
        logits[token_id] = -np.inf
    best = int(logits.argmax())
    if not math.isfinite(logits[best]):
        raise ValueError("the model computed no finite logits")
    if sampling.temperature < LEAST_TEMPERATURE:
        return Choice(best, _lead(logits, best))
    logits -= logits[best]
    held = nucleus(logits, sampling.temperature, sampling.top_p)
    ends = held.shares.cumsum()
    drawn = random.random()
    place = min(int(ends.searchsorted(drawn, side="right")), len(held.ids) - 1)
    return Choice(int(held.ids[place]), _margin(held, ends, place, drawn))


def _margin(held: Nucleus, ends: NDArray[np.float64], place: int, drawn: float) -> float:
    """Return how far a number that brought the token at a place is from one that brings another."""
    last = len(held.ids) - 1
    below = drawn - float(ends[place - 1]) if place else np.inf
    above = float(ends[place]) - drawn
    reach = min(below, above)
    distances = [below, above if place < last else np.inf]
    distances += [float(held.shares[place - 1] - held.shares[place])] if place else []
    behind = float(held.shares[place + 1]) if place < last else held.next_share
    distances += [float(held.shares[place]) - behind] if behind else []
    if held.next_share >= reach:
        distances.append(held.to_one_more)
    if held.shares[last] >= reach:
        distances.append(held.to_one_fewer)
    return float(min(distances))


def _lead(logits: Logits, best: int) -> float:
    """How far the best logit lies above the second best."""
    others = [float(side.max()) for side in (logits[:best], logits[best + 1 :]) if side.size]
    return float(logits[best]) - max(others, default=-np.inf)


def penalise(logits: Logits, answer_ids: Sequence[int], penalty: float) -> None:
    """Make the answer's own tokens less likely; the prompt's tokens stay as they are.

    Source: Keskar et al. 2019, arXiv:1909.05858, section 4.1, with the negative
    logits multiplied, as all implementations do.

    Args:
        logits: (V,) float32; changed.
        answer_ids: The tokens to make less likely.
        penalty: 1 changes nothing, above 1 discourages.

    >>> logits = np.array([2, -2, 2], np.float32)
    >>> penalise(logits, [0, 1], 2.0)
    >>> logits.tolist()
    [1.0, -4.0, 2.0]
    """
    if penalty == 1 or not answer_ids:
        return
    ids = np.asarray(answer_ids)
    chosen = logits[ids]
    logits[ids] = np.where(chosen > 0, chosen / penalty, chosen * penalty)


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


class Nucleus(NamedTuple):
    """The likeliest tokens that together hold so much of the probability.

    Attributes:
        ids: (K,) int64, likeliest first; at least one.
        shares: (K,) float64, of 1; their sum is 1.
        next_share: Of the likeliest token outside; 0 when there is none.
        to_one_more: How much less they would have to hold for that one to be among them, of all probability.
        to_one_fewer: How much more the others would have to hold for the last one not to be.
    """

    ids: NDArray[np.int64]
    shares: NDArray[np.float64]
    next_share: float
    to_one_more: float
    to_one_fewer: float


def nucleus(logits: Logits, temperature: float, top_p: float) -> Nucleus:
    """Return the likeliest tokens that together hold `top_p` of the probability.

    Args:
        logits: (V,) float32, the largest of which is 0; used up.
        temperature: Above 0; below 1 sharpens, above 1 flattens.
        top_p: 0 < top_p <= 1.

    >>> held = nucleus(np.log(np.array([1, 6, 3], np.float32) / 6), 1.0, 0.8)
    >>> held.ids.tolist(), held.shares.round(3).tolist(), round(held.to_one_more, 3), round(held.to_one_fewer, 3)
    ([1, 2], [0.667, 0.333], 0.1, 0.2)
    """
    logits /= temperature
    weights = np.exp(logits, out=logits)  # (V,), the largest is 1
    whole = float(weights.sum())
    wanted = top_p * whole
    # Small models leave tens of thousands of tokens a little weight, and to sort these takes longer than all else.
    ids = np.flatnonzero(weights >= NEAR)  # (L,)
    if weights[ids].sum() < wanted:
        ids = np.flatnonzero(weights >= NEGLIGIBLE)
    near = weights[ids].astype(np.float64)  # (L,)
    order = np.argsort(-near, kind="stable")
    ids, near = ids[order], near[order]
    sums = near.cumsum()
    kept = min(int(sums.searchsorted(wanted)) + 1, len(ids))
    held = float(sums[kept - 1])
    return Nucleus(
        ids[:kept],
        near[:kept] / held,
        next_share=float(near[kept]) / held if kept < len(ids) else 0.0,
        to_one_more=(held - wanted) / whole,
        to_one_fewer=(wanted - float(sums[kept - 2])) / whole if kept > 1 else np.inf,
    )
