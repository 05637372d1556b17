"""One generation of the worker, seen from the service: its process, its two queues and its reader thread.

Covered: neither end of a queue outlives the other unnoticed; a worker that is
stopped or full never blocks the event loop; nothing is left when a generation
ends: no process, no thread, no descriptor.
Not covered: deciding when to start and when to kill (`supervisor`).
"""

from __future__ import annotations

import asyncio
import atexit
import multiprocessing
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from multiprocessing.queues import Queue

from botbridge.inference import worker
from botbridge.inference.engines.base import describe
from botbridge.inference.protocol import FromWorker, ToWorker
from botbridge.inference.spawning import CleanProcess, worker_environment
from botbridge.resources import usable_cores

DRAIN_S = 2.0


class Undecodable:
    """Stands for a message that could not be read."""

    def __init__(self, detail: str) -> None:
        self.detail = detail


class Generation:
    """A running worker. Use from the event loop that made it, and `close` it in the end."""

    def __init__(self, assignment: worker.Assignment, receive: Callable[[object], None]) -> None:
        """Start the process (about 2 ms, 20 for the very first) and read its messages.

        Args:
            assignment: What the worker is to do.
            receive: Called on the event loop with everything that arrives,
                `Undecodable` included.
        """
        context = multiprocessing.get_context("spawn")
        self._loop = asyncio.get_running_loop()
        self._receive = receive
        self._dead = asyncio.Event()
        self._drained = asyncio.Event()
        self._jobs: Queue[ToWorker] = context.Queue()
        self._results: Queue[FromWorker] = context.Queue()
        threads = assignment.options.threads or usable_cores()
        self._process = CleanProcess(
            target=worker.main,
            # Of another thread nobody knows that it ends with the process only.
            args=(replace(assignment, dies_with_starter=_is_in_main_thread()), self._jobs, self._results),
            name=f"botbridge-worker-{assignment.generation}",
            environment=worker_environment(os.environ, threads),
        )
        self._process.start()
        _keep_own_ends(self._jobs, self._results)
        atexit.register(self._process.kill)
        self._loop.add_reader(self._process.sentinel, self._dead.set)
        self._reader = threading.Thread(target=self._read, name=f"{self._process.name}-reader", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int | None:
        """The process id of the worker."""
        return self._process.pid

    def put(self, message: ToWorker) -> None:
        """Send a message; never blocks, a thread of the queue does the writing."""
        self._jobs.put(message)

    def kill(self) -> None:
        """End the worker at once; harmless when it has ended."""
        self._process.kill()

    async def ended(self) -> int:
        """Wait until the process has ended and all that it sent was received; its exit code, negative for a signal."""
        await self._dead.wait()
        with suppress(TimeoutError):  # unless a process that the worker left behind holds the queue
            async with asyncio.timeout(DRAIN_S):
                await self._drained.wait()
        self._process.join()
        return self._process.exitcode or 0

    def close(self) -> None:
        """Give back what is held; a process that still runs is killed."""
        self._process.kill()
        self._loop.remove_reader(self._process.sentinel)
        self._process.join()
        atexit.unregister(self._process.kill)
        self._process.close()
        # With the worker dead both threads end at once. One that is still there when the interpreter
        # ends could be cut off while it gives a semaphore back, which the resource tracker would report.
        self._reader.join(DRAIN_S)
        for queue in (self._jobs, self._results):
            queue.cancel_join_thread()
            queue.close()
        if (feeder := self._jobs._thread) is not None:  # type: ignore[attr-defined]  # noqa: SLF001 - `join_thread` has no bound
            feeder.join(DRAIN_S)

    def _read(self) -> None:
        while True:
            try:
                message: object = self._results.get()
            except (EOFError, OSError):
                break
            except Exception as error:  # noqa: BLE001 - unpickling may raise anything
                message = Undecodable(describe(error))
            if not self._call(self._receive, message):
                return
        self._call(self._drained.set)

    def _call(self, callback: Callable[..., object], *args: object) -> bool:
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:  # the loop is closed: nobody is left to tell
            return False
        return True


def _keep_own_ends(jobs: Queue[ToWorker], results: Queue[FromWorker]) -> None:
    """Close the ends of the pipes that only the worker uses.

    A `multiprocessing.Queue` keeps both ends open in both processes, so that a
    reader waits for ever for a dead writer, in the middle of a message, too, and
    a writer for a dead reader. With one end a side the first gets EOFError and
    the second EPIPE. The names are private but long-lived: the standard library's
    own process pool uses them.
    Source: CPython Lib/concurrent/futures/process.py, `_ExecutorManagerThread`.
    """
    results._writer.close()  # type: ignore[attr-defined]  # noqa: SLF001 - see above
    jobs._reader.close()  # type: ignore[attr-defined]  # noqa: SLF001 - see above
    jobs._ignore_epipe = True  # type: ignore[attr-defined]  # noqa: SLF001 - see above


def _is_in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
