"""What a remote server is sent of a long conversation: whole exchanges, the newest ones, from the same one on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from botbridge.answers import Role, Sampling, Turn
from botbridge.errors import PromptTooLong
from botbridge.inference.remote_history import HALVINGS, shorter
from tests.fakes.asking import ask, prompt_of
from tests.fakes.openai_server import OpenAIServer
from tests.fakes.remote_generator import opened

SHORT = Sampling(max_new_tokens=4, seed=1)

TOO_LONG = [
    {
        "code": 400,
        "message": "request (5031 tokens) exceeds the available context size (1024 tokens), try increasing it",
        "type": "exceed_context_size_error",
    },
    {
        "code": 400,
        "message": "This model's maximum context length is 20 tokens. However, you requested 30 tokens.",
        "type": "BadRequestError",
    },
    {"code": 400, "message": "max_tokens must be at least 1, got -186.", "type": "BadRequestError"},
    {"code": "context_length_exceeded", "message": "Your input is too large.", "type": "invalid_request_error"},
    {"code": 400, "message": "The input (30 tokens) is longer than the model's context length (20 tokens)."},
]


def talk(exchanges: int) -> list[str]:
    """Questions and answers of two words each, and a newest question."""
    return [f"{'ask' if place % 2 == 0 else 'say'} {place // 2}" for place in range(2 * exchanges + 1)]


@pytest.mark.parametrize("error", TOO_LONG, ids=lambda error: str(error["message"])[:20])
async def test_a_history_that_is_too_long_loses_its_older_half_and_never_the_system_text(
    error: dict[str, object],
) -> None:
    with OpenAIServer(context_tokens=20) as server:
        server.too_long = error
        async with opened(server) as generator:
            asked = await ask(generator, prompt_of(*talk(7), system="be brief", sampling=SHORT))
    assert (asked.text, asked.started.used_turns) == ("ask 7", 7)
    assert asked.completion.provenance.used_turns == 7
    first, second = server.questions
    assert len(first.texts) == 16
    assert second.texts == ["be brief", *talk(7)[8:]]


async def test_the_next_prompt_begins_where_the_last_one_was_cut() -> None:
    with OpenAIServer(context_tokens=22) as server:
        async with opened(server) as generator:
            await ask(generator, prompt_of(*talk(7), sampling=SHORT))
            await ask(generator, prompt_of(*talk(8), sampling=SHORT))
            await ask(generator, prompt_of(*talk(8), sampling=SHORT, conversation="another"))
            await generator.forget("test")
            await ask(generator, prompt_of(*talk(8), sampling=SHORT))
    firsts = [question.texts[0] for question in server.questions]
    assert firsts == ["ask 0", "ask 4", "ask 4", "ask 0", "ask 4", "ask 0", "ask 4"]


async def test_a_newest_question_that_leaves_little_room_is_answered_shortly() -> None:
    with OpenAIServer(context_tokens=20) as server:
        async with opened(server) as generator:
            asked = await ask(generator, prompt_of("a b", "c d", " ".join("x" * 18), sampling=Sampling(seed=1)))
    assert asked.started.used_turns == 1
    assert [question.body.get("max_tokens") for question in server.questions] == [512, 512, None]


async def test_a_newest_question_that_does_not_fit_is_refused_as_too_long() -> None:
    with OpenAIServer(context_tokens=20) as server:
        async with opened(server) as generator:
            with pytest.raises(PromptTooLong, match="maximum context length"):
                await ask(generator, prompt_of(*talk(100)[:-1], " ".join("x" * 21), sampling=SHORT))
            assert generator.status().state == "ready"
    assert len(server.questions) == HALVINGS + 3


async def test_turns_before_the_first_question_are_not_sent() -> None:
    prompt = prompt_of("hello")
    with OpenAIServer() as server:
        async with opened(server) as generator:
            await ask(generator, replace(prompt, turns=(Turn(Role.ASSISTANT, "welcome"), *prompt.turns)))
    assert server.questions[0].texts == ["hello"]


def test_a_history_of_any_length_comes_down_to_the_newest_question_in_few_steps() -> None:
    turns = prompt_of(*talk(1000)).turns
    steps = 0
    while (rest := shorter(turns, steps)) is not None:
        assert rest[0].role is Role.USER
        turns, steps = rest, steps + 1
    assert (len(turns), steps) == (1, HALVINGS + 1)
