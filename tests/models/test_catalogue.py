"""What the catalogue says, and that it says nothing without a source."""

from __future__ import annotations

from collections import Counter

import pytest

from botbridge.errors import ModelNotFound
from botbridge.models.catalogue import load_catalogue
from botbridge.models.comparing import ARABIC_BENCHMARKS
from botbridge.models.facts import SOURCED, Kind, Level
from botbridge.models.names import HubSource

CATALOGUE = load_catalogue()

NAMED_BY_THE_STUDY_AND_THE_NOTEBOOK = {
    "meta-llama/Llama-3.2-1B-Instruct",
    "openai-community/gpt2",
    "microsoft/phi-2",
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
    "mistralai/Mistral-7B-Instruct-v0.1",
    "meta-llama/Llama-2-7b-chat-hf",
    "facebook/opt-6.7b",
    "bigscience/bloom-7b1",
    "bigscience/bloomz-3b",
    "Intel/neural-chat-7b-v3-1",
    "facebook/m2m100_1.2B",
    "facebook/xglm-7.5B",
}
FAMILIES = (
    "smollm2",
    "qwen2.5",
    "qwen3",
    "gemma-3",
    "phi-4-mini",
    "granite-4.0",
    "olmo-2",
    "lfm2",
    "falcon-h1",
    "jais",
)

ASKED_OF_NOBODY = {
    ("bloom-7b1", "gated"),
    ("bloomz-3b", "gated"),
    ("falcon-h1-0.5b-instruct", "gated"),
    ("falcon-h1-0.5b-instruct", "openness"),
    ("falcon-h1-1.5b-instruct", "openness"),
    ("falcon-h1-arabic-3b-instruct", "gated"),
    ("falcon-h1-arabic-3b-instruct", "licence"),
    ("falcon-h1-arabic-3b-instruct", "openness"),
    ("falcon3-1b-instruct", "openness"),
    ("gpt2-xl", "gated"),
    ("jais-family-1p3b-chat", "gated"),
    ("mistral-7b-instruct-v0.1-gguf", "gated"),
    ("silma-kashif-2b-instruct", "openness"),
}
"""The required facts that no source could be read for; each is said to be from memory."""


def test_every_model_that_the_documents_name_is_there_and_small_good_ones_of_today() -> None:
    assert {entry.hub_id for entry in CATALOGUE.entries} >= NAMED_BY_THE_STUDY_AND_THE_NOTEBOOK
    assert [family for family in FAMILIES if not any(each.id.startswith(family) for each in CATALOGUE.entries)] == []


def test_every_source_is_cited() -> None:
    assert {source.id for source in CATALOGUE.sources} - {s for e in CATALOGUE.entries for s in e.cited} == set()


def test_a_source_that_was_read_in_a_copy_is_a_third_party() -> None:
    copies = [source for source in CATALOGUE.sources if "cop" in source.title and "copyright" not in source.title]
    assert copies
    assert [source.id for source in copies if not source.third_party] == []


def test_what_nobody_was_read_for_is_known_and_does_not_grow() -> None:
    bare = {
        (entry.id, fact) for entry in CATALOGUE.entries for fact, by in entry.evidence.items() if "not-verified" in by
    }
    assert bare == ASKED_OF_NOBODY
    assert {fact for _, fact in bare} < SOURCED


def test_scores_and_files_rest_on_what_was_read() -> None:
    sources = {each.source for entry in CATALOGUE.entries for each in (*entry.scores, *entry.files)}
    assert "not-verified" not in sources


def test_a_model_has_one_score_for_each_benchmark_source_and_way_of_asking() -> None:
    """Else a comparison would show whichever stands first."""
    for entry in CATALOGUE.entries:
        asked = Counter((score.benchmark, score.source, score.shots, score.of is None) for score in entry.scores)
        assert [key for key, times in asked.items() if times > 1] == [], entry.id


def test_the_benchmarks_of_arabic_are_spelt_as_they_are_looked_for() -> None:
    used = {score.benchmark for entry in CATALOGUE.entries for score in entry.scores}
    assert used >= ARABIC_BENCHMARKS
    assert {name for name in used if "(ar)" in name} <= ARABIC_BENCHMARKS


