"""The worker's loop: receive, admit, step, report."""

from __future__ import annotations

import secrets
import time
from collections import deque
from dataclasses import dataclass, replace
from hashlib import sha256
from multiprocessing.queues import Queue
from queue import Empty

from botbridge.answers import FinishReason, Provenance, RequestId, Sampling
from botbridge.errors import AdapterUnusable, PromptTooLong
from botbridge.inference.adapters import usable_revision
from botbridge.inference.cuts import Cuts
from botbridge.inference.engines.base import Engine, EngineInfo, TokenEvent, describe
from botbridge.inference.protocol import (
    Cancel,
    DeltaMessage,
    Done,
    Failed,
    FailureKind,
    Forget,
    FromWorker,
    Generate,
    Shutdown,
    StartedMessage,
    ToWorker,
)

SEED_BITS = 32
WORDS_EVERY_S = 0.04
"""People see no difference to every token by itself; the two processes do, which share the cores with the model."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A request that is not admitted yet; `due_s` is on the monotonic clock."""

    job: Generate
    due_s: float


@dataclass(slots=True)
class _Running:
    """A request in the engine, all of its provenance but the ids to come, and the words that were not sent yet."""

    due_s: float
    provenance: Provenance
    unsent: str = ""
    completion_tokens: int = 0
    has_spoken: bool = False


def prompt_hash(ids: tuple[int, ...]) -> str:
    """Hash prompt ids as little-endian int64.

    >>> prompt_hash(())[:8]
    'e3b0c442'
    """
    return sha256(b"".join(token_id.to_bytes(8, "little", signed=True) for token_id in ids)).hexdigest()


