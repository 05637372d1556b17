"""A real socket to a scripted OpenAI-compatible server: streaming, ends, and whatever can go wrong on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from botbridge.answers import Completion, Delta, FinishReason, Sampling, Started
from botbridge.errors import (
    AdapterUnusable,
    GenerationFailed,
    GenerationTimeout,
    ModelLoadError,
    ModelUnavailable,
)
from botbridge.inference.remote import RemoteGenerator
from tests.fakes.asking import Asked, ask, prompt_of, until_state
from tests.fakes.openai_server import MODEL, OpenAIServer, Reply
from tests.fakes.remote_generator import PATIENCE, all_ready, opened

QUICK = replace(PATIENCE, first_token_s=0.5, between_tokens_s=0.5)
HANGS = Reply(hangs_after=-1)


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    """A server that repeats what it is told."""
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def other() -> Iterator[OpenAIServer]:
    """Another one with the same model."""
    with OpenAIServer() as server:
        yield server


async def conversation_of(first: OpenAIServer, generator: RemoteGenerator) -> str:
    """The name of a conversation that asks this server first."""
    for number in range(64):
        before = len(first.questions)
        await ask(generator, prompt_of("who?", conversation=f"c{number}"))
        if len(first.questions) > before:
            return f"c{number}"
    raise AssertionError("no conversation asks this server first")


async def asked_of_first(first: OpenAIServer, generator: RemoteGenerator, reply: Reply) -> Asked:
    """Let the server that a conversation asks first answer like this, and ask."""
    conversation = await conversation_of(first, generator)
    first.enqueue(reply)
    return await ask(generator, prompt_of("hello", conversation=conversation))


async def note_words(generator: RemoteGenerator, words: list[str]) -> None:
    """Ask, and keep what was said before it failed."""
    async for event in generator.stream(prompt_of("hello")):
        if isinstance(event, Delta):
            words.append(event.text)  # noqa: PERF401 - a comprehension that fails leaves nothing behind


async def test_an_answer_comes_in_pieces_with_where_it_came_from(server: OpenAIServer) -> None:
    async with opened(server, slots=3) as generator:
        events = [event async for event in generator.stream(prompt_of("one two three", system="be brief"))]
        status = generator.status()
    started, *deltas, completion = events
    assert isinstance(started, Started)
    assert started.used_turns == 1
    assert deltas == [Delta("one", 1), Delta(" two", 2), Delta(" three", 3)]
    assert isinstance(completion, Completion)
    assert completion.finish_reason is FinishReason.STOP
    origin = completion.provenance
    assert (origin.engine, origin.engine_version, origin.model, origin.revision) == ("remote", "fp_1", MODEL, "")
    assert (origin.prompt_tokens, origin.cached_tokens, origin.completion_tokens) == (5, 0, 3)
    assert len(origin.prompt_hash) == 64
    assert (status.engine, status.model, status.context_tokens, status.slots) == ("remote", MODEL, 4096, 3)


async def test_what_is_sent_is_the_conversation_its_sampling_and_a_name_that_tells_nothing(
    server: OpenAIServer,
) -> None:
    sampling = Sampling(max_new_tokens=7, temperature=0.5, top_p=0.8, seed=11)
    conversation = "telegram/7/1234567/-/=7654321"
    prompt = prompt_of("hi", "hello", "how are you?", system="be brief", conversation=conversation, sampling=sampling)
    async with opened(server) as generator:
        await ask(generator, prompt)
    (question,) = server.questions
    sent = dict(question.body)
    name = sent.pop("user")
    assert sent == {
        "model": MODEL,
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "hello"},
            {"role": "user", "content": "how are you?"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 7,
        "temperature": 0.5,
        "top_p": 0.8,
        "seed": 11,
        "prompt_cache_key": name,
    }
    assert question.headers["x-session-id"] == name
    assert "1234567" not in str(question)
    assert "7654321" not in str(question)


async def test_an_answer_at_its_longest_says_so_and_what_the_server_knew_already_is_counted(
    server: OpenAIServer,
) -> None:
    async with opened(server) as generator:
        first = await ask(generator, prompt_of("a b c d", sampling=Sampling(max_new_tokens=2)))
        again = await ask(generator, prompt_of("a b c d", first.text, "e"))
    assert (first.text, first.completion.finish_reason) == ("a b", FinishReason.LENGTH)
    assert (again.completion.provenance.prompt_tokens, again.completion.provenance.cached_tokens) == (7, 4)


async def test_an_answer_without_words_or_counts_has_a_beginning_and_an_end(server: OpenAIServer) -> None:
    server.enqueue(Reply(pieces=[], counts=False))
    async with opened(server) as generator:
        asked = await ask(generator, prompt_of("x" * 40))
    assert asked.text == ""
    assert (asked.started.prompt_tokens, asked.completion.provenance.completion_tokens) == (10, 0)


@pytest.mark.parametrize("deadline_s", [2, 3600], ids=["deadline near", "deadline far"])
async def test_an_answer_whose_counts_never_come_is_whole(server: OpenAIServer, deadline_s: float) -> None:
    """Though a token may take an hour."""
    server.enqueue(Reply(["one", " two"], hangs_at_end=True))
    async with opened(server, patience=replace(QUICK, between_tokens_s=3600, counts_s=0.5)) as generator:
        asked = await asyncio.wait_for(ask(generator, prompt_of("hello", deadline_s=deadline_s)), 30)
    assert (asked.text, asked.completion.finish_reason) == ("one two", FinishReason.STOP)
    assert asked.completion.provenance.completion_tokens == 2


async def test_a_server_that_does_not_stop_where_it_was_told_is_stopped(server: OpenAIServer) -> None:
    server.enqueue(Reply(["x" * 65] * 1000, hangs_after=999))
    async with opened(server) as generator:
        with pytest.raises(GenerationFailed, match="sent a longer answer than it was asked for"):
            await ask(generator, prompt_of("hello", sampling=Sampling(max_new_tokens=10)))


async def test_an_adapter_is_refused_and_not_left_out_silently(server: OpenAIServer) -> None:
    async with opened(server) as generator:
        with pytest.raises(AdapterUnusable, match="the adapter pirate cannot be used: the engine remote takes none"):
            await ask(generator, replace(prompt_of("hello"), adapter="pirate"))
    assert server.questions == []


async def test_text_that_is_no_unicode_is_answered_all_the_same(server: OpenAIServer) -> None:
    async with opened(server) as generator:
        assert (await ask(generator, prompt_of("a\ud800b", system="\udc00"))).text == "a?b"


async def test_many_questions_at_once_are_all_answered(server: OpenAIServer) -> None:
    async with opened(server) as generator:
        asked = await asyncio.gather(*(ask(generator, prompt_of(f"hello {number}")) for number in range(64)))
    assert [one.text for one in asked] == [f"hello {number}" for number in range(64)]


async def test_closing_the_iterator_hangs_up_so_that_the_server_stops(server: OpenAIServer) -> None:
    server.enqueue(Reply(["one", " two"], hangs_after=1))
    async with opened(server) as generator:
        async with aclosing(generator.stream(prompt_of("hello"))) as events:
            async for event in events:
                if isinstance(event, Delta):
                    break
        await server.until(lambda: server.questions[0].hung_up)
        assert (await ask(generator, prompt_of("and now?"))).text == "and now?"


async def test_a_cancelled_task_hangs_up_too_before_the_first_word(server: OpenAIServer) -> None:
    server.enqueue(HANGS)
    async with opened(server) as generator:
        asking = asyncio.create_task(ask(generator, prompt_of("hello")))
        await server.until(lambda: len(server.questions) == 1)
        asking.cancel()
        await server.until(lambda: server.questions[0].hung_up)
        with pytest.raises(asyncio.CancelledError):
            await asking


@pytest.mark.parametrize("reply", [HANGS, Reply(["one", " two"], hangs_after=1)], ids=["before", "in the middle"])
async def test_an_answer_that_takes_longer_than_its_deadline_is_given_up(server: OpenAIServer, reply: Reply) -> None:
    server.enqueue(reply)
    async with opened(server) as generator:
        with pytest.raises(GenerationTimeout, match="within 0.3 s"):
            await ask(generator, prompt_of("hello", deadline_s=0.3))
        await server.until(lambda: server.questions[0].hung_up)


async def test_a_server_that_hangs_before_the_first_word_is_given_up_for_another(
    server: OpenAIServer, other: OpenAIServer
) -> None:
    async with opened(server, other, patience=QUICK) as generator:
        await all_ready(generator)
        assert (await asked_of_first(server, generator, HANGS)).text == "hello"
    await server.until(lambda: server.questions[-1].hung_up)


async def test_a_server_that_hangs_is_not_waited_for_twice_for_one_question(server: OpenAIServer) -> None:
    server.enqueue(HANGS, HANGS)
    async with opened(server, patience=QUICK) as generator:
        with pytest.raises(GenerationFailed, match="gave no sign of an answer for 0.5 s"):
            await ask(generator, prompt_of("hello"))
    assert len(server.questions) == 1


async def test_a_server_that_hangs_in_the_middle_ends_the_attempt(server: OpenAIServer, other: OpenAIServer) -> None:
    """Words were shown, so another server's may not follow them."""
    async with opened(server, other, patience=QUICK) as generator:
        await all_ready(generator)
        with pytest.raises(GenerationFailed, match="gave no sign of an answer"):
            await asked_of_first(server, generator, Reply(["one", " two"], hangs_after=1))


