"""The queue model: its formulas at the ends where they are known, and the whole of it against a simulation."""

from __future__ import annotations

import math
import statistics
from dataclasses import astuple, replace
from itertools import pairwise

import pytest

from botbridge.inference.engines.batch import BESIDE_ANSWERS
from botbridge.inference.options import EngineOptions
from botbridge.machine.bench import STREAMS as MEASURED_STREAMS
from botbridge.machine.queueing import PROMPT_STEP_TOKENS, STREAMS, Service, Speed, Talk, Waits, most_messages_s
from tests.machine.simulated_line import FirstComeFirstServed, TheBotsLine, Waiting, answer, ask, mean_and_p95

SPEED = Speed({1: 44.0, 2: 60.0, 4: 80.0, 8: 105.0, 16: 133.0}, 218.0)
"""A model of a billion weights in Q4_0 on two cores."""

CHAT = Talk(prompt_tokens=40.0, reply_tokens=60.0, variation=1.0)
MESSAGES = {0.3: 4_000, 0.6: 12_000, 0.8: 50_000}
"""By the load: the longer the line, the more messages it takes until chance is evened out."""

ANSWER_MEAN, ANSWER_P95, FIRST_WORD_MEAN, FIRST_WORD_P95 = 0.1, 0.2, 0.2, 0.25
"""How far a time may be from the simulated one, which itself varies by up to a tenth for the wait in a long line."""


def test_one_slot_and_lengths_by_chance_are_the_textbooks_queue() -> None:
    """M/M/1: the wait in line is busy / (1 - busy) answers long, everything 1 / (1 - busy)."""
    service = Service(Speed({1: 10.0}, 1e9), Talk(1.0, 101.0), slots=1)
    waits = service.waits(0.07)
    assert waits is not None
    assert service.most_s == pytest.approx(0.1)
    assert waits.busy == waits.in_line == pytest.approx(0.7)
    assert waits.answered_at_once == pytest.approx(0.7)
    assert waits.line_s == pytest.approx(10.0 * 0.7 / 0.3)
    assert waits.line_p95_s == pytest.approx(math.log(0.7 / 0.05) / 0.03)
    assert waits.first_word_s == pytest.approx(10.0 * 0.7 / 0.3)
    assert waits.answer_s == pytest.approx(10.0 / 0.3)
    assert waits.first_word_p95_s == pytest.approx(math.log(0.7 / 0.05) / 0.03, rel=1e-3)


def test_one_slot_and_equal_lengths_wait_half_as_long() -> None:
    """Pollaczek and Khinchine: the line is (1 + c^2) / 2 of that with lengths by chance."""
    even = Service(Speed({1: 10.0}, 1e9), Talk(1.0, 101.0, variation=0.0), slots=1).waits(0.07)
    assert even is not None
    assert even.first_word_s == pytest.approx(10.0 * 0.7 / 0.3 / 2)


def test_slots_that_lose_nothing_to_each_other_are_erlangs() -> None:
    """M/M/3 with two answers' work at once: somebody waits with the probability 4 / 9 (Erlang C)."""
    service = Service(Speed({1: 1000.0, 2: 2000.0, 3: 3000.0}, 1e9), Talk(1.0, 10_001.0), slots=3)
    waits = service.waits(0.2)
    assert waits is not None
    assert waits.in_line == pytest.approx(4 / 9)
    assert waits.answered_at_once == pytest.approx(2.0)
    assert waits.line_s == pytest.approx(4 / 9 * 10.0)


def test_at_rest_a_person_waits_for_nobody() -> None:
    waits = Service(SPEED, CHAT, slots=4).waits(1e-6)
    assert waits is not None
    assert waits.line_p95_s == 0.0
    assert waits.first_word_s == pytest.approx(waits.first_word_p95_s, rel=0.01) == pytest.approx(40 / 218, rel=0.01)
    assert waits.answer_s == pytest.approx(40 / 218 + 59 / 44, rel=0.01)


def test_more_than_can_be_answered_has_no_wait() -> None:
    service = Service(SPEED, CHAT, slots=4)
    assert service.waits(service.most_s) is None
    assert service.waits(0.999 * service.most_s) is not None


def test_waits_grow_with_the_load() -> None:
    service = Service(SPEED, CHAT, slots=4)
    found = [service.waits(load * service.most_s) for load in (0.1, 0.3, 0.5, 0.7, 0.9, 0.99)]
    waits = [each for each in found if each is not None]
    assert len(waits) == len(found)
    for less, more in pairwise(waits):
        for name in Waits.__slots__:
            assert getattr(less, name) <= getattr(more, name) * 1.001


