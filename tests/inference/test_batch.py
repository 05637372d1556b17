"""The batch engine over a scripted model: who is computed when, what is reused, and that failures stay alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botbridge.answers import FinishReason, RequestId, Sampling
from botbridge.inference.engines.base import EnginePrompt, TokenEvent
from botbridge.inference.engines.batch import BatchEngine, share_out
from botbridge.inference.engines.prefix import common_prefix
from botbridge.inference.engines.step import Streams
from botbridge.inference.options import EngineOptions
from tests.fakes.scripted_step_model import STOP_ID, ScriptedStepModel, prompt, scripted

GREEDY = Sampling(temperature=0, repetition_penalty=1.0, seed=0)
PLENTY = EngineOptions(cache_bytes=100_000, prefill_tokens=16)


def count_up(ids: Sequence[int]) -> int:
    """One more than the last token; the model stops before a multiple of ten."""
    return STOP_ID if ids[-1] % 10 == 9 else ids[-1] + 1


def engine_over(
    model: ScriptedStepModel,
    options: EngineOptions = PLENTY,
    *,
    can_truncate: bool = True,
    streams: Streams | None = None,
) -> BatchEngine:
    """An engine that has loaded this model."""
    engine = BatchEngine(lambda _files, _options: scripted(model, can_truncate=can_truncate, streams=streams))
    engine.load(None, options)
    return engine


def submit(engine: BatchEngine, name: str, asked: EnginePrompt, adapter: str | None = None) -> int:
    """Begin a request in the conversation that has its name's first letter; how many tokens were known."""
    sampling = replace(GREEDY, max_new_tokens=asked.max_new_tokens)
    return engine.submit(RequestId(name), name[0], asked, sampling, adapter)


def finish(engine: BatchEngine) -> dict[str, TokenEvent]:
    """Step until nothing runs; the last event of each request."""
    ends: dict[str, TokenEvent] = {}
    while events := step_until_event(engine):
        ends |= {event.request_id: event for event in events if event.is_last}
    return ends


def step_until_event(engine: BatchEngine) -> list[TokenEvent]:
    """Step until one request at least has a token."""
    while engine._requests:
        if events := engine.step():
            return events
    return []


def test_all_answers_advance_in_one_pass() -> None:
    """Requests join and leave between two steps, and each ends as it would alone."""
    model = ScriptedStepModel(count_up)
    engine = engine_over(model)
    submit(engine, "a", prompt(21))
    submit(engine, "b", prompt(36))
    assert [event.request_id for event in engine.step()] == ["a", "b"]
    submit(engine, "c", prompt(48))
    ends = finish(engine)
    assert {name: end.completion_ids for name, end in ends.items()} == {
        "a": (*range(22, 30), STOP_ID),
        "b": (37, 38, 39, STOP_ID),
        "c": (49, STOP_ID),
    }
    assert model.steps[0] == [[21], [36]]
    assert model.steps[1] == [[22], [37], [48]]
    assert {end.finish_reason for end in ends.values()} == {FinishReason.STOP}


def test_a_long_prompt_is_read_in_pieces_while_others_get_their_words() -> None:
    """Every step that reads a piece of it brings the other a token."""
    model = ScriptedStepModel(count_up)
    engine = engine_over(model)
    submit(engine, "a", prompt(31))
    engine.step()
    submit(engine, "b", prompt(*[5] * 40))
    for _ in range(5):
        assert [event.request_id for event in engine.step()] == ["a"]
        assert [len(tokens) for tokens in model.steps[-1]] == [1, 4]


def test_alone_a_prompt_is_read_faster() -> None:
    """Nobody's words are held up."""
    model = ScriptedStepModel(count_up)
    engine = engine_over(model)
    submit(engine, "a", prompt(*[5] * 40))
    engine.step()
    assert [len(tokens) for tokens in model.steps[-1]] == [16]


def test_a_short_prompt_overtakes_a_long_one_that_still_moves() -> None:
    """A quarter of each step is the oldest one's."""
    model = ScriptedStepModel(count_up)
    engine = engine_over(model)
    submit(engine, "a", prompt(*[5] * 200))
    submit(engine, "b", prompt(*[5] * 20))
    engine.step()
    assert [len(tokens) for tokens in model.steps[-1]] == [4, 12]
    assert [event.request_id for event in engine.step()] == ["b"]


