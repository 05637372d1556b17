"""One OpenAI-compatible server: the only module that knows the SDK.

Covered: nothing of the environment but proxies and certificates reaches a
request (no `OPENAI_*` variable; `OPENAI_LOG` is read by the SDK when it is
imported and overruled here); the SDK's own retries, its redirects and its
headers about this machine are off; every failure becomes a `RemoteFault` with
one sentence that does not hold the key.
Not covered: a server that quotes people in its error message; its first 200
characters reach the log.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final, TypeVar

import httpx2
from openai import (
    APIConnectionError,
    APIError,
    APIStatusError,
    AsyncOpenAI,
    AsyncStream,
    Omit,
    OpenAIError,
    omit,
)
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam
from pydantic import SecretStr

from botbridge import __version__
from botbridge.answers import Role, Turn
from botbridge.inference.remote_answer import Question
from botbridge.inference.remote_fields import OPTIONAL, refused_field
from botbridge.inference.remote_options import RemotePatience
from botbridge.inference.remote_wire import (
    Chunk,
    Fault,
    Offer,
    RemoteFault,
    fault_of_status,
    in_short,
    pause_of,
    read_context,
    read_models,
)
from botbridge.logs import Redaction

SESSION_HEADER: Final = "X-Session-Id"
"""What proxies and routers hash to keep a conversation with a server. Source: docs of Caddy, LLM Gateway, Bifrost."""

NO_KEY: Final = "none"
"""The SDK wants some key; where there is none, the header that would carry it is left out."""

WRITE_S: Final = 30.0

T = TypeVar("T")

log = logging.getLogger(__name__)


def _if_taken(name: str, value: T, refused: frozenset[str]) -> T | Omit:
    return omit if name in refused else value


def _message(turn: Turn) -> ChatCompletionMessageParam:
    match turn.role:
        case Role.SYSTEM:
            return {"role": "system", "content": turn.text}
        case Role.USER:
            return {"role": "user", "content": turn.text}
        case Role.ASSISTANT:
            return {"role": "assistant", "content": turn.text}


class _Client(AsyncOpenAI):
    """The SDK's client, which says of us only who we are."""

    @property
    def default_headers(self) -> dict[str, str | Omit]:
        return {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "User-Agent": f"botbridge/{__version__}",
        }