class WorkerLoop:
    """Holds requests and moves them through an engine. Every `Generate` ends in one `Done` or `Failed`."""

    def __init__(
        self,
        engine: Engine,
        info: EngineInfo,
        *,
        generation: int,
        slots: int,
        model: str,
        revision: str,
        jobs: Queue[ToWorker],
        results: Queue[FromWorker],
        words_every_s: float = WORDS_EVERY_S,
    ) -> None:
        self.model = model
        self.revision = revision
        self._engine = engine
        self._info = info
        self._generation = generation
        self._slots = slots
        self._jobs = jobs
        self._results = results
        self._waiting: deque[_Waiting] = deque()
        self._running: dict[RequestId, _Running] = {}
        self._cuts = Cuts()
        self._stopping = False
        self._words_every_s = words_every_s
        self._words_due_s = 0.0

    def progress(self) -> tuple[int, int]:
        """How many requests are held, and the engine's count of tokens; safe to call from another thread."""
        return len(self._running) + len(self._waiting), self._engine.stats().tokens_total

    def run(self) -> None:
        """Work until a `Shutdown` arrives."""
        while True:
            self._receive()
            if self._stopping:
                return
            self._admit()
            self._report(self._engine.step())

    def _receive(self) -> None:
        """Take every message that has arrived; wait for one only when there is nothing to do."""
        block = not (self._running or self._waiting)
        while not self._stopping:
            try:
                message = self._jobs.get(block)
            except Empty:
                return
            block = False
            self._handle(message)

    def _handle(self, message: ToWorker) -> None:
        match message:
            case Generate():
                if message.generation == self._generation:
                    self._waiting.append(_Waiting(message, time.monotonic() + message.deadline_s))
            case Cancel(request_id):
                self._cancel(request_id)
            case Forget(conversation):
                self._engine.forget(conversation)
                self._cuts.forget(conversation)
            case Shutdown():
                self._stopping = True

    def _cancel(self, request_id: RequestId) -> None:
        if request_id in self._running:
            self._send_words(request_id)
            running = self._running.pop(request_id)
            ids = self._engine.cancel(request_id)
            self._done(request_id, FinishReason.CANCELLED, replace(running.provenance, completion_ids=ids))
            return
        for waiting in self._waiting:
            if waiting.job.request_id == request_id:
                self._waiting.remove(waiting)
                self._done(request_id, FinishReason.CANCELLED, self._provenance(waiting.job.sampling))
                return

    def _admit(self) -> None:
        """Give the engine what it has room for, and give up what nobody waits for any more."""
        now_s = time.monotonic()
        for waiting in [waiting for waiting in self._waiting if now_s >= waiting.due_s]:
            self._waiting.remove(waiting)
            self._fail(waiting.job.request_id, FailureKind.DEADLINE, "the deadline passed before it was begun")
        for request_id in [request_id for request_id, running in self._running.items() if now_s >= running.due_s]:
            del self._running[request_id]
            self._engine.cancel(request_id)
            self._fail(request_id, FailureKind.DEADLINE, "the deadline passed while the answer was computed")
        while self._waiting and len(self._running) < self._slots:
            waiting = self._waiting.popleft()
            try:
                self._submit(waiting)
            except AdapterUnusable as error:
                self._fail(waiting.job.request_id, FailureKind.ADAPTER, str(error))
            except PromptTooLong as error:
                self._fail(waiting.job.request_id, FailureKind.PROMPT_TOO_LONG, str(error))
            except Exception as error:  # noqa: BLE001 - whatever an engine does wrong must end one request only
                self._fail(waiting.job.request_id, FailureKind.ENGINE, describe(error))

    def _submit(self, waiting: _Waiting) -> None:
        job = waiting.job
        adapter_revision = usable_revision(job.adapter, self._info.adapters)
        seed = secrets.randbits(SEED_BITS) if job.sampling.seed is None else job.sampling.seed
        turns = self._cuts.apply(job.conversation, job.turns)
        prompt = self._engine.prompt(job.system, turns, job.sampling.max_new_tokens)
        if prompt.used_turns < len(job.turns):
            self._cuts.remember(job.conversation, turns[-prompt.used_turns :])
        sampling = replace(job.sampling, max_new_tokens=prompt.max_new_tokens, seed=seed)
        cached_tokens = self._engine.submit(job.request_id, job.conversation, prompt, sampling, job.adapter)
        provenance = replace(
            self._provenance(sampling, prompt.ids, cached_tokens, prompt.used_turns),
            adapter=job.adapter,
            adapter_revision=adapter_revision,
        )
        self._running[job.request_id] = _Running(waiting.due_s, provenance)
        self._results.put(
            StartedMessage(self._generation, job.request_id, len(prompt.ids), cached_tokens, prompt.used_turns)
        )

    def _report(self, events: list[TokenEvent]) -> None:
        for event in events:
            running = self._running[event.request_id]
            running.unsent += event.text
            running.completion_tokens = event.completion_tokens
            if event.is_last:
                self._send_words(event.request_id)
                self._end(event)
            elif not running.has_spoken:
                self._send_words(event.request_id)
        if (now_s := time.monotonic()) >= self._words_due_s:
            self._words_due_s = now_s + self._words_every_s
            for request_id in self._running:
                self._send_words(request_id)

    def _send_words(self, request_id: RequestId) -> None:
        running = self._running[request_id]
        if running.unsent:
            self._results.put(DeltaMessage(self._generation, request_id, running.unsent, running.completion_tokens))
            running.unsent, running.has_spoken = "", True

    def _end(self, event: TokenEvent) -> None:
        running = self._running.pop(event.request_id)
        if event.finish_reason is None:
            self._fail(event.request_id, FailureKind.ENGINE, event.failure or "")
            return
        provenance = replace(running.provenance, completion_ids=event.completion_ids, margins=event.margins)
        self._done(event.request_id, event.finish_reason, provenance)

    def _done(self, request_id: RequestId, reason: FinishReason, provenance: Provenance) -> None:
        self._results.put(Done(self._generation, request_id, reason, provenance))

    def _fail(self, request_id: RequestId, kind: FailureKind, detail: str) -> None:
        self._results.put(Failed(self._generation, request_id, kind, detail))

    def _provenance(
        self, sampling: Sampling, prompt_ids: tuple[int, ...] = (), cached_tokens: int = 0, used_turns: int = 0
    ) -> Provenance:
        return Provenance(
            model=self.model,
            revision=self.revision,
            engine=self._info.name,
            engine_version=self._info.version,
            sampling=sampling,
            prompt_hash=prompt_hash(prompt_ids),
            prompt_tokens=len(prompt_ids),
            cached_tokens=cached_tokens,
            used_turns=used_turns,
            completion_ids=(),
        )
