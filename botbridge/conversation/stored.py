"""Waiting for a database that is locked, full or away for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

from botbridge.errors import StorageError

STORAGE_PAUSE_S: Final = 1.0

T = TypeVar("T")

log = structlog.get_logger(__name__)


async def until_stored(work: Callable[[], Awaitable[T]], **facts: object) -> T:
    """Do something as often as it takes until the database takes part.

    Args:
        work: May be done again after it failed half-way.
        facts: What the log says it is about.

    Cancellation: Between two tries or inside one; what that stored stays stored.
    """
    while True:
        try:
            return await work()
        except StorageError as error:
            log.error("database not usable, trying again", error=str(error), **facts)
            await asyncio.sleep(STORAGE_PAUSE_S)
