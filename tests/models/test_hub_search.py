"""Looking on a hub: the real client library against a loopback hub, and hubs that do not answer."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from botbridge.errors import DownloadFailed
from botbridge.models.hub import Hub
from botbridge.models.hub_search import Found, HubQuery, Sort, search
from tests.fakes.hub import FakeHub


def listed(name: str, *, total: int | None = None, downloads: int = 0, **more: Any) -> dict[str, Any]:
    """A model as the hub's list tells it."""
    size = {} if total is None else {"safetensors": {"total": total, "parameters": {"BF16": total}}}
    return {
        "id": name,
        "downloads": downloads,
        "likes": 1,
        "gated": False,
        "pipeline_tag": "text-generation",
        "tags": ["license:mit"],
        **size,
        **more,
    }


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as server:
        server.listing = [
            listed("org/small", total=500_000_000, downloads=5, tags=["gguf", "license:apache-2.0"], likes=3),
            listed("org/mistral", total=7_241_732_096, downloads=50, gated="auto", likes=2),
            listed("org/large", total=13_000_000_000, downloads=500),
            listed("org/unsized", downloads=7),
            listed("org/translator", total=1_000, downloads=1, pipeline_tag="translation"),
        ]
        yield server


def names(found: tuple[Found, ...]) -> list[str]:
    return [each.id for each in found]


def test_what_was_downloaded_most_comes_first(hub: FakeHub) -> None:
    found = search(HubQuery(task="chat"), Hub(hub.endpoint))
    assert names(found) == ["org/large", "org/mistral", "org/unsized", "org/small"]


def test_task_tag_words_and_class_are_asked_of_the_hub(hub: FakeHub) -> None:
    at = Hub(hub.endpoint)
    assert names(search(HubQuery(task="translation"), at)) == ["org/translator"]
    assert names(search(HubQuery(tag="gguf"), at)) == ["org/small"]
    assert names(search(HubQuery(text="MISTRAL"), at)) == ["org/mistral"]
    assert names(search(HubQuery(task="chat", max_b=7), at)) == ["org/mistral", "org/unsized", "org/small"]
    assert names(search(HubQuery(task="chat", sort=Sort.LIKES), at))[0] == "org/small"


def test_what_the_hub_says_is_told_and_what_it_does_not_say_is_not_known(hub: FakeHub) -> None:
    mistral, unsized = search(HubQuery(task="chat", max_b=7), Hub(hub.endpoint))[:2]
    assert mistral == Found("org/mistral", "text-generation", 7_241_732_096, "mit", True, 50, 2)
    assert unsized.parameters is None


def test_a_hub_that_ignores_the_size_is_held_to_it_where_sizes_are_told(hub: FakeHub) -> None:
    hub.listing_answer = (200, json.dumps(hub.listing))
    assert "org/large" not in names(search(HubQuery(max_b=7), Hub(hub.endpoint)))
    assert "org/unsized" in names(search(HubQuery(max_b=7), Hub(hub.endpoint)))


def test_one_question_is_asked_once(hub: FakeHub) -> None:
    """`HfApi.list_models` would try six times."""
    hub.listing_answer = (503, "busy")
    with pytest.raises(DownloadFailed, match=f"^{hub.endpoint} answered 503$"):
        search(HubQuery(), Hub(hub.endpoint))
    assert len(hub.requests) == 1


def test_what_is_no_model_is_passed_over(hub: FakeHub) -> None:
    hub.listing = [None, 3, {"id": 7}, {"tags": []}, listed("org/right", tags=None, likes="many", downloads=True)]
    hub.listing_answer = (200, json.dumps(hub.listing))
    assert search(HubQuery(), Hub(hub.endpoint)) == (
        Found("org/right", "text-generation", None, None, False, None, None),
    )


@pytest.mark.parametrize("answer", ['{"models": []}', "<html>", "", "null"])
def test_a_page_that_is_no_hub_is_told(hub: FakeHub, answer: str) -> None:
    hub.listing_answer = (200, answer)
    with pytest.raises(DownloadFailed, match="does not answer as a hub does"):
        search(HubQuery(), Hub(hub.endpoint))


def test_a_token_that_is_not_accepted_is_told_by_its_settings_name(hub: FakeHub) -> None:
    with pytest.raises(DownloadFailed, match="does not accept the token in BOTBRIDGE_HUB__TOKEN") as caught:
        search(HubQuery(), Hub(hub.endpoint, "hf_mistyped"))
    assert "hf_mistyped" not in str(caught.value)


def test_a_foreign_token_is_not_sent(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_somebody")
    search(HubQuery(), Hub(hub.endpoint))
    assert {request.token for request in hub.requests} == {None}


def test_a_hub_that_is_not_there_is_told() -> None:
    """Port 9 on loopback answers nobody."""
    with pytest.raises(DownloadFailed, match="^http://127.0.0.1:9 cannot be reached$"):
        search(HubQuery(), Hub("http://127.0.0.1:9"))


def test_a_hub_that_takes_the_question_and_never_answers_is_left() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(DownloadFailed, match="cannot be reached"):
            search(HubQuery(), Hub(endpoint), timeout_s=0.2)