@pytest.mark.parametrize("status", [500, 502, 408])
async def test_a_server_that_failed_once_is_asked_once_more(server: OpenAIServer, status: int) -> None:
    server.enqueue(Reply(status=status))
    async with opened(server) as generator:
        assert (await ask(generator, prompt_of("hello"))).text == "hello"
    assert len(server.questions) == 2


async def test_a_server_that_fails_again_is_given_up_with_its_own_words(server: OpenAIServer) -> None:
    server.enqueue(*[Reply(status=500, error={"message": "CUDA error:\nout of memory"})] * 3)
    async with opened(server) as generator:
        with pytest.raises(GenerationFailed) as caught:
            await ask(generator, prompt_of("hello"))
    assert str(caught.value) == f"{server.url} answered 500: CUDA error: out of memory"
    assert len(server.questions) == 2


async def test_a_server_that_failed_is_given_up_for_another(server: OpenAIServer, other: OpenAIServer) -> None:
    async with opened(server, other) as generator:
        await all_ready(generator)
        assert (await asked_of_first(server, generator, Reply(status=500))).text == "hello"
    assert other.questions[-1].texts == ["hello"]


async def test_a_busy_server_is_asked_again_when_it_said(server: OpenAIServer) -> None:
    server.enqueue(*[Reply(status=429, headers={"Retry-After": "0.02"})] * 4)
    async with opened(server) as generator:
        assert (await ask(generator, prompt_of("hello"))).text == "hello"
    assert len(server.questions) == 5