@given(st.dictionaries(st.text(max_size=3), st.integers(1, 500), min_size=1, max_size=8), st.integers(1, 300))
def test_a_step_reads_its_budget_and_the_oldest_always_moves(needs: dict[str, int], budget: int) -> None:
    """As long as there is anything to read."""
    given_tokens = share_out({RequestId(name): need for name, need in needs.items()}, budget)
    assert sum(given_tokens.values()) == min(budget, sum(needs.values()))
    assert all(0 < count <= needs[name] for name, count in given_tokens.items())
    assert next(iter(needs)) in given_tokens


def test_the_next_turn_computes_only_what_is_new() -> None:
    """Prompt and answer of the turn before are still there, but for the last token, which was never computed."""
    model = ScriptedStepModel(count_up)
    engine = engine_over(model)
    assert submit(engine, "a", prompt(5, 5, 27)) == 0
    finish(engine)
    model.steps.clear()
    assert submit(engine, "a2", prompt(5, 5, 27, 28, 29, 44, 18)) == 5
    assert finish(engine)["a2"].completion_ids == (19, STOP_ID)
    assert model.steps[0] == [[44, 18]]


def test_a_prompt_that_is_known_to_its_end_computes_its_last_token_again() -> None:
    """The logits of that one are needed."""
    model = ScriptedStepModel(count_up)
    engine = engine_over(model)
    submit(engine, "a", prompt(5, 5, 28))
    finish(engine)
    assert submit(engine, "a2", prompt(5, 5, 28)) == 2
    assert finish(engine)["a2"].completion_ids == (29, STOP_ID)


def test_the_system_text_is_computed_once_for_all_conversations() -> None:
    """A new conversation begins with a copy of it."""
    model = ScriptedStepModel(count_up)
    engine = engine_over(model)
    assert submit(engine, "a", prompt(7, 7, 7, 28, shared_tokens=3)) == 0
    finish(engine)
    assert submit(engine, "b", prompt(7, 7, 7, 38, shared_tokens=3)) == 3
    model.steps.clear()
    assert finish(engine)["b"].completion_ids == (39, STOP_ID)
    assert model.steps[0] == [[38]]


def test_two_newcomers_at_once_keep_one_copy_of_the_system_text() -> None:
    """One computes it, and the other begins with the copy."""
    model = ScriptedStepModel(count_up)
    engine = engine_over(model)
    submit(engine, "a", prompt(7, 7, 28, shared_tokens=2))
    submit(engine, "b", prompt(7, 7, 38, shared_tokens=2))
    finish(engine)
    assert model.steps[:2] == [[[7, 7]], [[28], [38]]]
    assert sorted(map(tuple, model.sequences.values())) == [(7, 7), (7, 7, 28, 29), (7, 7, 38, 39)]


def system_text_steps(*others: str) -> list[list[list[int]]]:
    """The passes until somebody who begins with a system text of ten tokens has been told a word."""
    model = ScriptedStepModel(count_up)
    engine = engine_over(model)
    for name in others:
        submit(engine, name, prompt(*[5] * 40, 21))
    submit(engine, "a", prompt(*[7] * 10, 28, shared_tokens=10))
    while not any(event.request_id == "a" for event in step_until_event(engine)):
        pass
    return model.steps


def test_the_system_text_is_read_in_the_same_passes_whoever_is_there() -> None:
    """Sums differ with what is computed beside them, and everybody's words hang on this text."""
    own = [[[7] * 4], [[7] * 4], [[7] * 2]]
    assert system_text_steps()[:3] == own
    beside = system_text_steps("x", "y")
    assert [step for step in beside if any(7 in piece for piece in step)] == own


def test_others_are_not_held_up_while_the_system_text_is_read() -> None:
    """They come by turns with it, and each piece is as short as beside any other prompt."""
    model = ScriptedStepModel(count_up)
    engine = engine_over(model)
    submit(engine, "x", prompt(21))
    engine.step()
    submit(engine, "a", prompt(*[7] * 10, 28, shared_tokens=10))
    model.steps.clear()
    for _ in range(5):
        engine.step()
    assert model.steps == [[[7] * 4], [[22]], [[7] * 4], [[23]], [[7] * 2]]


def reader_and_waiter() -> tuple[ScriptedStepModel, BatchEngine]:
    """`a` has read four of the ten tokens of a system text, and `b` waits for it."""
    model = ScriptedStepModel(count_up)
    engine = engine_over(model)
    submit(engine, "a", prompt(*[7] * 10, 28, shared_tokens=10))
    submit(engine, "b", prompt(*[7] * 10, 38, shared_tokens=10))
    engine.step()
    return model, engine


