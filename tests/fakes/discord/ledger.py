"""The record of all that happened on the fake Discord, in order."""

from __future__ import annotations

import asyncio

from tests.fakes.discord.world import Json


class Ledger:
    """Entries numbered from 1; `kind` says what happened, the other fields to what."""

    def __init__(self) -> None:
        self._entries: list[Json] = []
        self._grown = asyncio.Condition()
        self._waking: set[asyncio.Task[None]] = set()

    def add(self, kind: str, **facts: object) -> None:
        """Note that something happened."""
        self._entries.append({"number": len(self._entries) + 1, "kind": kind, **facts})
        task = asyncio.get_running_loop().create_task(self._wake())
        self._waking.add(task)
        task.add_done_callback(self._waking.discard)

    async def after(self, number: int, timeout_s: float) -> list[Json]:
        """The entries behind `number`; when there are none yet, the next ones, or none after the timeout."""
        try:
            async with asyncio.timeout(timeout_s), self._grown:
                await self._grown.wait_for(lambda: len(self._entries) > number)
        except TimeoutError:
            return []
        return self._entries[number:]

    async def _wake(self) -> None:
        async with self._grown:
            self._grown.notify_all()
