"""The worker process: one model, one loop of four verbs (receive, admit, step, report).

Covered: the worker leaves when its parent is gone, even while it loads or
computes in C code, and on Linux while that code keeps Python's lock; a request
that fails ends alone; deadlines and cancels are honoured between two tokens and
between two pieces of a prompt; SIGINT and SIGTERM are for the parent to act on.
Not covered: a hang (the supervisor sees that no token comes and kills) and
memory (the kernel kills; the supervisor restarts).
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from multiprocessing import parent_process
from multiprocessing.connection import wait
from multiprocessing.queues import Queue

from botbridge.inference.adapters import adapters_without, has_peft, known_adapters
from botbridge.inference.choice import (
    AUTO,
    NEEDED_MODULES,
    engine_order,
    faster_engine,
    installed_engines,
    missing_note,
    unheeded_notes,
)
from botbridge.inference.engines.base import Engine, EngineInfo, describe
from botbridge.inference.loop import WorkerLoop
from botbridge.inference.options import EngineOptions
from botbridge.inference.protocol import FromWorker, Heartbeat, LoadFailed, Loading, Ready, ToWorker
from botbridge.inference.unserved import why_unserved
from botbridge.models.files import ModelFiles

PARENT_CHECK_S = 1.0
PR_SET_PDEATHSIG = 1
"""Source: linux/prctl.h."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a worker of one generation is started for.

    Attributes:
        files: None for an engine without a model.
        fatal_engines: Engines that `auto` leaves out, each with what became of a worker that loaded the model with it.
        dies_with_starter: The kernel may kill it when the thread that started it ends, for that is the main one.
    """

    generation: int
    options: EngineOptions
    files: ModelFiles | None
    heartbeat_s: float
    dies_with_starter: bool = False
    fatal_engines: tuple[tuple[str, str], ...] = ()


def main(assignment: Assignment, jobs: Queue[ToWorker], results: Queue[FromWorker]) -> None:
    """Run until told to shut down, or until the parent is gone."""
    threading.Thread(target=_leave_with_parent, name="death-watch", daemon=True).start()
    if assignment.dies_with_starter:
        _be_killed_with_parent()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    pulse = _Pulse(assignment, results)
    pulse.start()
    try:
        engine, info = load_engine(assignment, lambda name: create_engine(name, assignment, results), results.put)
    except Exception as error:  # noqa: BLE001 - libraries raise anything at all over a bad model
        results.put(LoadFailed(assignment.generation, describe(error)))
        return
    files = assignment.files
    info = replace(info, adapters=info.adapters or adapters_without(info.name, files, has_peft=has_peft()))
    loop = WorkerLoop(
        engine,
        info,
        generation=assignment.generation,
        slots=assignment.options.slots,
        model=files.model if files is not None else info.name,
        revision=files.revision if files is not None else info.version,
        jobs=jobs,
        results=results,
    )
    # Libraries leave hundreds of thousands of objects behind that stay for good; to look through them
    # again and again for garbage would stop every answer for up to 0.3 s.
    gc.collect()
    gc.freeze()
    results.put(_ready(assignment, info, loop))
    pulse.follow(loop)
    loop.run()


def load_engine(
    assignment: Assignment, create: Callable[[str], Engine], tell: Callable[[FromWorker], None]
) -> tuple[Engine, EngineInfo]:
    """Load the model with the engine that is asked for; for `auto` with the best one that can.

    Args:
        assignment: What to load.
        create: Makes an engine by its name.
        tell: Takes word of each engine that `auto` tries, before it is tried.

    Raises:
        ValueError: No engine that is installed reads the model.
        Exception: Whatever the engine that was asked for raises.
    """
    options, files = assignment.options, assignment.files
    if options.engine != AUTO:
        engine = create(options.engine)
        info = engine.load(files, options)
        return engine, replace(info, notes=(*info.notes, *unheeded_notes(options.engine, options.quantize)))
    if files is None:
        raise ValueError("there is no model to choose an engine for")
    installed = installed_engines()
    has_gguf = files.gguf is not None
    has_adapters = any(not adapter.obstacle for adapter in known_adapters(files, has_peft=has_peft()))
    fatal = dict(assignment.fatal_engines)
    notes = [f"The engine {name} is left out: with it, {fate}." for name, fate in fatal.items()]
    for name in engine_order(
        options.fastest_engines,
        installed - fatal.keys(),
        has_gguf=has_gguf,
        has_safetensors=files.has_safetensors,
        slots=options.slots,
        has_adapters=has_adapters,
        device=options.device,
    ):
        tell(Loading(assignment.generation, name))
        try:
            engine = create(name)
            info = engine.load(files, options)
        except Exception as error:  # noqa: BLE001 - whatever one engine cannot do, the next may
            notes.append(f"The engine {name} could not load the model: {describe(error)}.")
        else:
            faster = faster_engine(
                installed, options.slots, has_gguf=has_gguf, has_adapters=has_adapters, device=options.device
            )
            if faster is not None:
                notes.append(missing_note(faster))
            notes += unheeded_notes(name, options.quantize)
            return engine, replace(info, notes=(*info.notes, *notes))
    raise ValueError(" ".join(notes) or _unserved(files, options, installed))


def _unserved(files: ModelFiles, options: EngineOptions, installed: Collection[str]) -> str:
    """Say why no engine was tried, and what lets one be; of the model's architecture nothing is known here."""
    why = why_unserved(
        options.engine,
        installed,
        has_gguf=files.gguf is not None,
        has_safetensors=files.has_safetensors,
        device=options.device,
        computing=NEEDED_MODULES,
    )
    assert why is not None
    return f"{why.reason}; `{why.command}` mends that" if why.command else str(why.reason)