def test_whoever_waits_for_the_system_text_reads_it_when_its_reader_is_gone() -> None:
    model, engine = reader_and_waiter()
    engine.cancel(RequestId("a"))
    model.steps.clear()
    assert finish(engine)["b"].completion_ids == (39, STOP_ID)
    assert model.steps[:3] == [[[7] * 4], [[7] * 4], [[7] * 2]]


def test_a_system_text_that_is_given_up_at_once_is_read_once_all_the_same() -> None:
    """The answers in the making have all the memory, so that the copy is not kept; those who wait get theirs before."""
    model = ScriptedStepModel(count_up)
    engine = engine_over(model, replace(PLENTY, cache_bytes=20))
    for name in "abc":
        submit(engine, name, prompt(7, 7, int(f"{ord(name)}8"), shared_tokens=2, max_new_tokens=10))
    finish(engine)
    assert [step for step in model.steps if [7, 7] in step] == [[[7, 7]]]


def test_a_short_system_text_does_not_wait_for_a_long_one() -> None:
    """Such as that of the question by which a service asks itself whether it answers."""
    model = ScriptedStepModel(count_up)
    engine = engine_over(model)
    submit(engine, "a", prompt(*[7] * 10, 28, shared_tokens=10))
    submit(engine, "s", prompt(3, 38, shared_tokens=1))
    for _ in range(3):
        engine.step()
    assert model.steps == [[[3]], [[38]], [[7] * 4]]


def test_beside_the_system_text_others_read_as_little_as_beside_answers() -> None:
    """So that whoever waits for it is not held up by a long prompt."""
    model = ScriptedStepModel(count_up)
    engine = engine_over(model)
    submit(engine, "x", prompt(*[5] * 40, 21))
    submit(engine, "a", prompt(*[7] * 10, 28, shared_tokens=10))
    for _ in range(5):
        engine.step()
    assert model.steps == [[[7] * 4], [[5] * 4], [[7] * 4], [[5] * 4], [[7] * 2]]


def test_whoever_waited_in_vain_leaves_nothing() -> None:
    model, engine = reader_and_waiter()
    engine.cancel(RequestId("b"))
    assert list(model.sequences.values()) == [[7] * 4]


def test_those_who_get_no_copy_of_the_system_text_read_it_one_after_another() -> None:
    model = ScriptedStepModel(count_up)
    model.is_full = True
    engine = engine_over(model)
    submit(engine, "a", prompt(7, 7, 28, shared_tokens=2))
    submit(engine, "b", prompt(7, 7, 38, shared_tokens=2))
    assert {name: end.completion_ids for name, end in finish(engine).items()} == {
        "a": (29, STOP_ID),
        "b": (39, STOP_ID),
    }
    assert [step for step in model.steps if [7, 7] in step] == [[[7, 7]], [[7, 7]]]


def test_after_a_reset_the_system_text_is_still_known() -> None:
    """Nothing of what was said before is."""
    model = ScriptedStepModel(count_up)
    engine = engine_over(model)
    submit(engine, "a", prompt(7, 7, 28, shared_tokens=2))
    finish(engine)
    engine.forget("a")
    assert list(model.sequences.values()) == [[7, 7]]
    assert submit(engine, "a2", prompt(7, 7, 28, shared_tokens=2)) == 2


def known_after(cache_tokens: int, conversations: str, *, streams: Streams, tokens: int = 6) -> str:
    """Let conversations of so many tokens speak one after another; those of which something is known afterwards."""
    engine = engine_over(ScriptedStepModel(count_up), replace(PLENTY, cache_bytes=cache_tokens), streams=streams)
    for name in conversations:
        submit(engine, name, prompt(*[5] * (tokens - 2), 28, max_new_tokens=2))
        finish(engine)
    return "".join(dict.fromkeys(key for key in engine._cache._kept if isinstance(key, str)))


def test_whoever_spoke_last_lies_in_the_streams_and_the_others_share_what_is_left_of_the_memory() -> None:
    """Two streams of ten tokens out of forty: three conversations of six tokens find room beside them."""
    assert known_after(40, "abcdefg", streams=Streams(2, lambda _longest: 10)) == "cdefg"


def test_streams_that_grow_leave_less_to_the_others() -> None:
    assert known_after(40, "abcdefg", streams=Streams(2, lambda longest: 17 if longest >= 6 else 10)) == "efg"