@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_server_is_not_asked_before_it_said(server: OpenAIServer, status: int) -> None:
    server.enqueue(Reply(status=status, headers={"Retry-After": "20"}))
    async with opened(server) as generator:
        with pytest.raises(GenerationTimeout, match=f"within 3 s: {server.url} answered {status}"):
            await ask(generator, prompt_of("hello", deadline_s=3))
    assert len(server.questions) == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_a_server_that_asks_for_a_long_pause_is_unavailable_and_says_why(
    server: OpenAIServer, status: int
) -> None:
    server.enqueue(Reply(status=status, error={"message": "Daily quota"}, headers={"Retry-After": "900000000"}))
    async with opened(server) as generator:
        for _ in range(2):
            with pytest.raises(ModelUnavailable, match=f"{server.url} answered {status}: Daily quota"):
                await ask(generator, prompt_of("hello"))
        assert generator.status().state == "unavailable"
        reason, until = generator.status().detail.split("; it asked for a pause until ")
        assert reason == f"{server.url} answered {status}: Daily quota"
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        assert datetime.strptime(until, "%Y-%m-%d %H:%M UTC").replace(tzinfo=UTC) <= tomorrow
    assert [asked.path for asked in server.requests] == ["/v1/models", "/v1/chat/completions"]


async def test_a_server_is_asked_again_when_its_pause_is_over(server: OpenAIServer) -> None:
    server.enqueue(Reply(status=429, headers={"Retry-After": "0.2"}))
    async with opened(server, patience=replace(PATIENCE, busy_s=0.1)) as generator:
        with pytest.raises(ModelUnavailable):
            await ask(generator, prompt_of("hello"))
        await until_state(generator, "ready")
        assert (await ask(generator, prompt_of("hello"))).text == "hello"


async def test_another_server_answers_while_one_is_busy(server: OpenAIServer, other: OpenAIServer) -> None:
    async with opened(server, other) as generator:
        await all_ready(generator)
        asked = await asked_of_first(server, generator, Reply(status=429, headers={"Retry-After": "1000"}))
        assert asked.text == "hello"
        before = len(server.questions)
        await asyncio.gather(*(ask(generator, prompt_of("hi", conversation=f"c{number}")) for number in range(8)))
    assert len(server.questions) == before


