"""The model as the conversation sees it, where it runs elsewhere: a `TextGenerator` over OpenAI-compatible servers.

No worker, no model's files. Several servers with the same model may be named;
each conversation has one of them as long as that one is well.

Covered: servers that refuse, fail, hang, are busy, lose the connection or send
nonsense: another server, or the same one again, is asked as long as nothing was
shown of the answer; afterwards GenerationFailed tells the conversation to begin
anew. One answer's failure touches no other. Servers that cannot be reached, load
their model or ask for a long pause have not failed at a prompt: ModelUnavailable,
and the status says why until one is back.
A history that is too long for the server; a field that it does not take. An end by cancel or deadline, which
closes the connection, at which servers stop computing. Ids of people and chats
never leave this machine.
Not covered: what a server makes of the messages. Its own template decides
whether a person's text can become a control token, its own settings about
repetition, thinking and logging; `repetition_penalty` is no part of the API and
is not sent. `forget` reaches what is kept here, not what a server caches. A
server that ends while nobody asks it is missed at the next question. LoRA
adapters are refused. Proxies of the environment (`HTTPS_PROXY`) are used, as everywhere.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import replace
from types import TracebackType
from typing import Final, Self

from botbridge.answers import Completion, Delta, GeneratorStatus, Prompt, Started
from botbridge.errors import AdapterUnusable, GenerationTimeout, ModelUnavailable
from botbridge.inference.cuts import Cuts
from botbridge.inference.readiness import until_ready
from botbridge.inference.remote_answer import Question, RemoteAnswer
from botbridge.inference.remote_course import Course
from botbridge.inference.remote_history import whole_exchanges
from botbridge.inference.remote_options import RemoteOptions, RemotePatience, base_url
from botbridge.inference.remote_routing import conversation_key, conversation_salt, in_order
from botbridge.inference.remote_watch import ServerWatch, status_of
from botbridge.inference.remote_wire import Chunk, RemoteFault
from botbridge.ports import State
from botbridge.tasks import kept_going

TOKENS_PER_CHAR: Final = 0.25
"""Until it was measured: four characters of English a token. Source: https://platform.openai.com/tokenizer"""

Event = Started | Delta | Completion