def test_streams_grow_when_a_long_question_begins() -> None:
    engine = engine_over(
        ScriptedStepModel(count_up),
        replace(PLENTY, cache_bytes=40),
        streams=Streams(2, lambda longest: 17 if longest >= 9 else 10),
    )
    for name in "abcde":
        submit(engine, name, prompt(5, 5, 5, 5, 28, max_new_tokens=2))
        finish(engine)
    assert list(engine._cache._kept) == ["a", "b", "c", "d", "e"]
    submit(engine, "x", prompt(*[5] * 8, 28, max_new_tokens=2))
    assert list(engine._cache._kept) == ["d", "e"]


def test_the_system_text_lies_in_no_stream() -> None:
    """It is only ever copied from: its ten tokens and a conversation of twelve are what finds room outside."""
    engine = engine_over(
        ScriptedStepModel(count_up), replace(PLENTY, cache_bytes=42), streams=Streams(2, lambda _longest: 10)
    )
    for name in "abc":
        submit(engine, name, prompt(*[7] * 10, int(f"{ord(name)}8"), shared_tokens=10, max_new_tokens=2))
        finish(engine)
    assert [key for key in engine._cache._kept if isinstance(key, str)] == ["a", "b", "c"]


def test_a_quarter_of_the_memory_is_for_those_who_wait_however_much_the_streams_take() -> None:
    assert known_after(48, "abcdefg", streams=Streams(2, lambda _longest: 1000)) == "defg"


def test_without_memory_nothing_is_kept_in_streams_either() -> None:
    assert known_after(0, "abc", streams=Streams(2, lambda _longest: 10)) == ""


def test_streams_in_which_somebody_is_answered_hold_nobody_who_waits() -> None:
    """Both are at work, and what waits counts whole."""
    engine = engine_over(
        ScriptedStepModel(count_up), replace(PLENTY, cache_bytes=48), streams=Streams(2, lambda _longest: 1000)
    )
    for name in "abcd":
        submit(engine, name, prompt(5, 5, 5, 5, 28, max_new_tokens=2))
        finish(engine)
    for name in "xy":
        submit(engine, name, prompt(5, 5, 5, 5, 28, max_new_tokens=2))
    assert list(engine._cache._kept) == ["c", "d"]


def test_a_system_text_that_would_find_no_room_is_not_copied() -> None:
    model = ScriptedStepModel(count_up)
    engine = engine_over(model, replace(PLENTY, cache_bytes=40), streams=Streams(2, lambda _longest: 1000))
    submit(engine, "a", prompt(*[7] * 11, 28, shared_tokens=11))
    finish(engine)
    assert model.steps[0] == [[*[7] * 11, 28]]  # in one piece: nobody stopped for a copy
    assert list(model.sequences.values()) == [[*[7] * 11, 28, 29]]


def test_a_new_conversation_that_gets_no_copy_of_the_system_text_computes_it() -> None:
    """For want of memory, say; its answer does not need the copy."""
    model = ScriptedStepModel(count_up)
    engine = engine_over(model)
    submit(engine, "a", prompt(7, 7, 28, shared_tokens=2))
    finish(engine)
    model.is_full = True
    assert submit(engine, "b", prompt(7, 7, 38, shared_tokens=2)) == 0
    assert finish(engine)["b"].completion_ids == (39, STOP_ID)


def test_what_a_cut_took_with_it_is_read_in_pieces_beside_the_others_and_told() -> None:
    """Ten tokens are alike, and the model can go back to the eighth."""
    model = ScriptedStepModel(count_up)
    engine = engine_over(model)
    submit(engine, "a", prompt(*[5] * 10, 28))
    finish(engine)
    model.cuttable_to = 8
    submit(engine, "b", prompt(31))
    engine.step()
    assert submit(engine, "a2", prompt(*[5] * 10, *[6] * 5, 48)) == 8
    model.steps.clear()
    for _ in range(2):
        engine.step()
    assert [[len(tokens) for tokens in step] for step in model.steps] == [[1, 4], [1, 4]]
    assert finish(engine)["a2"].completion_ids == (49, STOP_ID)