def test_files_of_16_bits_that_were_computed_follow_from_the_count() -> None:
    """Qwen3's two smallest store their table of words twice and say so."""
    for entry in CATALOGUE.entries:
        for file in entry.files:
            if file.source == "computed" and file.size_bytes != 2 * entry.parameters:
                assert f"{file.size_bytes // 2:,}" in (entry.note or ""), entry.id


@pytest.mark.parametrize(
    ("model", "facts", "note"),
    [
        ("phi-2", {"parameters": 2_779_683_840, "licence": "MIT"}, "1.7B"),
        ("gpt2", {"parameters": 124_439_808, "licence": "gpt2-modified-mit"}, "1.5B"),
        ("opt-6.7b", {"licence": "opt-175b"}, "77.5"),
        ("bloom-7b1", {"licence": "bigscience-rail-1.0"}, "70.3"),
        ("llama-2-7b-chat", {"licence": "llama2", "gated": True}, "60.0"),
        ("neural-chat-7b-v3-1", {"architecture": "MistralForCausalLM"}, "LLaMA 2"),
    ],
)
def test_where_a_document_disagrees_the_publisher_stands_and_the_note_says_so(
    model: str, facts: dict[str, object], note: str
) -> None:
    entry = CATALOGUE.find(model)
    assert {name: getattr(entry, name) for name in facts} == facts
    assert note in (entry.note or "")


def test_scores_are_the_published_ones() -> None:
    def score(model: str, benchmark: str, source: str) -> float:
        return next(s.percent for s in CATALOGUE.find(model).scores if (s.benchmark, s.source) == (benchmark, source))

    assert score("llama-3.2-1b-instruct", "MMLU", "llama-3.2-card") == 49.3
    assert score("llama-2-7b-chat", "HellaSwag", "leaderboard-in-papers") == 78.55
    assert score("opt-6.7b", "MMLU", "lm-eval-results") == 27.05
    assert score("bloom-7b1", "HellaSwag", "lm-eval-results") == 59.68
    assert score("falcon-h1-arabic-3b-instruct", "Alyah", "alyah") == 74.51


def test_translators_are_listed_and_never_chat() -> None:
    assert [entry.id for entry in CATALOGUE.entries if entry.kind is Kind.SEQ2SEQ] == ["m2m100-1.2b"]
    assert "chat" not in CATALOGUE.find("m2m100-1.2b").tasks


def test_what_is_fully_open() -> None:
    full = {entry.id for entry in CATALOGUE.entries if entry.openness.level is Level.FULL}
    assert full == {"olmo-2-1b-instruct", "tinyllama-1.1b-chat"}


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("qwen3-1.7b", "qwen3-1.7b"),
        ("Qwen/Qwen3-1.7B", "qwen3-1.7b"),
        ("Qwen/Qwen3-1.7B@main", "qwen3-1.7b"),
        ("mistralai/Mistral-7B-Instruct-v0.1", "mistral-7b-instruct-v0.1"),
        ("TheBloke/Mistral-7B-Instruct-v0.1-GGUF:Q4_K_M", "mistral-7b-instruct-v0.1-gguf"),
        ("bartowski/Llama-3.2-1B-Instruct-GGUF", "llama-3.2-1b-instruct"),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "smollm2-135m-instruct"),
    ],
)
def test_an_entry_is_found_by_its_id_and_by_its_repositories(name: str, model: str) -> None:
    assert CATALOGUE.find(name).id == model


def test_the_gguf_entry_is_pulled_as_a_gguf() -> None:
    source = CATALOGUE.resolve("mistral-7b-instruct-v0.1-gguf").source
    assert source == HubSource("hub", "TheBloke/Mistral-7B-Instruct-v0.1-GGUF", "main", "Q4_K_M")


@pytest.mark.parametrize(
    ("typed", "near"), [("lama-3.2-1b", "llama-3.2-1b-instruct"), ("phi2", "phi-2"), ("Qwen/Qwen3-2B", "qwen3-4b")]
)
def test_a_model_that_is_not_there_is_answered_with_names_near_it(typed: str, near: str) -> None:
    with pytest.raises(ModelNotFound, match=f"near it: .*{near}"):
        CATALOGUE.find(typed)


def test_a_name_like_no_other_is_answered_with_what_can_be_done() -> None:
    with pytest.raises(ModelNotFound, match="models add FILE") as caught:
        CATALOGUE.find("org/zzzzzzzz")
    assert "near it" not in str(caught.value)