async def test_a_server_that_comes_back_is_asked_while_the_other_is_busy(
    server: OpenAIServer, other: OpenAIServer
) -> None:
    server.refuse()
    other.enqueue(Reply(status=429, headers={"Retry-After": "20"}))
    async with opened(server, other) as generator:
        asking = asyncio.create_task(ask(generator, prompt_of("hello")))
        await other.until(lambda: len(other.questions) == 1)
        server.listen()
        assert (await asking).text == "hello"
    assert len(server.questions) == 1


async def test_a_stream_that_breaks_off_ends_the_attempt_and_is_not_mended_here(server: OpenAIServer) -> None:
    server.enqueue(Reply(["one", " two", " three"], breaks_after=2))
    words: list[str] = []
    async with opened(server) as generator:
        with pytest.raises(GenerationFailed, match="broke the connection off"):
            await note_words(generator, words)
    assert words == ["one", " two"]
    assert len(server.questions) == 1


async def test_a_stream_that_breaks_off_before_the_first_word_is_tried_again(server: OpenAIServer) -> None:
    server.enqueue(Reply(["one"], breaks_after=0))
    async with opened(server) as generator:
        assert (await ask(generator, prompt_of("hello"))).text == "hello"


async def test_a_stream_that_ends_without_a_reason_is_not_taken_for_whole(server: OpenAIServer) -> None:
    """A proxy that loses its server closes the stream in good order."""
    server.enqueue(Reply(["one"], finish_reason=None))
    async with opened(server) as generator:
        with pytest.raises(GenerationFailed, match="ended an answer before it was whole"):
            await ask(generator, prompt_of("hello"))


@pytest.mark.parametrize("reason", ["abort", "error", "insufficient_system_resource", "something new"])
async def test_a_stream_that_ends_because_the_server_gave_it_up_is_not_taken_for_whole(
    server: OpenAIServer, reason: str
) -> None:
    server.enqueue(Reply(["one", " two"], finish_reason=reason))
    async with opened(server) as generator:
        with pytest.raises(GenerationFailed, match=f"{server.url} gave an answer up, with the reason '{reason}'"):
            await ask(generator, prompt_of("hello"))


async def test_an_answer_that_is_given_up_before_the_first_word_is_asked_for_again(server: OpenAIServer) -> None:
    server.enqueue(Reply([], finish_reason="abort"))
    async with opened(server) as generator:
        assert (await ask(generator, prompt_of("hello"))).text == "hello"


@pytest.mark.parametrize(
    ("reason", "end"),
    [
        ("stop", FinishReason.STOP),
        ("tool_calls", FinishReason.STOP),
        ("length", FinishReason.LENGTH),
        ("repetition", FinishReason.LENGTH),
        ("content_filter", FinishReason.FILTERED),
    ],
)
async def test_why_an_answer_ended_is_told(server: OpenAIServer, reason: str, end: FinishReason) -> None:
    server.enqueue(Reply(["one", " two"], finish_reason=reason))
    async with opened(server) as generator:
        asked = await ask(generator, prompt_of("hello"))
    assert (asked.text, asked.completion.finish_reason) == ("one two", end)


@pytest.mark.parametrize(
    "raw",
    [
        b"data: {not json}\n\n",
        b"data: []\n\n",
        b'data: {"choices": 5}\n\n',
        b'data: {"choices": [{"delta": "text"}]}\n\n',
        b"data: \xff\xfe\n\n",
        b"<html>Bad gateway</html>",
        b'data: {"error": {"message": "slot crashed", "code": 500}}\n\n',
        b"",
    ],
)
async def test_nonsense_in_a_stream_is_one_clear_sentence(server: OpenAIServer, raw: bytes) -> None:
    server.enqueue(*[Reply(raw=raw)] * 2)
    async with opened(server) as generator:
        with pytest.raises(GenerationFailed) as caught:
            await ask(generator, prompt_of("hello"))
    assert str(caught.value).startswith(server.url)
    assert "\n" not in str(caught.value)


async def test_a_prompt_that_no_server_would_take_is_tried_once(server: OpenAIServer, other: OpenAIServer) -> None:
    async with opened(server, other) as generator:
        await all_ready(generator)
        with pytest.raises(GenerationFailed, match="answered 400: roles must alternate"):
            await asked_of_first(server, generator, Reply(status=400, error={"message": "roles must alternate"}))
    assert ["hello"] not in [question.texts for question in other.questions]