class RemoteServer:
    """Asks one server; every method raises RemoteFault."""

    def __init__(self, url: str, key: SecretStr | None, patience: RemotePatience) -> None:
        """Note where it is; nothing is sent yet.

        Args:
            url: The address below which it speaks the API, as `base_url` makes it.
            key: Sent as a bearer token; None sends none.
            patience: How long to wait for what.
        """
        self.url = url
        self._patience = patience
        secret = key.get_secret_value() if key is not None else ""
        self._redact = Redaction([secret])
        self._refused: frozenset[str] = frozenset()
        self._headers: dict[str, str | Omit] = {"x-stainless-retry-count": omit}
        if not secret:
            self._headers["Authorization"] = omit
        # Reading has no limit here: how long a token may take is decided in `_next`.
        timeout = httpx2.Timeout(WRITE_S, connect=patience.connect_s, read=None, pool=None)
        self._client = _Client(
            api_key=secret or NO_KEY,
            admin_api_key="",
            organization="",
            project="",
            webhook_secret="",
            base_url=url,
            timeout=timeout,
            max_retries=0,
            http_client=httpx2.AsyncClient(
                timeout=timeout, limits=httpx2.Limits(max_connections=None), follow_redirects=False
            ),
        )

    async def close(self) -> None:
        """Drop all connections."""
        await self._client.close()

    async def look(self) -> Offer:
        """Ask for its models, and for their context where it tells that."""
        with self._faults():
            try:
                found = await self._soon(self._client.models.with_raw_response.list(extra_headers=self._headers))
            except APIStatusError as error:
                if error.status_code in {404, 405}:  # a server that does not list its models
                    return Offer({}, error.response.headers.get("server", ""))
                raise
            models = read_models(found.http_response.json())
            if None in models.values() and (context_tokens := await self._slot_context()) is not None:
                models = {name: told or context_tokens for name, told in models.items()}
            return Offer(models, found.headers.get("server", ""))

    async def try_out(self, model: str) -> None:
        """Have it compute one token; a list of models may be there for everybody, answers are not."""

        async def ask(refused: frozenset[str]) -> object:
            return await self._client.chat.completions.create(
                model=model,
                messages=[{"role": "user", "content": "Hello"}],
                extra_headers=self._headers,
                max_tokens=_if_taken("max_tokens", 1, refused),
                max_completion_tokens=1 if "max_tokens" in refused else omit,
            )

        with self._faults():
            await self._within(self._without_refused(ask), self._patience.first_token_s)

    async def answer(self, question: Question, due_s: float) -> AsyncGenerator[Chunk, None]:
        """Yield the events of an answer as they come.

        Args:
            question: What is asked.
            due_s: When nobody waits any more, on the monotonic clock; TimeoutError then.

        Cancellation: closing the generator closes the connection, at which the server stops.
        """

        async def ask(refused: frozenset[str]) -> AsyncStream[ChatCompletionChunk]:
            limit = omit if question.max_tokens is None else question.max_tokens
            seed = omit if question.sampling.seed is None else question.sampling.seed
            return await self._client.chat.completions.create(
                model=question.model,
                messages=[_message(turn) for turn in question.spoken],
                stream=True,
                stream_options=omit if "stream_options" in refused else {"include_usage": True},
                max_tokens=_if_taken("max_tokens", limit, refused),
                max_completion_tokens=limit if "max_tokens" in refused else omit,
                temperature=_if_taken("temperature", question.sampling.temperature, refused),
                top_p=_if_taken("top_p", question.sampling.top_p, refused),
                seed=_if_taken("seed", seed, refused),
                user=_if_taken("user", question.key, refused),
                prompt_cache_key=_if_taken("prompt_cache_key", question.key, refused),
                extra_headers=self._headers | {SESSION_HEADER: question.key},
            )

        with self._faults():
            stream = await self._next(self._without_refused(ask), self._patience.first_token_s, due_s)
            limit_s = self._patience.first_token_s
            try:
                while True:
                    try:
                        event = await self._next(anext(stream), limit_s, due_s)
                    except StopAsyncIteration:
                        return
                    yield Chunk.model_validate(event)
                    limit_s = self._patience.between_tokens_s
            finally:
                await stream.close()

    async def _without_refused(self, ask: Callable[[frozenset[str]], Awaitable[T]]) -> T:
        """Ask, and ask again without each field for which the server refuses that; it is not sent any more then."""
        while True:
            refused = self._refused
            try:
                return await ask(refused)
            except APIStatusError as error:
                reason = f"{error.param} {error.body}"
                name = refused_field(error.status_code, reason, [name for name in OPTIONAL if name not in refused])
                if name is None:
                    raise
                if name not in self._refused:
                    told = self._told(reason)
                    log.warning("%s does not take %s, which it is not sent any more: %s", self.url, name, told)
                self._refused |= {name}

    async def _slot_context(self) -> int | None:
        """Ask as llama-server wants to be asked; every other server will not know."""
        properties = re.sub(r"/v\d+$", "", self.url) + "/props"
        try:
            found = await self._soon(
                self._client.get(properties, cast_to=object, options={"headers": self._headers}),
            )
            return read_context(found)
        except (APIError, ValueError):
            return None

    async def _soon(self, work: Awaitable[T]) -> T:
        return await self._within(work, self._patience.look_s)

    async def _next(self, work: Awaitable[T], limit_s: float, due_s: float) -> T:
        """Wait for the next sign of an answer, at most until the prompt's deadline.

        Raises:
            TimeoutError: The deadline passed.
        """
        left_s = due_s - time.monotonic()
        if left_s > limit_s:
            return await self._within(work, limit_s)
        async with asyncio.timeout(left_s):
            return await work

    async def _within(self, work: Awaitable[T], limit_s: float) -> T:
        try:
            async with asyncio.timeout(limit_s):
                return await work
        except TimeoutError as error:
            raise RemoteFault(Fault.SILENT, f"{self.url} gave no sign of an answer for {limit_s:g} s") from error

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Turn what the SDK raises into our own; most specific first."""
        try:
            yield
        except APIStatusError as error:
            raise self._of_status(error) from error
        except APIConnectionError as error:
            cause = error.__cause__
            is_down = isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout)
            raise RemoteFault(
                Fault.UNREACHABLE if is_down else Fault.FAILED,
                f"{self.url} cannot be reached: {self._told(cause)}"
                if is_down
                else f"{self.url} broke the connection off: {self._told(cause)}",
            ) from error
        except APIError as error:  # an error event inside a stream
            fault = fault_of_status(400, f"{error.code} {error.type}", error.message, says_when=False)
            raise RemoteFault(
                fault if fault is Fault.TOO_LONG else Fault.FAILED,
                f"{self.url} failed while it answered: {self._told(error.message)}",
            ) from error
        except (ValueError, OpenAIError) as error:
            raise RemoteFault(Fault.FAILED, f"{self.url} sent what is no answer: {self._told(error)}") from error

    def _of_status(self, error: APIStatusError) -> RemoteFault:
        body = error.body if isinstance(error.body, dict) else {}
        message = str(body.get("message") or error.message)
        pause_s = pause_of(error.response.headers, datetime.now(UTC))
        fault = fault_of_status(error.status_code, f"{error.code} {error.type}", message, says_when=pause_s is not None)
        return RemoteFault(fault, f"{self.url} answered {error.status_code}: {self._told(message)}", pause_s)

    def _told(self, reason: object) -> str:
        return in_short(self._redact(str(reason) or type(reason).__name__))


def served_by(urls: Sequence[str], key: SecretStr | None, patience: RemotePatience) -> list[RemoteServer]:
    """Return a server for each address."""
    # Its debug lines are many; `OPENAI_LOG` may have asked for them while it was imported.
    logging.getLogger("openai").setLevel(logging.WARNING)
    return [RemoteServer(url, key, patience) for url in urls]
