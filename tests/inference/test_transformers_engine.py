"""The transformers engine on tiny models of the real classes."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from botbridge.answers import FinishReason, RequestId, Role, Sampling, Turn
from botbridge.errors import PromptTooLong
from botbridge.inference.engines.base import TokenEvent
from botbridge.inference.engines.batch import BatchEngine
from botbridge.inference.engines.hf_tokenizer import load_tokenizer
from botbridge.inference.engines.transformers_device import cpu_computes_bfloat16
from botbridge.inference.engines.transformers_loading import load_transformers
from botbridge.inference.options import EngineOptions
from botbridge.models.files import ModelFiles

GREEDY = Sampling(temperature=0, max_new_tokens=20, repetition_penalty=1.0, seed=0)
WARM = Sampling(temperature=1.0, top_p=1.0, max_new_tokens=20, repetition_penalty=1.0, seed=1)

_numbers = itertools.count()


def loaded(files: ModelFiles, **options: int) -> BatchEngine:
    """An engine on the CPU in float32, so that results are comparable."""
    engine = BatchEngine(load_transformers)
    engine.load(files, EngineOptions(device="cpu", dtype="float32", **options))
    return engine


@pytest.fixture(scope="module")
def llama(tiny_llama: ModelFiles) -> BatchEngine:
    """An engine over an instruct model."""
    return loaded(tiny_llama)


@pytest.fixture(scope="module")
def gpt2(tiny_gpt2: ModelFiles) -> BatchEngine:
    """An engine over a base model."""
    return loaded(tiny_gpt2)


def talk(*texts: str) -> tuple[Turn, ...]:
    """Turns of person and model in turn."""
    roles = itertools.cycle([Role.USER, Role.ASSISTANT])
    return tuple(Turn(role, text) for role, text in zip(roles, texts, strict=False))


def begin(engine: BatchEngine, turns: tuple[Turn, ...], sampling: Sampling, conversation: str) -> tuple[RequestId, int]:
    """Submit a request; its name and the number of reused tokens."""
    request_id = RequestId(f"r{next(_numbers)}")
    prompt = engine.prompt("", turns, sampling.max_new_tokens)
    return request_id, engine.submit(request_id, conversation, prompt, sampling)


def answers(engine: BatchEngine, *request_ids: RequestId) -> dict[RequestId, list[TokenEvent]]:
    """Step until all have ended."""
    events: dict[RequestId, list[TokenEvent]] = {request_id: [] for request_id in request_ids}
    while not all(seen and seen[-1].is_last for seen in events.values()):
        for event in engine.step():
            events[event.request_id].append(event)
    return events


def ask(engine: BatchEngine, text: str, sampling: Sampling = GREEDY) -> tuple[str, TokenEvent]:
    """One answer in a conversation of its own: its text and its last event."""
    request_id, _ = begin(engine, talk(text), sampling, f"alone-{next(_numbers)}")
    events = answers(engine, request_id)[request_id]
    return "".join(event.text for event in events), events[-1]


def test_the_answer_holds_nothing_of_the_prompt(gpt2: BatchEngine) -> None:
    """The engine decodes what it chose, not what it read."""
    text, end = ask(gpt2, "What is the capital of France?")
    assert "capital" not in text
    assert "User" not in text
    decoded = gpt2._dialogue.decode(end.completion_ids)
    assert text == decoded.strip()


def test_the_length_limit_counts_new_tokens(llama: BatchEngine) -> None:
    """However long the prompt is."""
    for question in ("hi", "hi " * 60):
        _, end = ask(llama, question, WARM)
        assert (end.finish_reason, end.completion_tokens) == (FinishReason.LENGTH, 20)
        assert len(end.completion_ids) == 20


def test_greedy_answers_are_those_of_the_library(llama: BatchEngine, tiny_llama: ModelFiles) -> None:
    """Token by token, also when the prompt is read in pieces."""
    prompt = llama.prompt("be kind", talk("hello there"), 20)
    model = AutoModelForCausalLM.from_pretrained(tiny_llama.directory, dtype=torch.float32)
    expected = model.generate(torch.tensor([prompt.ids]), max_new_tokens=20, do_sample=False)[0, len(prompt.ids) :]
    for engine in (llama, loaded(tiny_llama, prefill_tokens=7)):
        request_id = RequestId(f"r{next(_numbers)}")
        engine.submit(request_id, f"c{request_id}", prompt, GREEDY)
        ids = answers(engine, request_id)[request_id][-1].completion_ids
        assert list(ids) == expected.tolist()


def test_sampling_is_on_when_the_temperature_is_above_zero(llama: BatchEngine) -> None:
    """Two seeds differ, the same seed does not; at temperature 0 the seed is of no account."""
    assert ask(llama, "hi", WARM)[1].completion_ids == ask(llama, "hi", WARM)[1].completion_ids
    assert ask(llama, "hi", WARM)[1].completion_ids != ask(llama, "hi", replace(WARM, seed=2))[1].completion_ids
    assert ask(llama, "hi", GREEDY)[1].completion_ids == ask(llama, "hi", replace(GREEDY, seed=2))[1].completion_ids


def test_several_requests_side_by_side_answer_as_they_would_alone(llama: BatchEngine) -> None:
    """And each step brings every one of them a token."""
    questions = ["hi", "a longer question than the others", "hm?"]
    alone = [ask(llama, question, WARM)[1].completion_ids for question in questions]
    begun = [begin(llama, talk(question), WARM, f"side-{n}")[0] for n, question in enumerate(questions)]
    together = answers(llama, *begun)
    assert [together[request_id][-1].completion_ids for request_id in begun] == alone
    assert {len(events) for events in together.values()} == {20}


def test_a_conversation_goes_on_from_its_computed_prefix_with_the_same_answer(tiny_llama: ModelFiles) -> None:
    """What is reused is told, and changes nothing."""
    engine, cold = loaded(tiny_llama), loaded(tiny_llama, cache_bytes=0)
    first, reused = begin(engine, talk("hello"), GREEDY, "c")
    assert reused == 0
    text = "".join(event.text for event in answers(engine, first)[first])
    more = talk("hello", text, "go on")
    warm_id, warm_reused = begin(engine, more, GREEDY, "c")
    cold_id, cold_reused = begin(cold, more, GREEDY, "c")
    assert cold_reused == 0
    assert warm_reused >= len(engine.prompt("", talk("hello"), 20).ids)
    before = engine.stats().tokens_total
    warm = answers(engine, warm_id)[warm_id][-1]
    computed = engine.stats().tokens_total - before
    assert computed == len(engine.prompt("", more, 20).ids) - warm_reused + warm.completion_tokens - 1
    assert warm.completion_ids == answers(cold, cold_id)[cold_id][-1].completion_ids


def test_what_is_kept_stays_under_its_limit_and_the_oldest_goes_first(tiny_llama: ModelFiles) -> None:
    """Two layers of two heads of eight numbers make 256 bytes a token in float32, keys and values."""
    engine = loaded(tiny_llama, cache_bytes=30_000)
    for name in ("a", "b", "c"):
        request_id, _ = begin(engine, talk("x" * 20), GREEDY, name)
        answers(engine, request_id)
    assert begin(engine, talk("x" * 20), GREEDY, "c")[1] > 20
    assert begin(engine, talk("x" * 20), GREEDY, "a")[1] < 20


def test_a_forgotten_conversation_is_not_reused(llama: BatchEngine) -> None:
    """Also when it was forgotten in the middle of an answer."""
    for forget_early in (True, False):
        request_id, _ = begin(llama, talk("a secret"), GREEDY, "c")
        if forget_early:
            llama.step()
            llama.forget("c")
        answers(llama, request_id)
        if not forget_early:
            llama.forget("c")
        again, reused = begin(llama, talk("a secret"), GREEDY, "c")
        assert reused == llama.prompt("", talk("a secret"), 20).shared_tokens  # the template's own beginning
        llama.cancel(again)
        llama.forget("c")


def test_a_cancelled_request_says_no_more_and_tells_what_was_chosen(llama: BatchEngine) -> None:
    """The others go on."""
    gone, _ = begin(llama, talk("one"), WARM, "gone")
    stays, _ = begin(llama, talk("two"), WARM, "stays")
    llama.step()
    llama.step()
    assert len(llama.cancel(gone)) == 2
    events = answers(llama, stays)
    assert list(events) == [stays]


def test_a_request_that_breaks_ends_alone(llama: BatchEngine) -> None:
    """An id outside the vocabulary is an error inside the model."""
    prompt = llama.prompt("", talk("hi"), 20)
    broken, fine = RequestId("broken"), begin(llama, talk("hi"), GREEDY, "fine")[0]
    llama.submit(broken, "broken", type(prompt)((10**6,), 1, 20), GREEDY)
    ends = answers(llama, broken, fine)
    assert "IndexError" in (ends[broken][-1].failure or "")
    assert ends[fine][-1].failure is None


def test_what_a_broken_request_computed_is_not_reused(tiny_llama: ModelFiles) -> None:
    """Nobody knows how far each layer came."""
    engine = loaded(tiny_llama, prefill_tokens=4)
    prompt = engine.prompt("", talk("hi"), 20)
    broken = RequestId("broken")
    engine.submit(broken, "c", type(prompt)((*prompt.ids[:8], 10**6), 1, 20), GREEDY)
    assert answers(engine, broken)[broken][-1].failure is not None
    assert engine.submit(RequestId("next"), "c", prompt, GREEDY) == 0


def test_an_instruct_model_gets_its_own_template_and_ends_at_its_end_of_turn(
    llama: BatchEngine, tiny_llama: ModelFiles
) -> None:
    """Found in the template, whatever the generation settings say."""
    tokenizer = load_tokenizer(tiny_llama)
    ids = llama.prompt("", talk("hi"), 20).ids
    assert tokenizer.decode(ids) == "<|turn|>user\nhi<|end|>\n<|turn|>assistant\n"
    assert tokenizer.convert_tokens_to_ids("<|end|>") in llama._dialogue.stop_ids


def test_a_base_model_gets_a_supplied_template_and_the_operator_a_note(tiny_gpt2: ModelFiles) -> None:
    """GPT-2 knows no turns; the next one's name ends the answer."""
    engine = BatchEngine(load_transformers)
    info = engine.load(tiny_gpt2, EngineOptions(device="cpu", dtype="float32"))
    assert engine._dialogue.decode(engine.prompt("", talk("hi"), 20).ids) == "User: hi\nAssistant:"
    assert engine._dialogue.stop_strings == ("\nUser:", "\nAssistant:")
    assert any("template" in note for note in info.notes)
    assert info.context_tokens == 512


