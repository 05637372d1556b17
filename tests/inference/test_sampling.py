"""Choosing tokens: seeds, temperature, nucleus, penalty, and no loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from botbridge.answers import Sampling
from botbridge.inference.sampling import choose_token, nucleus, penalise, tokens_completing_a_loop

LOGITS = np.log(np.array([0.05, 0.4, 0.3, 0.15, 0.1], np.float32))
PLAIN = Sampling(temperature=1.0, top_p=1.0, repetition_penalty=1.0)


def draw(sampling: Sampling, seed: int, count: int = 50) -> list[int]:
    """Tokens drawn one after another without an answer to look back on."""
    random = np.random.default_rng(seed)
    return [choose_token(LOGITS.copy(), [], sampling, random).token_id for _ in range(count)]


def test_temperature_zero_always_takes_the_likeliest_token() -> None:
    """And needs no chance."""
    assert draw(Sampling(temperature=0), 1) == [1] * 50


@pytest.mark.parametrize("temperature", [5e-324, 1e-46, 1e-40, 1e-6])
def test_a_temperature_too_small_to_divide_by_is_none(temperature: float) -> None:
    assert draw(Sampling(temperature=temperature), 1) == [1] * 50


def test_above_temperature_zero_sampling_is_really_on() -> None:
    """Two seeds differ, the same seed does not."""
    assert draw(PLAIN, 1) != draw(PLAIN, 2)
    assert draw(PLAIN, 1) == draw(PLAIN, 1)


def test_tokens_come_as_often_as_they_are_likely() -> None:
    """Over many draws the shares are those of the logits."""
    counts = np.bincount(draw(PLAIN, 7, 20_000), minlength=5) / 20_000
    assert counts == pytest.approx(np.exp(LOGITS), abs=0.02)


def test_a_low_temperature_sharpens() -> None:
    """At a tenth the likeliest token nearly always wins."""
    assert draw(Sampling(temperature=0.01, top_p=1.0), 1) == [1] * 50


def test_tokens_outside_the_nucleus_never_come() -> None:
    """0.4 and 0.3 hold 0.6 of the probability; the rest is cut off."""
    assert set(draw(Sampling(temperature=1.0, top_p=0.6), 1, 500)) == {1, 2}


@given(st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=600), st.floats(0.05, 1), st.floats(0.1, 3))
def test_the_nucleus_is_the_smallest_set_that_holds_its_share(
    row: list[float], top_p: float, temperature: float
) -> None:
    """Also for flat rows longer than the first look."""
    logits = np.array(row, np.float32)
    logits -= logits.max()
    ids, shares = nucleus(logits.copy(), temperature, top_p)[:2]
    probabilities = np.exp(logits.astype(float) / temperature)
    probabilities /= probabilities.sum()
    assert shares.sum() == pytest.approx(1)
    assert probabilities[ids].sum() >= top_p - 1e-6
    assert probabilities[ids[:-1]].sum() <= top_p + 1e-6
    assert (np.diff(probabilities[ids]) <= 1e-12).all()


def test_the_penalty_counts_for_the_answer_only() -> None:
    """Positive logits are divided, negative ones multiplied, once however often a token was said."""
    row = np.array([2.0, -2.0, 2.0], np.float32)
    penalise(row, [0, 1, 0], 2.0)
    assert row.tolist() == [1.0, -4.0, 2.0]


def test_logits_without_a_number_are_an_error() -> None:
    """A damaged model must not look like an answer."""
    with pytest.raises(ValueError, match="no finite logits"):
        choose_token(np.array([np.nan, 1.0], np.float32), [], PLAIN, np.random.default_rng(1))


@given(st.lists(st.integers(1, 50), min_size=4, max_size=64), st.lists(st.integers(60, 70), max_size=5))
def test_no_block_comes_a_third_time(block: list[int], before: list[int]) -> None:
    """Whatever stood before, and also when the first copy begins with another token."""
    assert block[-1] in tokens_completing_a_loop([*before, 99, *block[1:], *block, *block[:-1]])


@given(st.lists(st.integers(1, 50), min_size=4, max_size=64, unique=True))
def test_two_copies_are_allowed(block: list[int]) -> None:
    """A refrain is no loop."""
    assert tokens_completing_a_loop([*block, *block[:-1]]) == set()


@given(st.integers(2, 5), st.integers(0, 1000))
def test_greedy_choice_with_the_guard_never_repeats_a_block_three_times(vocabulary: int, seed: int) -> None:
    """The property itself, on walks through tiny vocabularies that would loop at once."""
    logits = np.random.default_rng(seed).normal(size=(vocabulary, vocabulary)).astype(np.float32)
    answer = [0]
    for _ in range(60):
        row = np.append(logits[answer[-1] % vocabulary], np.float32(-50))  # the last token is the way out
        choice = choose_token(row, answer, Sampling(temperature=0, repetition_penalty=1.0), np.random.default_rng(0))
        answer.append(choice.token_id)
    for size in range(4, 21):
        for start in range(len(answer) - 3 * size + 1):
            a, b, c = (answer[start + size * copy : start + size * (copy + 1)] for copy in range(3))
            assert not a == b == c


def test_a_lead_is_told_at_temperature_zero() -> None:
    """How much a computation may differ without choosing another token."""
    choice = choose_token(np.array([1.0, 4.0, 3.5], np.float32), [], Sampling(temperature=0), np.random.default_rng(0))
    assert choice == (1, 0.5)


@given(st.integers(0, 10_000))
def test_a_drawn_token_tells_how_far_the_next_one_was(seed: int) -> None:
    """Drawing a number that differs by less than the margin brings the same token."""
    token_id, margin = choose_token(LOGITS.copy(), [], PLAIN, np.random.default_rng(seed))
    drawn = np.random.default_rng(seed).random()
    shares = {1: (0.0, 0.4), 2: (0.4, 0.7), 3: (0.7, 0.85), 4: (0.85, 0.95), 0: (0.95, 1.0)}
    begin, end = shares[token_id]
    nearer = min(drawn - begin if begin > 0 else np.inf, end - drawn if end < 1 else np.inf)
    assert margin <= nearer + 1e-6


@pytest.mark.parametrize("excess", [1e-6, -1e-6])
def test_who_stands_at_the_edge_of_the_nucleus_is_told_to(excess: float) -> None:
    """A little more or less, and the second token is not looked at, or is and comes."""
    logits = np.log(np.array([0.9 + excess, 0.1 - excess]))
    held = Sampling(temperature=1.0, top_p=0.9, repetition_penalty=1.0)
    token_id, margin = choose_token(logits, [], held, Drawing(0.95))
    assert (token_id, margin) == (0 if excess > 0 else 1, pytest.approx(1e-6, rel=0.1))


class Drawing:
    """A source of chance that brings one number."""

    def __init__(self, number: float) -> None:
        self._number = number

    def random(self) -> float:
        return self._number


@given(
    st.lists(st.floats(-6, 0), min_size=2, max_size=12),
    st.floats(0.3, 1.0),
    st.floats(0, 0.999),
    st.integers(0, 2**32 - 1),
)
def test_arithmetic_that_differs_by_less_than_the_margin_brings_the_same_token(
    logits: list[float], top_p: float, drawn: float, seed: int
) -> None:
    """Moved at random by so little that no sum of shares moves by the margin."""
    held = Sampling(temperature=1.0, top_p=top_p, repetition_penalty=1.0)
    there = np.array(logits)
    token_id, margin = choose_token(there.copy(), [], held, Drawing(drawn))
    step = min(margin, 1.0) / 8
    moved = there + np.random.default_rng(seed).uniform(-step, step, len(logits))
    assert choose_token(moved, [], held, Drawing(drawn)).token_id == token_id


def test_a_vocabulary_of_128_000_is_looked_at_only_where_it_matters() -> None:
    """The shares are those of all tokens together, to less than a thousandth."""
    logits = np.random.default_rng(3).normal(scale=4, size=128_000).astype(np.float32)
    logits -= logits.max()
    ids, shares = nucleus(logits.copy(), 1.0, 1.0)[:2]
    weights = np.exp(logits.astype(float))
    assert shares == pytest.approx(weights[ids] / weights.sum(), rel=1e-3)
