"""Keeps one worker running: starts it, watches it, kills it when it hangs, starts the next.

Covered: death by exit, signal and hang; a worker that breaks the protocol; a
model that cannot be had or loaded; an engine that takes the worker with it
while it loads, where `auto` has others; each generation with queues of its own, so
that nothing of an older one can arrive late; a kill by the kernel for want of
memory is told from one by somebody.
Not covered: which request was to blame (the caller sees what each death failed).
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from botbridge.answers import GeneratorState, GeneratorStatus
from botbridge.errors import ModelError
from botbridge.health import WorkerHealth
from botbridge.inference.engines.base import describe
from botbridge.inference.exits import MemoryFacts, MemoryWitness, explain_exit, killed_by_somebody
from botbridge.inference.generation import Generation, Undecodable
from botbridge.inference.options import EngineOptions, Patience
from botbridge.inference.protocol import FromWorker, Heartbeat, LoadFailed, Loading, Ready, Shutdown, ToWorker
from botbridge.inference.vigil import Vigil, retry_pause_s
from botbridge.inference.worker import Assignment
from botbridge.models.files import ModelFiles
from botbridge.resources import ROOT
from botbridge.tasks import kept_going

FAILURES_UNTIL_UNAVAILABLE = 3

log = logging.getLogger(__name__)

Prepare = Callable[[], Awaitable[ModelFiles]]


class ProtocolBroken(Exception):
    """The worker sent what it must not send; it is not to be believed any more."""


class Supervisor:
    """Runs workers one after another until it is cancelled."""

    def __init__(
        self,
        prepare: Prepare | None,
        options: EngineOptions,
        patience: Patience,
        *,
        deliver: Callable[[FromWorker], None],
        lost: Callable[[str], None],
        root: Path = ROOT,
    ) -> None:
        """Note how to work; `run` does it.

        Args:
            prepare: Gets the model's files; None for an engine without a model.
            options: How the model is run.
            patience: How long to wait for what.
            deliver: Takes a message about a request; raises `ProtocolBroken`.
            lost: Takes the reason when a worker has ended; nothing more comes from it.
            root: Where the kernel's files lie, which tell of a want of memory.
        """
        self._prepare = prepare
        self._options = options
        self._patience = patience
        self._deliver = deliver
        self._lost = lost
        self._root = root
        self._number = 0
        self._generation: Generation | None = None
        self._failures = 0
        self._loading = ""
        self._fatal_engines: dict[str, str] = {}
        self._vigil = Vigil(patience)
        self._verdict = ""
        self._status = GeneratorStatus(GeneratorState.STARTING, "The model is being prepared.")
        self._changed = asyncio.Event()

    @property
    def number(self) -> int:
        """The number of the current generation, counted from 1."""
        return self._number

    @property
    def pid(self) -> int | None:
        """The process id of the current worker, None between two of them."""
        return self._generation.pid if self._generation is not None else None

    @property
    def signs(self) -> WorkerHealth | None:
        """The signs of life of the current worker, None between two of them."""
        return self._vigil.signs if self._generation is not None else None

    @property
    def status(self) -> GeneratorStatus:
        """What is true now."""
        return self._status

    async def changed(self) -> None:
        """Return when the status is another than at the time of the call."""
        await self._changed.wait()

    def put(self, message: ToWorker) -> None:
        """Send a message to the worker, if there is one."""
        if self._generation is not None:
            self._generation.put(message)

    def succeeded(self) -> None:
        """Note a good answer: the next failure counts as the first."""
        self._failures = 0

    async def run(self) -> None:
        """Keep a worker running; whatever goes wrong is said, and tried again after a pause.

        Cancellation: the worker is asked to leave, then killed; no process is left.
        """
        while True:
            try:
                await self._run_generation(await self._prepare() if self._prepare is not None else None)
            except ModelError as error:
                log.warning("The model cannot be had: %s", error)
                self._miss(str(error))
            except Exception as error:
                detail = describe(error)
                log.exception("The worker cannot be started: %s", detail)
                self._miss(detail)
            await asyncio.sleep(retry_pause_s(self._failures, self._patience, random.random()))  # noqa: S311

    def _miss(self, detail: str) -> None:
        """There is no worker, and the next attempt may end alike."""
        self._failures += 1
        self._set_status(GeneratorStatus(GeneratorState.UNAVAILABLE, detail))
        self._lost(detail)

    async def _run_generation(self, files: ModelFiles | None) -> None:
        self._number += 1
        self._vigil = Vigil(self._patience)
        self._verdict = self._loading = ""
        assignment = Assignment(
            self._number,
            self._options,
            files,
            self._patience.heartbeat_s,
            fatal_engines=tuple(self._fatal_engines.items()),
        )
        number = self._number
        generation = Generation(assignment, lambda message: self._receive(number, message))
        self._generation = generation
        log.info("Worker %d started with process id %s.", number, generation.pid)
        witness = MemoryWitness(generation.pid, self._root)
        look = partial(self._watch, witness)
        watch = asyncio.create_task(kept_going(look, "worker watch", again_s=self._patience.heartbeat_s))
        try:
            exit_code = await generation.ended()
        except asyncio.CancelledError:
            await self._shut_down(generation)
            raise
        finally:
            watch.cancel()
            self._generation = None
            generation.close()
        self._after(exit_code, witness.facts())

    def _after(self, exit_code: int, memory: MemoryFacts) -> None:
        reason = f"worker {self._number} {self._verdict or explain_exit(exit_code, memory)}"
        log.error("The %s.", reason)
        if self._loading and (self._verdict or not killed_by_somebody(exit_code, memory)):
            self._fatal_engines[self._loading] = reason
        self._failures += 1
        if self._status.state is not GeneratorState.UNAVAILABLE:
            is_to_come = self._failures < FAILURES_UNTIL_UNAVAILABLE
            state = GeneratorState.STARTING if is_to_come else GeneratorState.UNAVAILABLE
            self._set_status(GeneratorStatus(state, f"The {reason}; another one is being started."))
        self._lost(reason)

    async def _watch(self, witness: MemoryWitness) -> None:
        while True:
            witness.look()
            await asyncio.sleep(self._patience.heartbeat_s)
            verdict = self._vigil.look()
            if verdict is not None:
                self._condemn(verdict)

    def _condemn(self, verdict: str) -> None:
        """Kill the worker; what it still sends is dropped. One that told why it ends may hang on its way out."""
        if self._generation is not None:
            self._verdict = self._verdict or f"{verdict} and was killed"
            self._generation.kill()

    async def _shut_down(self, generation: Generation) -> None:
        generation.put(Shutdown())
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience.shutdown_s if self._status.state is GeneratorState.READY else 0):
                await generation.ended()
                return
        generation.kill()
        await generation.ended()

    def _receive(self, number: int, message: object) -> None:
        """Take whatever a generation sent; the only way in."""
        if number != self._number or self._verdict:
            return
        self._vigil.heard(message)
        if isinstance(message, Undecodable):
            self._condemn(f"sent a message that cannot be read ({message.detail})")
        elif not isinstance(message, FromWorker):
            self._condemn(f"sent a {type(message).__name__}, which is no message")
        elif message.generation > number:
            self._condemn(f"spoke for generation {message.generation}")
        elif message.generation == number:
            self._take(message)

    def _take(self, message: FromWorker) -> None:
        match message:
            case Heartbeat():
                pass
            case Loading(engine=engine):
                self._loading = engine
                if self._status.state is GeneratorState.STARTING:
                    self._set_status(
                        GeneratorStatus(GeneratorState.STARTING, f"The engine {engine} is loading the model.")
                    )
            case Ready():
                self._loading = ""
                self._vigil.loaded()
                self._set_status(
                    GeneratorStatus(
                        GeneratorState.READY,
                        engine=message.engine,
                        engine_version=message.engine_version,
                        model=message.model,
                        revision=message.revision,
                        context_tokens=message.context_tokens,
                        slots=message.slots,
                        notes=message.notes,
                        weights_bytes=message.weights_bytes,
                        adapters=message.adapters,
                    )
                )
                for obstacle in (adapter.obstacle for adapter in message.adapters if adapter.obstacle):
                    log.info("An adapter is here that cannot be used: %s.", obstacle)
            case LoadFailed(detail=detail):
                # Nothing is left to try: the next worker begins with all engines, for memory may have become free.
                self._loading = ""
                self._fatal_engines.clear()
                self._verdict = f"could not load the model ({detail})"
                self._set_status(
                    GeneratorStatus(GeneratorState.UNAVAILABLE, f"The model could not be loaded: {detail}")
                )
            case _:
                try:
                    self._deliver(message)
                except ProtocolBroken as error:
                    self._condemn(str(error))

    def _set_status(self, status: GeneratorStatus) -> None:
        if status != self._status:
            self._status = status
            self._changed.set()
            self._changed = asyncio.Event()
