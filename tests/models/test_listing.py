"""Which models a list holds, in which order."""

from __future__ import annotations

import pytest

from botbridge.models.catalogue import load_catalogue
from botbridge.models.facts import Level
from botbridge.models.listing import (
    COLUMNS,
    Filter,
    Listed,
    Speed,
    names_more_languages,
    names_of,
    ordered,
    tags,
    wanted,
)
from botbridge.sizes import class_b

CATALOGUE = load_catalogue()
EVERYTHING = tuple(Listed(entry) for entry in CATALOGUE.entries)


def ids(asked: Filter) -> set[str]:
    return {each.entry.id for each in wanted(EVERYTHING, asked)}


def test_no_wish_is_everything_in_the_catalogues_order() -> None:
    assert wanted(EVERYTHING, Filter()) == EVERYTHING


def test_the_class_counts_and_not_the_exact_number() -> None:
    """7,241,732,096 parameters are a 7B."""
    assert "mistral-7b-instruct-v0.1" in ids(Filter(max_b=7))
    assert "xglm-7.5b" not in ids(Filter(max_b=7))
    assert ids(Filter(max_b=class_b("300M"))) == {"smollm2-135m-instruct", "gemma-3-270m-it", "gpt2"}


def test_open_means_at_least_so_open() -> None:
    assert ids(Filter(open_level=Level.FULL)) == {"olmo-2-1b-instruct", "tinyllama-1.1b-chat"}
    assert "olmo-2-1b-instruct" in ids(Filter(open_level=Level.WEIGHTS))


def test_arabic_is_what_the_publisher_names() -> None:
    found = ids(Filter(arabic=True))
    assert {"qwen3-1.7b", "falcon-h1-arabic-3b-instruct", "bloomz-3b"} <= found
    assert not found & {"llama-3.2-1b-instruct", "gemma-3-1b-it", "xglm-7.5b"}


def test_task_language_licence_tag_and_words() -> None:
    assert "m2m100-1.2b" in ids(Filter(kind_of_task="translation"))
    assert "m2m100-1.2b" not in ids(Filter(kind_of_task="text-generation"))
    assert "bloomz-3b" in ids(Filter(language="sw"))
    assert ids(Filter(licence="llama3.2")) == {"llama-3.2-1b-instruct", "llama-3.2-3b-instruct"}
    assert ids(Filter(licence="LLAMA3.2")) == ids(Filter(licence="llama3.2"))
    assert "mistral-7b-instruct-v0.1-gguf" in ids(Filter(tag="gguf"))
    assert ids(Filter(text="intel servers")) == {"neural-chat-7b-v3-1"}
    assert ids(Filter(text="no such words")) == set()


def test_tags_are_written_as_the_hub_writes_them() -> None:
    assert {"license:apache-2.0", "ar", "conversational"} <= tags(CATALOGUE.find("qwen3-1.7b"))


def test_a_language_may_hide_behind_a_number() -> None:
    """Qwen3 claims 119 languages; the catalogue lists those that were read."""
    hidden = {entry.id for entry in names_more_languages(EVERYTHING, "fr")}
    assert "qwen3-1.7b" in hidden
    assert not hidden & {"phi-4-mini-instruct", "gpt2", "qwen2.5-0.5b-instruct"}


def test_what_is_not_known_stands_last_in_every_order() -> None:
    by_score = ordered(EVERYTHING, COLUMNS["hellaswag"])
    values = [COLUMNS["hellaswag"].value(each) for each in by_score]
    known = [value for value in values if value is not None]
    assert values == sorted(known, reverse=True) + [None] * (len(values) - len(known))
    assert None in values


def test_a_score_of_nothing_is_known() -> None:
    """BLOOMZ's GSM8K was measured, and is 0: it is not among the unknown."""
    by_score = [each.entry.id for each in ordered(EVERYTHING, COLUMNS["gsm8k"])]
    assert by_score.index("bloomz-3b") < by_score.index("gpt2")


@pytest.mark.parametrize(("column", "first"), [("parameters", "gpt2"), ("arabic", "falcon-h1-arabic-3b-instruct")])
def test_orders_begin_with_the_smallest_or_the_best(column: str, first: str) -> None:
    assert ordered(EVERYTHING, COLUMNS[column])[0].entry.id == first


def test_the_fastest_here_is_first() -> None:
    slow, fast = Speed("llamacpp", 4.0, 10.0), Speed("transformers", 40.0, 100.0)
    some = [Listed(EVERYTHING[0].entry), Listed(EVERYTHING[1].entry, slow), Listed(EVERYTHING[2].entry, fast)]
    assert [each.speed for each in ordered(some, COLUMNS["speed"])] == [fast, slow, None]


def test_every_column_can_be_sorted_by_and_a_relatives_score_is_not_the_models() -> None:
    for column in COLUMNS.values():
        assert {each.entry.id for each in ordered(EVERYTHING, column)} == ids(Filter())
    assert COLUMNS["mmlu"].value(Listed(CATALOGUE.find("mistral-7b-instruct-v0.1"))) is None


def test_files_lie_under_the_id_or_under_the_hubs_name() -> None:
    assert names_of(CATALOGUE.find("qwen3-1.7b")) == ("qwen3-1.7b", "Qwen/Qwen3-1.7B")
    assert names_of(CATALOGUE.find("smollm2-135m-instruct")) == ("smollm2-135m-instruct",)
    gguf = CATALOGUE.find("mistral-7b-instruct-v0.1-gguf")
    assert names_of(gguf) == (gguf.id, "TheBloke/Mistral-7B-Instruct-v0.1-GGUF:Q4_K_M")