def openai(name: str, advice: str = "") -> tuple[int, object]:
    """Source: https://github.com/griptape-ai/ComfyUI-Griptape/issues/312."""
    told = f"Unsupported parameter: '{name}' is not supported with this model.{advice}"
    error = {"message": told, "type": "invalid_request_error", "param": name, "code": "unsupported_parameter"}
    return 400, {"error": error}


def mistral(*names: str) -> tuple[int, object]:
    """Source: https://github.com/crewAIInc/crewAI/issues/60."""
    told = "Extra inputs are not permitted"
    detail = [{"type": "extra_forbidden", "loc": ["body", name], "msg": told, "input": "c4f"} for name in names]
    return 422, {"object": "error", "message": {"detail": detail}, "type": "invalid_request_error", "param": None}


def google(name: str) -> tuple[int, object]:
    """Source: https://github.com/liliMozi/openhanako/issues/2494; the list around it: cursor-byok issue 112."""
    told = f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.'
    return 400, [{"error": {"code": 400, "message": told, "status": "INVALID_ARGUMENT"}}]


REFUSALS = {
    "OpenAI": {
        "max_tokens": openai("max_tokens", " Use 'max_completion_tokens' instead."),
        "temperature": openai("temperature"),
        "top_p": openai("top_p"),
    },
    "Mistral": dict.fromkeys(["user", "prompt_cache_key"], mistral("user", "prompt_cache_key")),
    "Google": {"prompt_cache_key": google("prompt_cache_key"), "user": google("user"), "seed": google("seed")},
    "Groq": {
        "prompt_cache_key": (
            400,  # Source: https://github.com/eigent-ai/eigent/issues/1827
            {"error": {"message": "property 'prompt_cache_key' is unsupported", "type": "invalid_request_error"}},
        )
    },
}


@pytest.mark.parametrize("make", REFUSALS)
async def test_a_server_is_not_sent_what_it_refuses_and_that_is_remembered(server: OpenAIServer, make: str) -> None:
    server.unwanted = REFUSALS[make]
    async with opened(server) as generator:
        asked = await ask(generator, prompt_of("one two three", sampling=Sampling(max_new_tokens=2, seed=3)))
        assert (asked.text, asked.completion.finish_reason) == ("one two", FinishReason.LENGTH)
        assert len(server.questions) == 1 + len(server.unwanted)
        await ask(generator, prompt_of("again"))
    assert len(server.questions) == 2 + len(server.unwanted)
    assert server.unwanted.keys().isdisjoint(server.questions[-1].body)
    kept = {"model", "messages", "stream", "stream_options", "temperature", "top_p", "user", "prompt_cache_key"}
    assert server.questions[-1].body.keys() >= kept - server.unwanted.keys()


async def test_questions_that_meet_at_a_refusal_are_all_answered(server: OpenAIServer) -> None:
    server.unwanted = REFUSALS["Mistral"]
    async with opened(server, slots=8) as generator:
        answers = await asyncio.gather(*(ask(generator, prompt_of(f"q{n}", conversation=f"c{n}")) for n in range(8)))
    assert [asked.text for asked in answers] == [f"q{n}" for n in range(8)]


async def test_a_refusal_that_does_not_end_is_no_answer(server: OpenAIServer) -> None:
    """Of a field that is always sent the server is told by nobody."""
    server.unwanted = {"messages": openai("max_tokens")}
    async with opened(server) as generator:
        with pytest.raises(GenerationFailed, match="not supported"):
            await ask(generator, prompt_of("hello"))
    assert len(server.questions) == 2


async def test_a_server_that_takes_our_key_again_is_tried_out_with_what_it_takes(server: OpenAIServer) -> None:
    server.key, server.lists_freely = "right", True
    server.unwanted = REFUSALS["OpenAI"]
    async with opened(server, key=SecretStr("wrong")) as generator:
        with pytest.raises(ModelLoadError):
            await ask(generator, prompt_of("hello"))
        server.key = "wrong"
        await until_state(generator, "ready")
        assert server.questions[-1].body["max_completion_tokens"] == 1
        assert (await ask(generator, prompt_of("hello"))).text == "hello"


async def test_a_name_without_a_tag_is_that_of_the_latest(server: OpenAIServer) -> None:
    server.models = [{"id": "llama3.2:1b"}, {"id": "llama3.2:latest"}]
    async with opened(server, model="llama3.2") as generator:
        await ask(generator, prompt_of("hello"))
    assert server.questions[0].body["model"] == "llama3.2:latest"