class RemoteGenerator:
    """Answers from servers elsewhere.

    Usage:
        async with RemoteGenerator(RemoteOptions(("http://host:8000/v1",), "model"), state) as generator:
            async for event in generator.stream(prompt): ...

    Entering returns at once; `status().state` is `ready` when a server can be asked.
    """

    def __init__(self, options: RemoteOptions, state: State, *, patience: RemotePatience | None = None) -> None:
        """Note whom to ask; nothing is sent yet.

        Args:
            options: Whom to ask for what.
            state: Keeps the secret that hides conversations' names.
            patience: How long to wait for what; None for the defaults.
        """
        self._options = replace(options, urls=tuple(dict.fromkeys(map(base_url, options.urls))))
        self._state = state
        self._patience = patience or RemotePatience()
        self._salt = b""
        self._watches: dict[str, ServerWatch] = {}
        self._watching: list[asyncio.Task[None]] = []
        self._cuts = Cuts()
        self._tokens_per_char = TOKENS_PER_CHAR
        self._changed = asyncio.Event()
        self._is_leaving = False

    async def __aenter__(self) -> Self:
        """Begin to look at the servers.

        Raises:
            StorageUnavailable: the secret for conversations' names cannot be read or kept.
        """
        from botbridge.inference.remote_server import served_by  # noqa: PLC0415 - loads the SDK, which takes a while

        self._salt = await conversation_salt(self._state)
        for server in served_by(self._options.urls, self._options.key, self._patience):
            self._watches[server.url] = ServerWatch(server, self._options, self._patience, self._tell_change)
        self._watching = [
            asyncio.create_task(kept_going(watch.run, f"watch {url}", again_s=self._patience.again.retry_most_s))
            for url, watch in self._watches.items()
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close all connections; answers that still come fail with ModelUnavailable."""
        self._is_leaving = True
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        for watch in self._watches.values():
            await watch.server.close()

    def worker(self) -> None:
        """None: nothing is computed here."""

    def status(self) -> GeneratorStatus:
        """Whether answers can be had now."""
        return status_of(list(self._watches.values()), self._options)

    async def changed(self) -> None:
        """Return when the status is another than at the time of the call."""
        await self._changed.wait()

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Event, None]:
        """Answer: one `Started`, any number of `Delta`, one `Completion` last.

        Servers that are starting are waited for, as long as the deadline allows.

        Raises:
            ModelUnavailable: no server can be asked, and none is about to come; or the service is stopping.
            ModelLoadError: no server takes our key or knows our model.
            PromptTooLong: the newest question alone does not fit.
            GenerationTimeout: the deadline passed.
            AdapterUnusable: the prompt names an adapter; servers elsewhere take none.
            GenerationFailed: no server gave a whole answer, or none takes this prompt; another try may help.

        Cancellation: closing the iterator closes the connection, at which the server stops.
        """
        due_s = time.monotonic() + prompt.deadline_s
        try:
            await self._until_ready(prompt.deadline_s)
            async with aclosing(self._whole_answer(prompt, due_s)) as events:
                async for event in events:
                    yield event
        except TimeoutError as error:
            reason = f": {error}" if str(error) else ""
            raise GenerationTimeout(f"no whole answer within {prompt.deadline_s:g} s{reason}") from error

    async def forget(self, conversation: str) -> None:
        """Drop what is kept of a conversation."""
        self._cuts.forget(conversation)

    async def _until_ready(self, deadline_s: float) -> None:
        async with asyncio.timeout(deadline_s):
            await until_ready(self)

    async def _whole_answer(self, prompt: Prompt, due_s: float) -> AsyncGenerator[Event, None]:
        """Ask servers, one after another, until one has answered or nothing is left to be tried."""
        if prompt.adapter is not None:
            raise AdapterUnusable(f"the adapter {prompt.adapter} cannot be used: the engine remote takes none")
        course = Course(
            Question(
                model=self._options.model,
                key=conversation_key(self._salt, prompt.conversation),
                system=prompt.system,
                turns=self._cuts.apply(prompt.conversation, whole_exchanges(prompt.turns)),
                sampling=prompt.sampling,
                max_tokens=prompt.sampling.max_new_tokens,
            )
        )
        while True:
            watch = await self._next_server(course, due_s)
            question = replace(course.question, model=watch.model)
            answer = RemoteAnswer(question, watch.url, watch.version, self._tokens_per_char)
            try:
                async with aclosing(watch.server.answer(question, due_s)) as chunks:
                    async for chunk in self._until_counted(chunks, answer):
                        for event in answer.take(chunk):
                            yield event
                answer.require_whole()
            except RemoteFault as fault:
                if answer.is_whole:  # only its counts are missing
                    break
                if self._is_leaving:
                    raise ModelUnavailable("the service is stopping") from fault
                was_well = watch.is_well
                watch.failed(fault)
                course.failed(watch.url, fault, begun=answer.begun, was_well=was_well)
            else:
                break
        self._learn(prompt.conversation, answer, is_cut=len(answer.question.turns) < len(prompt.turns))
        watch.answered()
        for last_event in answer.end():
            yield last_event

    async def _until_counted(
        self, chunks: AsyncGenerator[Chunk, None], answer: RemoteAnswer
    ) -> AsyncGenerator[Chunk, None]:
        """Yield what comes, and once the answer is whole only what comes soon: its counts are worth no wait."""
        ends_at_s: float | None = None
        while True:
            if answer.is_whole and ends_at_s is None:
                ends_at_s = asyncio.get_running_loop().time() + self._patience.counts_s
            try:
                async with asyncio.timeout_at(ends_at_s):
                    chunk = await anext(chunks)
            except StopAsyncIteration:
                return
            except TimeoutError:
                if answer.is_whole:
                    return
                raise
            yield chunk

    async def _next_server(self, course: Course, due_s: float) -> ServerWatch:
        """Return the server to ask now, waiting while all that could be asked rest.

        Raises:
            ModelLoadError: None is left that would take our key or knows our model.
            GenerationFailed: None is left, and one of them failed at this prompt.
            ModelUnavailable: None is left, and none has computed anything; or we are leaving.
            TimeoutError: They rest beyond the deadline.
        """
        watches = [self._watches[url] for url in in_order(course.question.key, self._options.urls)]
        while True:
            if self._is_leaving:
                raise ModelUnavailable("the service is stopping")
            now_s = time.monotonic()
            watch = course.next_server(watches, now_s)
            if watch.rests_until_s <= now_s:
                return watch
            if watch.rests_until_s >= due_s:
                raise TimeoutError(course.last.detail if course.last is not None else f"{watch.url} is busy")
            # A server that comes back meanwhile is asked at once.
            with suppress(TimeoutError):
                async with asyncio.timeout(watch.rests_until_s - now_s):
                    await self.changed()

    def _learn(self, conversation: str, answer: RemoteAnswer, *, is_cut: bool) -> None:
        """Keep from a good answer what helps the next ones."""
        question = answer.question
        if is_cut:
            self._cuts.remember(conversation, question.turns)
        if answer.prompt_tokens and question.chars:
            self._tokens_per_char = answer.prompt_tokens / question.chars

    def _tell_change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
