"""The catalogue answers a search when no hub does."""

from __future__ import annotations

from botbridge.models.catalogue import load_catalogue
from botbridge.models.hub_search import HubQuery
from botbridge.models.searching import search_catalogue

ENTRIES = load_catalogue().entries


def names(query: HubQuery) -> list[str]:
    return [found.id for found in search_catalogue(ENTRIES, query)]


def test_the_words_of_the_hub_and_ours_are_understood() -> None:
    assert names(HubQuery(task="translation")) == ["m2m100-1.2b"]
    assert "m2m100-1.2b" not in names(HubQuery(task="text-generation"))
    assert "gpt2" not in names(HubQuery(task="chat"))
    assert "qwen3-1.7b" in names(HubQuery(task="chat", tag="ar", text="qwen3", max_b=2))


def test_what_the_catalogue_does_not_count_is_not_known() -> None:
    assert {(found.downloads, found.likes) for found in search_catalogue(ENTRIES, HubQuery())} == {(None, None)}
