"""An OpenAI-compatible server on loopback that streams, counts, refuses, hangs and breaks off as it is told to.

It keeps the rules of the API: the key is checked; a stream begins with the
role, then come pieces of text, the reason to stop, the usage if it was asked
for, and `[DONE]`; prompts beyond the context are refused in the words of one
make of server or another; a client that hangs up stops the answer.
Not kept: models that think, tools, more than one choice.

A word counts as a token. Raw sockets, because a web framework would not hang or
break off in the middle of a chunk.

Source: https://platform.openai.com/docs/api-reference/chat-streaming; bodies of errors as llama-server and vLLM send.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

MODEL = "parrot-1b"
WAIT_S = 10.0


@dataclass(frozen=True)
class Reply:
    """How the next question is answered.

    Attributes:
        pieces: The answer's text; None repeats the newest message of the person.
        status: HTTP status; other than 200 with `error` as the body.
        headers: Added to the response.
        hangs_after: So many pieces come and then nothing more; -1 hangs before the response begins.
        breaks_after: So many pieces come and then the connection is closed.
        finish_reason: None ends the stream without one.
        hangs_at_end: Nothing comes after the reason to stop, not even the end.
        raw: Sent as the body of the stream instead of all that.
        counts: Whether usage is told.
    """

    pieces: Sequence[str] | None = None
    status: int = 200
    error: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    hangs_after: int | None = None
    breaks_after: int | None = None
    finish_reason: str | None = "stop"
    hangs_at_end: bool = False
    raw: bytes | None = None
    counts: bool = True


@dataclass
class Asked:
    """One request as the ledger keeps it.

    Attributes:
        hung_up: The client closed the connection before the answer's end.
        is_answered: The answer was sent whole.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    hung_up: bool = False
    is_answered: bool = False

    @property
    def texts(self) -> list[str]:
        """What the messages say."""
        return [message["content"] for message in self.body["messages"]]


class _Ended(Exception):
    """The connection is of no more use."""