def test_a_conversation_of_which_a_cut_leaves_less_than_the_system_text_begins_with_a_copy_of_that() -> None:
    model = ScriptedStepModel(count_up)
    engine = engine_over(model)
    submit(engine, "a", prompt(7, 7, 7, 5, 28, shared_tokens=3))
    finish(engine)
    model.cuttable_to = 2
    assert submit(engine, "a2", prompt(7, 7, 7, 6, 48, shared_tokens=3)) == 3
    assert finish(engine)["a2"].completion_ids == (49, STOP_ID)
    assert sorted(model.sequences.values()) == [[7, 7, 7], [7, 7, 7, 6, 48, 49]]


def test_where_taking_a_pass_back_takes_more_that_is_computed_again() -> None:
    """The others say what they would have said."""
    model = ScriptedStepModel(count_up)
    engine = engine_over(model)
    submit(engine, "a", prompt(5, 5, 5, 24))
    engine.step()
    engine.step()
    model.cuttable_to = 4
    model.poison = 13
    submit(engine, "b", prompt(5, 13))
    ends = finish(engine)
    assert ends["b"].failure == "IndexError: poisoned"
    assert ends["a"].completion_ids == (25, 26, 27, 28, 29, STOP_ID)
    assert list(model.sequences.values()) == [[5, 5, 5, *range(24, 30)]]


def test_a_conversation_forgotten_in_mid_answer_leaves_nothing() -> None:
    """Its answer goes on; its sequence is closed in the end."""
    model = ScriptedStepModel(count_up)
    engine = engine_over(model)
    submit(engine, "a", prompt(5, 27))
    engine.step()
    engine.forget("a")
    assert finish(engine)["a"].completion_ids == (28, 29, STOP_ID)
    assert model.sequences == {}


def test_the_least_recently_used_conversation_goes_first_and_running_ones_count() -> None:
    """Three conversations of four tokens; there is room for ten."""
    model = ScriptedStepModel(count_up)
    engine = engine_over(model, replace(PLENTY, cache_bytes=10))
    for name, last in (("a", 18), ("b", 28), ("a2", 18), ("c", 38)):
        submit(engine, name, prompt(5, 5, last, max_new_tokens=2))
        finish(engine)
    assert sorted(model.sequences.values()) == [[5, 5, 18, 19], [5, 5, 38, 39]]


def test_where_one_conversation_is_larger_than_the_memory_nothing_is_kept() -> None:
    """And every answer is as it should be."""
    model = ScriptedStepModel(count_up)
    engine = engine_over(model, replace(PLENTY, cache_bytes=2))
    for name in ("a", "a2"):
        assert submit(engine, name, prompt(5, 5, 28, shared_tokens=1)) == 0
        assert finish(engine)[name].completion_ids == (29, STOP_ID)
    assert model.sequences == {}


def test_what_an_adapter_computed_serves_no_other() -> None:
    """Neither the conversation nor the system text."""
    model = ScriptedStepModel(count_up)
    engine = engine_over(model)
    submit(engine, "a", prompt(7, 7, 28, shared_tokens=2))
    finish(engine)
    assert submit(engine, "a2", prompt(7, 7, 28, shared_tokens=2), adapter="poet") == 0
    finish(engine)
    assert submit(engine, "b", prompt(7, 7, 28, shared_tokens=2), adapter="poet") == 2
    with pytest.raises(ValueError, match="painter"):
        submit(engine, "c", prompt(28), adapter="painter")


def test_a_request_that_breaks_ends_alone_and_the_others_lose_nothing() -> None:
    """The pass is taken back and done again, one request after another."""
    model = ScriptedStepModel(count_up)
    engine = engine_over(model)
    model.poison = 13
    submit(engine, "a", prompt(5, 26))
    submit(engine, "b", prompt(5, 13))
    submit(engine, "c", prompt(5, 37))
    ends = finish(engine)
    assert ends["a"].completion_ids == (27, 28, 29, STOP_ID)
    assert ends["c"].completion_ids == (38, 39, STOP_ID)
    assert ends["b"].failure == "IndexError: poisoned"
    assert sorted(model.sequences.values()) == [[5, 26, 27, 28, 29], [5, 37, 38, 39]]


def test_where_a_copy_finds_no_memory_everybody_is_answered_all_the_same() -> None:
    model = ScriptedStepModel(count_up)
    engine = engine_over(model)
    submit(engine, "a", prompt(5, 26))
    engine.step()
    model.is_full = True
    submit(engine, "b", prompt(7, 7, 28, shared_tokens=2))
    ends = finish(engine)
    assert ends["a"].completion_ids == (27, 28, 29, STOP_ID)
    assert ends["b"].completion_ids == (29, STOP_ID)
    model.is_full = False
    assert submit(engine, "c", prompt(7, 7, 38, shared_tokens=2)) == 0
    assert finish(engine)["c"].completion_ids == (39, STOP_ID)