def test_the_limit_is_where_waits_are_as_long_as_they_may_be() -> None:
    service = Service(SPEED, CHAT, slots=4)
    most_s = most_messages_s(service, lambda waits: waits.first_word_p95_s <= 10.0)
    waits = service.waits(most_s)
    assert waits is not None
    assert waits.first_word_p95_s == pytest.approx(10.0, rel=0.01)
    assert most_messages_s(service, lambda waits: waits.first_word_p95_s <= 0.01) == 0.0


def test_a_speed_that_was_not_measured_is_read_off_between_its_neighbours() -> None:
    rates = [SPEED.together_tokens_s(streams) for streams in range(1, 33)]
    assert rates == sorted(rates)
    assert rates[7] == 105.0
    assert rates[16:] == [133.0] * 16
    assert Speed({4: 80.0}, 1.0).together_tokens_s(1) == 20.0


def test_a_guess_is_made_for_what_bench_measures() -> None:
    assert STREAMS == MEASURED_STREAMS
    guessed = Speed.guessed(40.0)
    assert guessed.together_tokens_s(1) == 40.0
    assert set(guessed.decode_tokens_s) == set(STREAMS)


def test_the_model_reads_prompts_in_the_engines_steps() -> None:
    assert EngineOptions().prefill_tokens // BESIDE_ANSWERS == PROMPT_STEP_TOKENS


def simulated(
    service: Service, line: Waiting, load: float, *, seed: int, people: int = 10**6, messages: int = 0
) -> tuple[Waits, Waits]:
    """Return what the model says and what a simulation took, of what was asked for: by chance not quite the load."""
    messages = messages or MESSAGES[load]
    said = ask(service, load * service.most_s, count=messages, seed=seed, people=people)
    answer(service, said, line)
    lengths = [asked.reply_tokens for asked in said]
    mean = statistics.fmean(lengths)
    talk = replace(service.talk, reply_tokens=mean, variation=statistics.pstdev(lengths) / mean)
    foreseen = replace(service, talk=talk).waits(messages / said[-1].arrived_s)
    assert foreseen is not None
    first_s, first_p95_s = mean_and_p95(said, lambda asked: asked.first_word_s)
    answer_s, answer_p95_s = mean_and_p95(said, lambda asked: asked.ended_s)
    found = replace(
        foreseen, first_word_s=first_s, first_word_p95_s=first_p95_s, answer_s=answer_s, answer_p95_s=answer_p95_s
    )
    return foreseen, found


@pytest.mark.parametrize("slots", [1, 4, 8])
@pytest.mark.parametrize("variation", [0.5, 1.0])
@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_the_model_foresees_what_a_simulation_takes(slots: int, variation: float, load: float) -> None:
    """A p95 may stand at an edge: with eight slots and three fifths of the load one in twenty people waits in line.

    Whether it is the one who waits or the one who does not is then a matter of
    thousandths; hence the three tenths of a second.
    """
    service = Service(SPEED, replace(CHAT, variation=variation), slots)
    foreseen, found = simulated(service, FirstComeFirstServed(slots), load, seed=1)
    assert foreseen.first_word_s == pytest.approx(found.first_word_s, rel=FIRST_WORD_MEAN)
    assert foreseen.first_word_p95_s == pytest.approx(found.first_word_p95_s, rel=FIRST_WORD_P95, abs=0.3)
    assert foreseen.answer_s == pytest.approx(found.answer_s, rel=ANSWER_MEAN)
    assert foreseen.answer_p95_s == pytest.approx(found.answer_p95_s, rel=ANSWER_P95)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_long_prompts_are_foreseen_half_as_well(load: float) -> None:
    """Each as long to read as its answer is to write: who reads goes before who writes, which the model leaves out."""
    service = Service(SPEED, replace(CHAT, prompt_tokens=200.0), slots=4)
    foreseen, found = simulated(service, FirstComeFirstServed(4), load, seed=1)
    assert foreseen.first_word_s == pytest.approx(found.first_word_s, rel=FIRST_WORD_MEAN)
    assert foreseen.first_word_p95_s == pytest.approx(found.first_word_p95_s, rel=FIRST_WORD_P95)
    assert foreseen.answer_s == pytest.approx(found.answer_s, rel=2 * ANSWER_MEAN)
    assert foreseen.answer_p95_s == pytest.approx(found.answer_p95_s, rel=2 * ANSWER_P95)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_what_the_model_leaves_out_is_little(load: float) -> None:
    """One answer at a time for each of fifty people, and the fair line: the same messages in the bot's own line."""
    service = Service(SPEED, CHAT, slots=4)
    _, plain = simulated(service, FirstComeFirstServed(4), load, seed=3, people=50, messages=4000)
    _, fair = simulated(service, TheBotsLine(4, CHAT.reply_tokens), load, seed=3, people=50, messages=4000)
    assert astuple(fair) == pytest.approx(astuple(plain), rel=0.15)