class OpenAIServer:
    """The server, in a thread with a loop of its own; use it as a context manager.

    Attributes:
        models: What `/v1/models` lists; None answers 404.
        properties: What `/props` answers; None answers 404.
        key: The only one that is accepted; None takes everybody.
        lists_freely: The list of models needs no key, as in llama-server.
        context_tokens: Longer prompts are refused.
        too_long: The body of that refusal.
        not_ready: Everything is answered with 503, as while a model is loaded.
        unwanted: Fields for which a question is refused, each with status and body of the refusal.
        poison: How each question is answered that says `poison`; None as any other.
    """

    def __init__(self, *, key: str | None = None, context_tokens: int = 4096) -> None:
        self.models: list[dict[str, Any]] | None = [{"id": MODEL, "object": "model", "max_model_len": context_tokens}]
        self.properties: dict[str, Any] | None = None
        self.key = key
        self.lists_freely = False
        self.context_tokens = context_tokens
        self.too_long: dict[str, Any] = {
            "message": f"This model's maximum context length is {context_tokens} tokens. Please reduce the length.",
            "type": "BadRequestError",
            "code": 400,
        }
        self.not_ready = False
        self.unwanted: dict[str, tuple[int, Any]] = {}
        self.poison: Reply | None = None
        self.requests: list[Asked] = []
        self._script: deque[Reply] = deque()
        self._known_tokens: dict[str, int] = {}
        self._ledger = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self.listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.refuse()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S)
        self._loop.close()

    @property
    def url(self) -> str:
        """The address below which it speaks the API."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def questions(self) -> list[Asked]:
        """The requests for an answer."""
        return [asked for asked in self.requests if asked.path == "/v1/chat/completions"]

    def enqueue(self, *replies: Reply) -> None:
        """Script how the next questions are answered; without a script each is repeated."""
        self._script.extend(replies)

    def listen(self) -> None:
        """Take connections, at the same port as before."""
        self._do(self._listen())

    def refuse(self) -> None:
        """Take no more connections, and break off those that are open."""
        self._do(self._refuse())

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once the ledger satisfies a condition."""

        def wait() -> bool:
            with self._ledger:
                return self._ledger.wait_for(condition, WAIT_S)

        if not await asyncio.to_thread(wait):
            raise TimeoutError

    def _do(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_S)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while True:  # connections are kept alive
                await self._respond(await self._read(reader), reader, writer)
        except (_Ended, ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()
            with suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _read(self, reader: asyncio.StreamReader) -> Asked:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        method, path, _ = first.split(" ")
        asked = Asked(method, path, headers, json.loads(body) if body else {})
        with self._ledger:
            self.requests.append(asked)
            self._ledger.notify_all()
        return asked

    async def _respond(self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_list = asked.path == "/v1/models"
        is_known = self.key is None or asked.headers.get("authorization") == f"Bearer {self.key}"
        if self.not_ready:
            await _send(writer, 503, {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}})
        elif not is_known and not (is_list and self.lists_freely):
            wrong = asked.headers.get("authorization", "").removeprefix("Bearer ")
            await _send(writer, 401, {"error": {"message": f"Incorrect API key provided: {wrong}", "code": 401}})
        elif is_list and self.models is not None:
            await _send(writer, 200, {"object": "list", "data": self.models})
        elif asked.path == "/props" and self.properties is not None:
            await _send(writer, 200, self.properties)
        elif asked.path == "/v1/chat/completions":
            try:
                await self._answer(asked, reader, writer)
            except ConnectionError:  # the client closed while something was on its way to it
                self._note_hang_up(asked)
                raise
        else:
            await _send(writer, 404, {"error": {"message": "File Not Found", "type": "not_found_error", "code": 404}})

    async def _answer(self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for name in self.unwanted.keys() & asked.body.keys():
            await _send(writer, *self.unwanted[name])
            return
        prompt_tokens = sum(len(text.split()) for text in asked.texts)
        if prompt_tokens + asked.body.get("max_tokens", 1) > self.context_tokens:
            await _send(writer, 400, {"error": self.too_long})
            return
        if self.poison is not None and "poison" in asked.texts[-1]:
            reply = self.poison
        else:
            reply = self._script.popleft() if self._script else Reply()
        if reply.hangs_after == -1:
            await self._hang(asked, reader)
        if reply.status != 200:
            await _send(writer, reply.status, {"error": dict(reply.error)}, reply.headers)
            return
        if not asked.body.get("stream"):
            await _send(writer, 200, {"id": "1", "object": "chat.completion", "model": MODEL, "choices": []})
            return
        writer.write(b"HTTP/1.1 200 OK\r\nServer: parrot\r\nContent-Type: text/event-stream\r\n")
        writer.write(b"Transfer-Encoding: chunked\r\n\r\n")
        if reply.raw is not None:
            await _chunk(writer, reply.raw)
        else:
            await self._stream(reply, asked, prompt_tokens, reader, writer)
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        with self._ledger:
            asked.is_answered = True
            self._ledger.notify_all()

    async def _stream(
        self,
        reply: Reply,
        asked: Asked,
        prompt_tokens: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        pieces = reply.pieces if reply.pieces is not None else asked.texts[-1].split(" ")
        limit = asked.body.get("max_tokens", asked.body.get("max_completion_tokens", len(pieces)))
        is_cut = reply.pieces is None and len(pieces) > limit
        await _event(writer, choices=[{"index": 0, "delta": {"role": "assistant", "content": None}}])
        for place, piece in enumerate(pieces[:limit] if is_cut else pieces):
            if place == reply.hangs_after:
                await self._hang(asked, reader)
            if place == reply.breaks_after:
                raise _Ended
            text = piece if reply.pieces is not None or place == 0 else f" {piece}"
            await _event(writer, choices=[{"index": 0, "delta": {"content": text}}])
        if reply.finish_reason is not None:
            reason = "length" if is_cut else reply.finish_reason
            await _event(writer, choices=[{"index": 0, "delta": {}, "finish_reason": reason}])
        if reply.hangs_at_end:
            await self._hang(asked, reader)
        if reply.counts and asked.body.get("stream_options", {}).get("include_usage"):
            known = self._known_tokens.get(asked.headers.get("x-session-id", ""), 0)
            self._known_tokens[asked.headers.get("x-session-id", "")] = prompt_tokens
            usage = {"prompt_tokens": prompt_tokens, "completion_tokens": min(len(pieces), limit)}
            await _event(writer, choices=[], usage={**usage, "prompt_tokens_details": {"cached_tokens": known}})
        await _chunk(writer, b"data: [DONE]\n\n")

    async def _hang(self, asked: Asked, reader: asyncio.StreamReader) -> None:
        """Do nothing until the client hangs up."""
        await reader.read(1)
        self._note_hang_up(asked)
        raise _Ended

    def _note_hang_up(self, asked: Asked) -> None:
        with self._ledger:
            asked.hung_up = True
            self._ledger.notify_all()


async def _send(writer: asyncio.StreamWriter, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
    content = json.dumps(body).encode()
    lines = {"Server": "parrot", "Content-Type": "application/json", "Content-Length": len(content), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    writer.write(f"HTTP/1.1 {status} Status\r\n{head}\r\n".encode() + content)
    await writer.drain()


async def _event(writer: asyncio.StreamWriter, **fields: Any) -> None:
    event = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "system_fingerprint": "fp_1"}
    await _chunk(writer, f"data: {json.dumps(event | fields)}\n\n".encode())


async def _chunk(writer: asyncio.StreamWriter, content: bytes) -> None:
    writer.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")
    await writer.drain()
