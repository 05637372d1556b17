"""What is learnt of the machine, and how it is kept."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botbridge.answers import GeneratorState, GeneratorStatus
from botbridge.conversation.estimates import SAVED_EVERY_ANSWERS, STATE_NAME, Estimates
from botbridge.conversation.line import PersonKey
from botbridge.conversation.rates import Observation, Rates, decode_rates, encode_rates
from botbridge.errors import StorageUnavailable
from botbridge.messages import PlatformName, UserId
from botbridge.storage.memory import InMemoryState
from botbridge.storage.memory_store import InMemoryStore

AISHA: PersonKey = (PlatformName("telegram"), UserId("1"))
BILAL: PersonKey = (PlatformName("telegram"), UserId("2"))
READY = GeneratorStatus(GeneratorState.READY, engine="llamacpp", model="m", revision="r1", slots=4)
SEEN = Observation(
    prompt_chars=400,
    prompt_tokens=100,
    computed_tokens=80,
    prefill_s=0.2,
    completion_tokens=61,
    decode_tokens=60,
    decode_s=2.0,
    streams=2,
)


def test_the_first_answer_replaces_every_guess() -> None:
    rates = Rates().learn(SEEN)
    assert rates == Rates(400.0, {2: 60.0}, reply_tokens=61, tokens_per_char=0.25)


def test_later_answers_move_what_is_known_by_a_fifth() -> None:
    rates = Rates().learn(SEEN).learn(replace(SEEN, prefill_s=0.1, decode_s=1.0, completion_tokens=161))
    assert rates.prefill_tokens_s == pytest.approx(480.0)
    assert rates.decode_tokens_s == {2: pytest.approx(72.0)}
    assert rates.reply_tokens == pytest.approx(81.0)


def test_too_few_tokens_measure_no_speed() -> None:
    rates = Rates().learn(replace(SEEN, computed_tokens=3, decode_tokens=2))
    assert (rates.prefill_tokens_s, rates.decode_tokens_s) == (None, {})
    assert rates.reply_tokens == 61


def test_an_answer_without_words_is_no_reason_to_divide_by_zero() -> None:
    empty = Observation(0, 0, 0, 0.0, 0, 0, 0.0, 1)
    assert Rates().learn(empty) == Rates(reply_tokens=1)


@given(st.dictionaries(st.integers(1, 64), st.floats(0.1, 1e4), max_size=5), st.integers(1, 64))
def test_more_streams_never_have_fewer_tokens_beyond_the_last_that_was_measured(
    measured: dict[int, float], streams: int
) -> None:
    rates = Rates(decode_tokens_s=measured)
    beyond = max(measured, default=1) + streams
    assert 0 < rates.together_tokens_s(beyond) <= rates.together_tokens_s(beyond + 1)
    assert rates.together_tokens_s(streams) == measured.get(streams, rates.together_tokens_s(streams))


@given(st.none() | st.floats(0.1, 1e4), st.dictionaries(st.integers(1, 64), st.floats(0.1, 1e5), max_size=3))
def test_to_read_a_token_never_costs_more_than_to_write_one(prefill: float | None, decode: dict[int, float]) -> None:
    assert 0 < Rates(prefill, decode).prompt_weight(8) <= 1


def test_rates_come_back_as_they_were_kept() -> None:
    rates = Rates(1380.0, {1: 223.0, 4: 414.0}, reply_tokens=96.0)
    assert decode_rates(encode_rates(rates, "m", "r", "e"), "m", "r", "e") == rates


@pytest.mark.parametrize(
    "kept",
    [
        None,
        "",
        "[]",
        "null",
        "{}",
        '{"model": "m", "revision": "r", "engine": "e", "rates": null}',
        '{"model": "m", "revision": "r", "engine": "e", "rates": {"prefill_tokens_s": 1}}',
        encode_rates(Rates(prefill_tokens_s=-1.0), "m", "r", "e"),
        encode_rates(Rates(decode_tokens_s={1: float("nan")}), "m", "r", "e"),
        encode_rates(Rates(), "m", "another revision", "e"),
        encode_rates(Rates(), "m", "r", "another engine"),
    ],
)
def test_what_is_damaged_or_about_something_else_is_as_good_as_not_there(kept: str | None) -> None:
    assert decode_rates(kept, "m", "r", "e") is None


async def learnt(state: InMemoryState, times: int) -> Estimates:
    """Estimates after so many answers to one person."""
    estimates = Estimates(state)
    estimates.suit(READY)
    for _ in range(times):
        await estimates.learn(AISHA, SEEN)
    return estimates


async def test_what_was_learnt_outlives_the_process_and_is_stored_every_tenth_answer() -> None:
    store = InMemoryStore()
    await learnt(InMemoryState(store), SAVED_EVERY_ANSWERS - 1)
    assert STATE_NAME not in store.state
    earlier = await learnt(InMemoryState(store), SAVED_EVERY_ANSWERS + 3)
    later = Estimates(InMemoryState(store))
    await later.load()
    assert later.rates == Rates()
    later.suit(READY)
    assert later.rates == earlier.rates
    assert AISHA[1] not in json.loads(store.state[STATE_NAME]).values()


async def test_another_model_begins_with_what_was_measured_or_guessed() -> None:
    store = InMemoryStore()
    await learnt(InMemoryState(store), SAVED_EVERY_ANSWERS)
    measured = {"llamacpp": Rates(900.0, {1: 50.0})}
    estimates = Estimates(InMemoryState(store), measured)
    await estimates.load()
    estimates.suit(replace(READY, revision="r2"))
    assert estimates.rates == measured["llamacpp"]
    estimates.suit(replace(READY, engine="openvino"))
    assert estimates.rates == Rates()


async def test_what_was_learnt_leaves_what_was_measured_of_all_else() -> None:
    """People may have come one by one until now: what several are told is known from the benchmark only."""
    store = InMemoryStore()
    earlier = await learnt(InMemoryState(store), SAVED_EVERY_ANSWERS)
    (known,) = earlier.rates.decode_tokens_s
    estimates = Estimates(InMemoryState(store), {READY.engine: Rates(9000.0, {known: 1.0, 16: 668.0})})
    await estimates.load()
    estimates.suit(READY)
    assert estimates.rates.decode_tokens_s == {**earlier.rates.decode_tokens_s, 16: 668.0}
    assert estimates.rates.prefill_tokens_s == (earlier.rates.prefill_tokens_s or 9000.0)
    assert estimates.rates.reply_tokens == earlier.rates.reply_tokens


async def test_a_worker_that_starts_anew_forgets_nothing() -> None:
    estimates = await learnt(InMemoryState(InMemoryStore()), 1)
    known = estimates.rates
    estimates.suit(GeneratorStatus(GeneratorState.STARTING))
    estimates.suit(READY)
    assert estimates.rates == known


async def test_a_database_that_cannot_be_written_costs_nobody_an_answer() -> None:
    class FullState(InMemoryState):
        async def put(self, name: str, value: str) -> None:
            raise StorageUnavailable("the disk is full")

    assert (await learnt(FullState(InMemoryStore()), SAVED_EVERY_ANSWERS)).rates.reply_tokens == 61


async def test_a_persons_next_answer_is_thought_to_be_as_long_as_the_last_ones() -> None:
    estimates = await learnt(InMemoryState(InMemoryStore()), 0)
    for _ in range(9):
        await estimates.learn(AISHA, replace(SEEN, completion_tokens=500))
        await estimates.learn(BILAL, replace(SEEN, completion_tokens=20))
    long, short = (estimates.cost("hello", person, max_new_tokens=512) for person in (AISHA, BILAL))
    assert 500 <= long < 510
    assert 20 <= short < 30
    assert estimates.cost("hello", AISHA, max_new_tokens=64) < 75
    stranger = estimates.cost("hello", (PlatformName("discord"), UserId("1")), max_new_tokens=512)
    assert short < stranger < long


async def test_a_prompt_token_costs_as_much_less_as_it_is_read_faster() -> None:
    estimates = Estimates(
        InMemoryState(InMemoryStore()), {"llamacpp": Rates(1000.0, {4: 100.0}, 50.0, tokens_per_char=0.5)}
    )
    estimates.suit(READY)
    assert estimates.cost("x" * 400, AISHA, 512) - estimates.cost("", AISHA, 512) == pytest.approx(20.0)