def test_the_context_can_be_made_smaller_and_never_larger(tiny_llama: ModelFiles) -> None:
    """The model was made for 512."""
    for asked, given in ((None, 512), (100, 100), (10_000, 512)):
        info = BatchEngine(load_transformers).load(tiny_llama, EngineOptions(device="cpu", context_tokens=asked))
        assert info.context_tokens == given


def test_a_question_that_does_not_fit_is_refused(llama: BatchEngine) -> None:
    """Before anything is computed."""
    with pytest.raises(PromptTooLong):
        llama.prompt("", talk("x" * 600), 20)


def test_the_repetition_guard_ends_the_loop_of_a_looping_model(looping_gpt2: ModelFiles) -> None:
    """GPT-2 says one sentence over and over; with the guard no four words come three times in a row."""
    engine = loaded(looping_gpt2)
    prompt = engine.prompt("", talk("what to say"), 80)
    model = AutoModelForCausalLM.from_pretrained(looping_gpt2.directory, dtype=torch.float32)
    unguarded = model.generate(torch.tensor([prompt.ids]), max_new_tokens=80, do_sample=False)[0, len(prompt.ids) :]
    assert repeats_three_times(engine._dialogue.decode(unguarded.tolist()).split(), 4)
    request_id = RequestId("loop")
    engine.submit(request_id, "c", prompt, Sampling(temperature=0, max_new_tokens=80, repetition_penalty=1.0, seed=0))
    text = "".join(event.text for event in answers(engine, request_id)[request_id])
    assert text.startswith("I do not know what to say I do not know")
    assert not repeats_three_times(text.split(), 4)