def test_beside_one_that_breaks_all_end_where_a_model_cannot_take_back_what_it_computed() -> None:
    model = ScriptedStepModel(count_up)
    engine = engine_over(model, can_truncate=False)
    model.poison = 13
    submit(engine, "a", prompt(5, 26))
    submit(engine, "b", prompt(5, 13))
    assert {end.failure for end in finish(engine).values()} == {"IndexError: poisoned"}
    model.poison = None
    submit(engine, "c", prompt(5, 37))
    assert finish(engine)["c"].completion_ids == (38, 39, STOP_ID)


def test_a_model_whose_memory_cannot_be_cut_reuses_nothing() -> None:
    """Nobody could say what it would then remember."""
    model = ScriptedStepModel(count_up)
    engine = engine_over(model, can_truncate=False)
    for name in ("a", "a2"):
        assert submit(engine, name, prompt(5, 28, shared_tokens=1)) == 0
        finish(engine)
    assert model.sequences == {}


def test_a_cancelled_request_leaves_its_prefix_to_the_next_turn() -> None:
    """What was computed was computed."""
    model = ScriptedStepModel(count_up)
    engine = engine_over(model)
    submit(engine, "a", prompt(5, 5, 21))
    engine.step()
    engine.step()
    assert engine.cancel(RequestId("a")) == (22, 23)
    assert engine.step() == []
    assert submit(engine, "a2", prompt(5, 5, 21, 44, 18)) == 3


def test_the_length_limit_ends_an_answer() -> None:
    """New tokens count, the prompt's do not."""
    engine = engine_over(ScriptedStepModel(count_up))
    submit(engine, "a", prompt(*[5] * 30, 21, max_new_tokens=3))
    end = finish(engine)["a"]
    assert (end.completion_ids, end.finish_reason) == ((22, 23, 24), FinishReason.LENGTH)
    assert end.margins == (1.0, 1.0, 1.0)


def test_every_token_is_counted_once() -> None:
    """Those that were reused are not."""
    engine = engine_over(ScriptedStepModel(count_up))
    submit(engine, "a", prompt(5, 5, 27))
    finish(engine)
    assert engine.stats().tokens_total == 5
    submit(engine, "a2", prompt(5, 5, 27, 28, 29, 38))
    finish(engine)
    assert engine.stats().tokens_total == 7


@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.lists(st.integers(1, 30), min_size=1, max_size=60), st.integers(0, 6)),
        min_size=1,
        max_size=12,
    ),
    st.integers(0, 120),
    st.sampled_from([1, 4, 1000]),
)
def test_whatever_is_reused_the_answers_are_those_of_a_cold_engine(
    asked: list[tuple[str, list[int], int]], cache_bytes: int, cuttable_to: int
) -> None:
    """Any mixture of conversations, forks, evictions and prompts read in pieces; nothing is left open unaccounted."""

    def sum_up(ids: Sequence[int]) -> int:
        return sum(place * token_id for place, token_id in enumerate(ids, start=1)) % 60

    def ask(engine: BatchEngine, place: int) -> tuple[int, ...]:
        name, ids, shared = asked[place]
        submit(engine, f"{name}{place}", prompt(*ids, shared_tokens=min(shared, len(ids) - 1), max_new_tokens=9))
        return finish(engine)[f"{name}{place}"].completion_ids

    model = ScriptedStepModel(sum_up)
    model.cuttable_to = cuttable_to
    warm = engine_over(model, replace(PLENTY, cache_bytes=cache_bytes, prefill_tokens=7))
    for place in range(len(asked)):
        cold = engine_over(ScriptedStepModel(sum_up), replace(PLENTY, cache_bytes=0))
        assert ask(warm, place) == ask(cold, place)
    assert sum(map(len, model.sequences.values())) <= cache_bytes


@given(st.lists(st.integers(0, 2)), st.lists(st.integers(0, 2)))
def test_the_common_prefix_is_the_longest(a: list[int], b: list[int]) -> None:
    """Both agree on it and not beyond."""
    length = common_prefix(a, b)
    assert a[:length] == b[:length]
    assert length in (len(a), len(b)) or a[length] != b[length]
