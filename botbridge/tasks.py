"""Work beside other work, of which none is lost.

The rule for what runs as long as the service does: a failure that nobody
foresaw is logged with its trace, and the work is begun again after a pause
(`kept_going`). Only what the service cannot be without ends it instead
(`running.App.failed`), so that whoever started it learns of that.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import structlog

AGAIN_S = 60.0

log = structlog.get_logger(__name__)


class Tasks:
    """Runs work beside its owner; a failure that nobody foresaw is logged."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a piece of work; the set holds it until it has ended."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    async def stop(self) -> None:
        """Cancel what still runs and wait for its end."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("unforeseen failure", exc_info=error)


async def kept_going(
    work: Callable[[], Awaitable[None]],
    name: str,
    *,
    again_s: float = AGAIN_S,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Do something that goes on and on; when it fails unforeseen, log that and begin it again.

    Args:
        work: Begins it; what it foresees it treats itself. When it returns, this does.
        name: What the log calls it.
        again_s: How long after a failure it is begun again, in seconds.
        pause: Returns after so many seconds.
    """
    while True:
        try:
            await work()
        except Exception:
            log.exception("unforeseen failure, it is begun again", work=name, next_try_in_s=again_s)
        else:
            return
        await pause(again_s)


@asynccontextmanager
async def beside(
    work: Callable[[], Awaitable[None]], name: str, *, pause: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> AsyncIterator[None]:
    """Keep something going for as long as the block runs; arguments as of `kept_going`."""
    task = asyncio.create_task(kept_going(work, name, pause=pause), name=name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