def repeats_three_times(words: list[str], shortest: int) -> bool:
    """Whether a block of at least so many words stands three times in a row."""
    return any(
        words[start : start + size]
        == words[start + size : start + 2 * size]
        == words[start + 2 * size : start + 3 * size]
        for size in range(shortest, len(words) // 3 + 1)
        for start in range(len(words) - 3 * size + 1)
    )


@pytest.mark.parametrize(
    "options",
    [EngineOptions(device="abacus"), EngineOptions(device="cpu", dtype="float7")],
    ids=["device", "number format"],
)
def test_an_unknown_option_is_said(tiny_llama: ModelFiles, options: EngineOptions) -> None:
    """By its name."""
    with pytest.raises(ValueError, match=r"abacus|float7"):
        BatchEngine(load_transformers).load(tiny_llama, options)


def test_a_model_that_is_here_as_gguf_only_names_the_engines_that_read_it(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").touch()
    with pytest.raises(ValueError, match="GGUF only: use the engine llamacpp or openvino"):
        BatchEngine(load_transformers).load(ModelFiles("m", "r", tmp_path), EngineOptions(device="cpu"))


def test_bfloat16_is_taken_only_where_the_cpu_computes_with_it(tmp_path: Path) -> None:
    """Read from the kernel's list of features."""
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("flags : fpu avx2 avx512f\n")
    assert not cpu_computes_bfloat16(cpuinfo)
    cpuinfo.write_text("flags : fpu avx2 avx512_bf16\n")
    assert cpu_computes_bfloat16(cpuinfo)
    assert not cpu_computes_bfloat16(tmp_path / "missing")
