"""Which scores may stand side by side."""

from __future__ import annotations

from botbridge.models.catalogue import load_catalogue
from botbridge.models.comparing import CONTEXT_TOKENS, Comparison, compare

CATALOGUE = load_catalogue()


def compared(*ids: str) -> Comparison:
    return compare([CATALOGUE.find(model) for model in ids])


def test_scores_of_one_source_and_one_number_of_examples_are_comparable() -> None:
    comparison = compared("llama-3.2-1b-instruct", "qwen3-1.7b")
    rows = {(group.benchmark, group.source): group.percents for group in comparison.comparable}
    assert rows[("MMLU", "tii-evaluations")] == (45.93, 57.04)
    assert {source for _, source in rows} == {"tii-evaluations"}


def test_scores_of_different_sources_stand_alone() -> None:
    comparison = compared("llama-3.2-1b-instruct", "qwen3-1.7b")
    llama, qwen = comparison.alone
    assert ("MMLU", "llama-3.2-card") in {(score.benchmark, score.source) for score in llama}
    assert ("MMLU", "qwen3-report") in {(score.benchmark, score.source) for score in qwen}


def test_another_number_of_examples_is_another_question() -> None:
    """Intel's card asks HellaSwag with 10 examples, Meta's with none."""
    comparison = compared("neural-chat-7b-v3-1", "llama-3.2-3b-instruct")
    assert comparison.comparable == ()


def test_one_source_that_asked_in_two_ways_compares_nothing() -> None:
    """Of BLOOM it is known that ARC was asked without examples, of OPT it is not said."""
    bloom, opt = (CATALOGUE.find(model).scores for model in ("bloom-7b1", "opt-6.7b"))
    assert ("ARC-C", "lm-eval-results") in {(s.benchmark, s.source) for s in bloom} & {
        (s.benchmark, s.source) for s in opt
    }
    assert compared("bloom-7b1", "opt-6.7b").comparable == ()


def test_a_base_model_is_compared_with_base_models_only() -> None:
    comparison = compared("qwen2.5-0.5b-instruct", "qwen3-0.6b")
    of_relatives = {group.of_relatives: group.percents for group in comparison.comparable if group.benchmark == "MMLU"}
    assert of_relatives == {False: (46.07, 42.98), True: (47.5, 52.81)}


def test_who_lacks_a_score_that_others_share_is_not_known_there() -> None:
    comparison = compared("bloomz-3b", "xglm-7.5b", "gpt2")
    group = next(group for group in comparison.comparable if group.benchmark == "GSM8K")
    assert group.percents == (0.0, 0.23, None)


def test_every_score_stands_in_exactly_one_place() -> None:
    entries = [CATALOGUE.find(model) for model in ("bloom-7b1", "xglm-7.5b", "qwen3-4b", "phi-4-mini-instruct")]
    comparison = compare(entries)
    for place, entry in enumerate(entries):
        shared = sum(group.percents[place] is not None for group in comparison.comparable)
        assert shared + len(comparison.alone[place]) == len(entry.scores)


def test_arabic_is_told_apart() -> None:
    comparison = compared("bloom-7b1", "xglm-7.5b")
    assert {group.benchmark for group in comparison.comparable if group.is_arabic} == {
        "XStoryCloze (ar)",
        "XNLI (ar)",
    }


def test_memory_counts_the_published_file_where_there_is_one_and_never_more_context_than_the_model_has() -> None:
    llama, gpt2, gemma = compared("llama-3.2-1b-instruct", "gpt2", "gemma-3-1b-it").footprints
    assert (llama.weights_bytes, llama.measured) == (808_000_000, True)
    assert llama.cache_bytes == 32_768 * CONTEXT_TOKENS
    assert gpt2.cache_bytes == 36_864 * 1024
    assert gemma.cache_bytes is None
