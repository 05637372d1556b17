"""A real llama-server with the real embedded model, behind the engine `remote`."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
import xllamacpp
from pydantic import SecretStr

from botbridge.answers import Delta, FinishReason, Sampling
from botbridge.errors import ModelLoadError, PromptTooLong
from botbridge.inference.remote import RemoteGenerator
from botbridge.inference.remote_options import RemoteOptions
from botbridge.models.catalogue import load_catalogue
from botbridge.models.store import ModelStore
from botbridge.setting_groups import DEFAULT_MODEL
from botbridge.storage.memory import InMemoryState
from botbridge.storage.memory_store import InMemoryStore
from tests.fakes.asking import ask, prompt_of, until_state
from tests.fakes.remote_generator import PATIENCE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

KEY = "sk-llama"
CONTEXT_TOKENS = 512
SYSTEM = "You are a helpful assistant."
GREEDY = Sampling(max_new_tokens=24, temperature=0, seed=1)


@pytest.fixture(scope="module")
def llama_server(model_home: Path) -> Iterator[str]:
    """The server's address; its model bears the catalogue's name."""
    files = ModelStore(model_home).find(load_catalogue().resolve(DEFAULT_MODEL))
    assert files.gguf is not None
    params = xllamacpp.CommonParams()
    params.model.path = str(files.gguf)
    params.model_alias = {DEFAULT_MODEL}
    params.api_keys = [KEY]
    params.n_ctx = CONTEXT_TOKENS
    params.n_parallel = 1
    params.endpoint_metrics = True
    params.cpuparams.n_threads = 2
    params.warmup = False
    params.port = 0
    server = xllamacpp.Server(params)
    yield server.listening_address
    del server


@asynccontextmanager
async def remote(url: str, key: str = KEY, model: str = DEFAULT_MODEL) -> AsyncIterator[RemoteGenerator]:
    """The engine over this server."""
    options = RemoteOptions((url,), model, key=SecretStr(key))
    async with RemoteGenerator(options, InMemoryState(InMemoryStore()), patience=PATIENCE) as generator:
        yield generator


def predicted_tokens(url: str) -> int:
    """How many tokens the server has computed for answers so far."""
    with urlopen(Request(f"{url}/metrics", headers={"Authorization": f"Bearer {KEY}"})) as response:
        (line,) = re.findall(r"^llamacpp:tokens_predicted_total (\d+)$", response.read().decode(), re.MULTILINE)
    return int(line)


async def test_it_knows_the_capital_of_france_and_goes_on_from_there(llama_server: str) -> None:
    """The second turn does not read the first again, and the server says so."""
    question = "What is the capital of France?"
    async with remote(llama_server) as generator:
        await until_state(generator, "ready")
        assert generator.status().context_tokens == CONTEXT_TOKENS
        first = await ask(generator, prompt_of(question, system=SYSTEM, sampling=GREEDY, deadline_s=120))
        more = await ask(
            generator, prompt_of(question, first.text, "And of Spain?", system=SYSTEM, sampling=GREEDY, deadline_s=120)
        )
    assert "Paris" in first.text
    assert first.completion.finish_reason is FinishReason.STOP
    known, origin = first.completion.provenance, more.completion.provenance
    assert (origin.engine, origin.model) == ("remote", DEFAULT_MODEL)
    assert origin.cached_tokens >= known.prompt_tokens
    assert origin.prompt_tokens - origin.cached_tokens < known.prompt_tokens
    assert known.completion_tokens > 3


async def test_closing_the_iterator_stops_the_server(llama_server: str) -> None:
    """Its only slot is free for another question long before the first one's answer would have ended."""
    sampling = Sampling(max_new_tokens=300, temperature=0, seed=1)
    before = predicted_tokens(llama_server)
    async with remote(llama_server) as generator:
        await until_state(generator, "ready")
        async with aclosing(generator.stream(prompt_of("Write a long story.", sampling=sampling))) as events:
            async for event in events:
                if isinstance(event, Delta):
                    break
        asked = await ask(generator, prompt_of("Hello!", sampling=GREEDY, deadline_s=120))
    assert asked.text
    assert predicted_tokens(llama_server) - before < 100


async def test_a_history_beyond_its_context_is_cut_and_a_question_beyond_it_refused(llama_server: str) -> None:
    talk = ["word " * 20 + str(place) for place in range(31)]
    async with remote(llama_server) as generator:
        await until_state(generator, "ready")
        asked = await ask(generator, prompt_of(*talk, system=SYSTEM, sampling=GREEDY, deadline_s=120))
        assert 1 < asked.started.used_turns < 31
        assert asked.completion.provenance.prompt_tokens < CONTEXT_TOKENS
        with pytest.raises(PromptTooLong, match="exceeds the available context size"):
            await ask(generator, prompt_of("word " * 600, sampling=GREEDY))


async def test_a_wrong_key_and_a_wrong_model_are_told(llama_server: str) -> None:
    async with remote(llama_server, key="sk-canary") as generator:
        with pytest.raises(ModelLoadError, match="answered 401: Invalid API Key"):
            await ask(generator, prompt_of("hello"))
    async with remote(llama_server, model="gpt-9") as generator:
        with pytest.raises(ModelLoadError, match=f"has no model 'gpt-9' .*; it has '{DEFAULT_MODEL}'"):
            await ask(generator, prompt_of("hello"))
