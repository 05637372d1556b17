"""The model as the conversation sees it: a `TextGenerator` over the worker process."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from types import TracebackType
from typing import Self

from botbridge.answers import Completion, Delta, GeneratorStatus, Prompt, RequestId, Started
from botbridge.errors import (
    AdapterUnusable,
    GenerationFailed,
    GenerationTimeout,
    InferenceError,
    PromptTooLong,
    WorkerDied,
)
from botbridge.health import WorkerHealth
from botbridge.inference.options import EngineOptions, Patience
from botbridge.inference.protocol import (
    Cancel,
    DeltaMessage,
    Done,
    Failed,
    FailureKind,
    Forget,
    FromWorker,
    Generate,
    StartedMessage,
)
from botbridge.inference.readiness import until_ready
from botbridge.inference.supervisor import Prepare, ProtocolBroken, Supervisor

FAILURES: dict[FailureKind, type[InferenceError]] = {
    FailureKind.PROMPT_TOO_LONG: PromptTooLong,
    FailureKind.ADAPTER: AdapterUnusable,
    FailureKind.DEADLINE: GenerationTimeout,
    FailureKind.ENGINE: GenerationFailed,
}

_Arrival = Started | Delta | Completion | InferenceError


class WorkerClient:
    """Answers from a worker process that this object starts, watches and restarts.

    Usage:
        async with WorkerClient(prepare, EngineOptions()) as generator:
            async for event in generator.stream(prompt): ...

    Entering returns at once; the model is there when `status().state` is
    `ready`. On leaving no process is left.
    """

    def __init__(self, prepare: Prepare | None, options: EngineOptions, *, patience: Patience | None = None) -> None:
        """Note how to work; nothing is started yet.

        Args:
            prepare: Gets the model's files, downloading them if need be; called
                before every start, repeated with growing pauses when it raises a
                ModelError. None for an engine without a model.
            options: How the model is run.
            patience: How long to wait for what; None for the defaults.
        """
        self._held: dict[RequestId, asyncio.Queue[_Arrival]] = {}
        self._serial = itertools.count(1)
        self._supervisor = Supervisor(
            prepare, options, patience or Patience(), deliver=self._deliver, lost=self._fail_held
        )
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin to start the worker."""
        self._running = asyncio.create_task(self._supervisor.run(), name="worker supervisor")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the worker; requests that it still holds fail with WorkerDied."""
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running
        self._fail_held("the service is stopping")

    @property
    def worker_pid(self) -> int | None:
        """The process id of the current worker, None between two of them."""
        return self._supervisor.pid

    def worker(self) -> WorkerHealth | None:
        """The signs of life of the worker, None between two of them."""
        return self._supervisor.signs

    def status(self) -> GeneratorStatus:
        """Whether answers can be had now."""
        return self._supervisor.status

    async def changed(self) -> None:
        """Return when the status is another than at the time of the call."""
        await self._supervisor.changed()

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Started | Delta | Completion, None]:
        """Answer: one `Started`, any number of `Delta`, one `Completion` last.

        A worker that is starting is waited for, as long as the deadline allows.

        Raises:
            ModelUnavailable: there is no model to answer, and none is about to come.
            PromptTooLong: the newest turn alone does not fit.
            AdapterUnusable: the adapter is not here, or cannot be used.
            GenerationTimeout: the deadline passed.
            GenerationFailed: the engine raised.
            WorkerDied: the worker ended while it held the request; another try may help.

        Cancellation: closing the iterator stops the computation after the current token.
        """
        deadline_s = await self._wait_until_ready(prompt.deadline_s)
        request_id = RequestId(f"{prompt.request_id}/{next(self._serial)}")
        arrivals: asyncio.Queue[_Arrival] = asyncio.Queue()
        self._held[request_id] = arrivals  # before the worker can answer
        ended = False
        try:
            self._supervisor.put(
                Generate(
                    request_id,
                    self._supervisor.number,
                    conversation=prompt.conversation,
                    system=prompt.system,
                    turns=prompt.turns,
                    sampling=prompt.sampling,
                    deadline_s=deadline_s,
                    adapter=prompt.adapter,
                )
            )
            while not ended:
                arrival = await arrivals.get()
                ended = isinstance(arrival, Completion | InferenceError)
                if isinstance(arrival, InferenceError):
                    raise arrival
                yield arrival
        finally:
            if not ended and request_id in self._held:
                self._supervisor.put(Cancel(request_id))

    async def forget(self, conversation: str) -> None:
        """Drop what is cached for a conversation."""
        self._supervisor.put(Forget(conversation))

    async def _wait_until_ready(self, deadline_s: float) -> float:
        """Return how much of the deadline is left when the worker is ready."""
        due_s = time.monotonic() + deadline_s
        try:
            async with asyncio.timeout(deadline_s):
                await until_ready(self)
        except TimeoutError as error:
            raise GenerationTimeout("the model was not ready before the deadline") from error
        return due_s - time.monotonic()

    def _deliver(self, message: FromWorker) -> None:
        """Hand a message to whoever waits for it.

        Raises:
            ProtocolBroken: nobody asked for it.
        """
        match message:
            case StartedMessage():
                self._arrived(
                    message.request_id, Started(message.prompt_tokens, message.cached_tokens, message.used_turns)
                )
            case DeltaMessage():
                self._arrived(message.request_id, Delta(message.text, message.completion_tokens))
            case Done():
                self._arrived(message.request_id, Completion(message.finish_reason, message.provenance))
                del self._held[message.request_id]
                self._supervisor.succeeded()
            case Failed():
                self._arrived(message.request_id, FAILURES[message.kind](message.detail))
                del self._held[message.request_id]

    def _arrived(self, request_id: RequestId, arrival: _Arrival) -> None:
        if request_id not in self._held:
            raise ProtocolBroken("spoke of a request that it does not hold")
        self._held[request_id].put_nowait(arrival)

    def _fail_held(self, reason: str) -> None:
        """Fail every request that the ended worker held; there are no others."""
        for arrivals in self._held.values():
            arrivals.put_nowait(WorkerDied(reason))
        self._held.clear()
