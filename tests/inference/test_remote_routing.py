"""Conversations stay with a server, under a name that tells nothing; and what servers say of themselves."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from botbridge.inference.remote_routing import SALT_NAME, conversation_key, in_order
from botbridge.storage.memory import InMemoryState
from botbridge.storage.memory_store import InMemoryStore
from tests.fakes.asking import ask, prompt_of, until_state
from tests.fakes.openai_server import MODEL, OpenAIServer
from tests.fakes.remote_generator import all_ready, opened

URLS = [f"http://host{number}/v1" for number in range(5)]
KEYS = [conversation_key(b"salt", f"telegram/7/{number}/-/-") for number in range(2000)]


def test_each_server_gets_its_share_of_conversations() -> None:
    shares = Counter(in_order(key, URLS)[0] for key in KEYS)
    assert all(300 < shares[url] < 500 for url in URLS)


def test_when_a_server_goes_only_its_own_conversations_move() -> None:
    for key in KEYS[:200]:
        before, after = in_order(key, URLS), in_order(key, URLS[1:])
        assert after == [url for url in before if url != URLS[0]]


def test_the_order_of_the_setting_does_not_matter() -> None:
    assert all(in_order(key, URLS) == in_order(key, URLS[::-1]) for key in KEYS[:200])


async def test_a_conversation_has_one_server_and_all_servers_have_conversations() -> None:
    with OpenAIServer() as one, OpenAIServer() as two:
        async with opened(one, two) as generator:
            await all_ready(generator)
            for number in range(12):
                for _ in range(2):
                    await ask(generator, prompt_of("hello", conversation=f"c{number}"))
    names = [{question.headers["x-session-id"] for question in server.questions} for server in (one, two)]
    assert all(names)
    assert not names[0] & names[1]
    assert len(names[0] | names[1]) == 12


async def test_a_conversation_keeps_its_name_over_restarts_and_has_another_in_another_database() -> None:
    kept, other = InMemoryState(InMemoryStore()), InMemoryState(InMemoryStore())
    with OpenAIServer() as server:
        for state in (kept, kept, other):
            async with opened(server, state=state) as generator:
                await ask(generator, prompt_of("hello"))
    first, second, third = [question.headers["x-session-id"] for question in server.questions]
    assert first == second != third
    assert len(bytes.fromhex(await kept.get(SALT_NAME) or "")) == 32


@pytest.mark.parametrize(
    ("models", "properties", "limit", "context_tokens"),
    [
        ([{"id": MODEL, "max_model_len": 8192}], None, None, 8192),
        ([{"id": MODEL, "max_model_len": 8192}], None, 1000, 1000),
        ([{"id": MODEL, "max_model_len": 800}], None, 1000, 800),
        ([{"id": MODEL}], {"default_generation_settings": {"n_ctx": 2048}}, None, 2048),
        ([{"id": MODEL}], {"unknown": 1}, None, 4096),
        ([{"id": MODEL}], None, None, 4096),
        ([{"id": MODEL}], None, 6000, 6000),
        (None, None, None, 4096),
    ],
)
async def test_the_context_is_what_the_server_tells_the_operator_bounds_or_a_stated_guess(
    models: list[dict[str, Any]] | None, properties: dict[str, Any] | None, limit: int | None, context_tokens: int
) -> None:
    with OpenAIServer() as server:
        server.models, server.properties = models, properties
        async with opened(server, context_tokens=limit) as generator:
            status = generator.status()
    assert status.context_tokens == context_tokens
    is_guess = context_tokens == 4096
    assert any("4096 tokens are assumed" in note for note in status.notes) == is_guess


async def test_of_several_servers_the_shortest_context_counts() -> None:
    with OpenAIServer(context_tokens=3000) as one, OpenAIServer(context_tokens=2000) as two:
        async with opened(one, two) as generator:
            await all_ready(generator)
            assert generator.status().context_tokens == 2000


async def test_a_model_that_the_server_does_not_have_is_told_with_those_that_it_has() -> None:
    with OpenAIServer() as server:
        server.models = [{"id": "a"}, {"id": "b"}]
        async with opened(server, model="c", until="unavailable") as generator:
            assert generator.status().detail == (
                f"{server.url} has no model 'c' (BOTBRIDGE_INFERENCE__MODEL); it has 'a', 'b'"
            )
            server.models = [{"id": "c"}]
            await until_state(generator, "ready")


async def test_where_no_model_was_named_the_only_one_is_taken() -> None:
    with OpenAIServer() as server:
        async with opened(server, model="default", takes_only_model=True) as generator:
            asked = await ask(generator, prompt_of("hello"))
            assert generator.status().model == MODEL
    assert server.questions[0].body["model"] == MODEL
    assert asked.completion.provenance.model == MODEL


@pytest.mark.parametrize("models", [[{"name": "a"}], "text", [5]])
async def test_a_list_of_models_that_is_none_is_one_clear_sentence(models: Any) -> None:
    with OpenAIServer() as server:
        server.models = models
        async with opened(server, until="unavailable") as generator:
            assert generator.status().detail.startswith(f"{server.url} sent what is no answer: ")
            assert "\n" not in generator.status().detail


async def test_an_address_that_stands_twice_is_one_server() -> None:
    with OpenAIServer() as server:
        async with opened(server, server) as generator:
            await ask(generator, prompt_of("hello"))
    assert [request.path for request in server.requests] == ["/v1/models", "/v1/chat/completions"]