async def test_what_was_said_is_not_sent_on_to_where_a_server_points(server: OpenAIServer, other: OpenAIServer) -> None:
    server.enqueue(Reply(status=307, headers={"Location": f"{other.url}/chat/completions"}))
    async with opened(server) as generator:
        with pytest.raises(GenerationFailed, match="answered 307"):
            await ask(generator, prompt_of("hello"))
    assert other.requests == []


async def test_with_the_first_of_two_servers_dead_the_second_answers_everybody(
    server: OpenAIServer, other: OpenAIServer
) -> None:
    server.refuse()
    async with opened(server, other) as generator:
        asked = await asyncio.gather(
            *(ask(generator, prompt_of("hello", conversation=f"c{number}")) for number in range(8))
        )
        while not any("cannot be reached" in note for note in generator.status().notes):
            await generator.changed()
    assert {one.text for one in asked} == {"hello"}


async def test_a_server_that_dies_between_two_questions_is_left_for_the_other_and_taken_back(
    server: OpenAIServer, other: OpenAIServer
) -> None:
    async with opened(server, other) as generator:
        await all_ready(generator)
        conversation = await conversation_of(server, generator)
        server.refuse()
        assert (await ask(generator, prompt_of("hello", conversation=conversation))).text == "hello"
        assert "cannot be reached" in generator.status().notes[0]
        server.listen()
        await all_ready(generator)
        before = len(server.questions)
        await ask(generator, prompt_of("back?", conversation=conversation))
        assert len(server.questions) == before + 1


async def test_without_any_server_the_model_is_unavailable_until_one_is_back(server: OpenAIServer) -> None:
    server.models = [{"id": MODEL, "max_model_len": 3000}]
    async with opened(server) as generator:
        server.refuse()
        with pytest.raises(ModelUnavailable, match="cannot be reached"):
            await ask(generator, prompt_of("hello"))
        assert generator.status().state == "unavailable"
        assert generator.status().context_tokens == 3000
        with pytest.raises(ModelUnavailable, match=f"{server.url} cannot be reached"):
            await ask(generator, prompt_of("hello"))
        server.listen()
        await until_state(generator, "ready")
        assert (await ask(generator, prompt_of("hello"))).text == "hello"


async def test_a_server_that_loads_its_model_is_waited_for(server: OpenAIServer) -> None:
    server.not_ready = True
    async with opened(server, until="starting") as generator:
        asking = asyncio.create_task(ask(generator, prompt_of("hello")))
        await server.until(lambda: len(server.requests) > 1)
        assert "Loading model" in generator.status().detail
        assert generator.status().state == "starting"
        server.not_ready = False
        assert (await asking).text == "hello"


async def test_a_server_that_is_not_ready_for_long_is_unavailable(server: OpenAIServer) -> None:
    server.not_ready = True
    async with opened(server, until="unavailable") as generator:
        assert "answered 503: Loading model" in generator.status().detail


@pytest.mark.parametrize("reply", [HANGS, Reply(["one", " two"], hangs_after=1)], ids=["before", "in the middle"])
async def test_leaving_while_an_answer_comes_ends_it(server: OpenAIServer, reply: Reply) -> None:
    server.enqueue(reply)
    async with opened(server) as generator:
        listening = asyncio.create_task(note_words(generator, []))
        await server.until(lambda: len(server.questions) == 1)
    with pytest.raises(ModelUnavailable, match="the service is stopping"):
        await listening


async def test_a_wrong_key_is_told_to_the_operator_without_the_key_and_nobody_is_asked_in_vain() -> None:
    """llama-server and others show their models to everybody, so only an answer proves that the key is right."""
    with OpenAIServer(key="right-key") as server:
        server.lists_freely = True
        async with opened(server, key=SecretStr("wrong-key")) as generator:
            with pytest.raises(ModelLoadError):
                await ask(generator, prompt_of("hello"))
            looks = len(server.requests)
            await server.until(lambda: len(server.requests) > looks + 5)
            assert generator.status().state == "unavailable"
            assert generator.status().detail == f"{server.url} answered 401: Incorrect API key provided: ***"
            assert ["hello"] not in [question.texts for question in server.questions[1:]]
            server.key = "wrong-key"
            await until_state(generator, "ready")
            assert (await ask(generator, prompt_of("hello"))).text == "hello"