def create_engine(name: str, assignment: Assignment, results: Queue[FromWorker]) -> Engine:
    """Make an engine; only here are numpy and torch imported, and only for engines that use them.

    Raises:
        ValueError: There is no engine of this name, or it is not installed.
    """
    match name:
        case "echo":
            from botbridge.inference.engines.echo import EchoEngine  # noqa: PLC0415

            return EchoEngine()
        case "echo-faults":
            from botbridge.inference.engines.echo_faults import FaultyEchoEngine  # noqa: PLC0415

            return FaultyEchoEngine(assignment.generation, results.put)  # type: ignore[arg-type]  # it breaks the protocol
        case _:
            from botbridge.inference.engines.batch import BatchEngine  # noqa: PLC0415
            from botbridge.inference.engines.loaders import loader  # noqa: PLC0415

            return BatchEngine(loader(name))


def _ready(assignment: Assignment, info: EngineInfo, loop: WorkerLoop) -> Ready:
    return Ready(
        assignment.generation,
        engine=info.name,
        engine_version=info.version,
        model=loop.model,
        revision=loop.revision,
        context_tokens=info.context_tokens,
        slots=assignment.options.slots,
        notes=info.notes,
        weights_bytes=info.weights_bytes,
        adapters=info.adapters,
    )


def _leave_with_parent() -> None:
    """End this process as soon as the parent has ended.

    The sentinel is a pipe whose other end only the parent holds. Should a child
    of the parent have inherited that end, the parent's id tells.
    """
    parent = parent_process()
    if parent is None or parent.pid is None:
        return
    while not wait([parent.sentinel], timeout=PARENT_CHECK_S) and os.getppid() == parent.pid:
        pass
    os._exit(1)


def _be_killed_with_parent() -> None:
    """Have the kernel kill this process with its parent: C code that keeps Python's lock lets no thread watch a pipe.

    Where there is no such call, or it is refused, the pipe is what remains.
    Source: prctl(2), PR_SET_PDEATHSIG; it is the end of a thread that counts.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


class _Pulse(threading.Thread):
    """Sends heartbeats, while the model is being loaded, too."""

    def __init__(self, assignment: Assignment, results: Queue[FromWorker]) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._assignment = assignment
        self._results = results
        self._loop: WorkerLoop | None = None
        self._never = threading.Event()

    def follow(self, loop: WorkerLoop) -> None:
        """Report the progress of this loop from now on."""
        self._loop = loop

    def run(self) -> None:
        """Beat until the process ends."""
        while not self._never.wait(self._assignment.heartbeat_s):
            loop = self._loop
            running, tokens_total = (0, 0) if loop is None else loop.progress()
            self._results.put(Heartbeat(self._assignment.generation, running, tokens_total))
