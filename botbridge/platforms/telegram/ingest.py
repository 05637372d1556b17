"""The poll loop: fetch, commit, and only then confirm.

Telegram repeats an update until a later `getUpdates` carries an offset beyond
it. So the offset moves when everything before it is committed, and never
otherwise; a crash at any moment makes Telegram tell us again.

Covered: malformed updates and whole bodies that cannot be read (kept with their
bytes, the others go on); a database that is away (the batch is tried again, the
offset stays); a second poller, refused connections, silence, polls that stall,
5xx, 429 and a refused token (capped backoff, for ever). Telegram has refused
tokens that it knew again later, so its refusal is no reason to stay deaf until
somebody starts the bot anew.

Source: https://github.com/Naltox/telegram-node-bot/issues/92
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from botbridge.errors import PlatformError, PlatformUnavailable, StorageError
from botbridge.messages import Address
from botbridge.platforms.telegram.backoff import Backoff
from botbridge.platforms.telegram.batch import RawUpdate, Undecodable, lone_update_id, updates_in
from botbridge.platforms.telegram.pulse import Pulse
from botbridge.platforms.telegram.reception import Reception

Fetch = Callable[[int | None, int], Awaitable[bytes]]
"""The body of a successful getUpdates, given the offset and how many updates at most."""

BATCH = 100

log = structlog.get_logger(__name__)


class Ingest:
    """Takes updates in, each at least once.

    Args:
        stall_s: After how long a poll that neither returns nor fails is given up.
    """

    def __init__(self, fetch: Fetch, reception: Reception, pulse: Pulse, backoff: Backoff, stall_s: float) -> None:
        self._fetch = fetch
        self._reception = reception
        self._pulse = pulse
        self._backoff = backoff
        self._stall_s = stall_s
        self._offset: int | None = None
        self._limit = BATCH

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            try:
                await self._take_in(await self._poll())
            except (PlatformError, Undecodable) as error:
                failures = self._pulse.miss(str(error))
                pause_s = self._backoff.pause_after_s(error, failures)
                # The second in a row is no accident any more: nothing comes in.
                tell = log.warning if failures == 1 else log.error
                tell("no updates from Telegram", error=str(error), failures=failures, next_try_in_s=pause_s)
                await asyncio.sleep(pause_s)

    async def _poll(self) -> bytes:
        """Poll once.

        The limits of the HTTP client count from byte to byte, so that a
        connection that trickles, or one whose end was lost, outlives them all.

        Raises:
            PlatformUnavailable: The poll stalled.
        """
        try:
            async with asyncio.timeout(self._stall_s):
                return await self._fetch(self._offset, self._limit)
        except TimeoutError as error:
            message = f"a poll neither returned nor failed within {self._stall_s:g} s; it was given up"
            raise PlatformUnavailable(message) from error

    async def _take_in(self, body: bytes) -> None:
        try:
            updates = updates_in(body)
        except Undecodable:
            await self._isolate(body)
            return
        if failures := self._pulse.beat():
            log.info("updates from Telegram again", failures=failures)
        await self._commit_all(updates)
        if updates:
            # Not the highest id seen ever: after a quiet week Telegram begins anywhere.
            self._offset = updates[-1].update_id + 1
        self._limit = BATCH

    async def _isolate(self, body: bytes) -> None:
        """Ask for one update at a time, until the one that cannot be read is alone and can be put aside.

        Raises:
            Undecodable: It is alone and tells no id, so that it cannot be confirmed.
        """
        if self._limit > 1:
            self._limit = 1
            return
        update_id = lone_update_id(body)
        if update_id is None:
            raise Undecodable("an update cannot be read and tells no id")
        await self._commit_all((RawUpdate(update_id, {}, body),), reason="no readable JSON")
        self._offset = update_id + 1
        self._limit = BATCH

    async def _commit_all(self, updates: Sequence[RawUpdate], reason: str = "") -> None:
        """Commit all, in order within each chat; returns only when all are."""
        pending, failures = list(updates), 0
        while pending:
            lanes: dict[Address, list[RawUpdate]] = {}
            for update in pending:
                lanes.setdefault(self._reception.place_of(update), []).append(update)
            left = await asyncio.gather(*(self._commit_lane(lane, reason) for lane in lanes.values()))
            pending = [update for lane in left for update in lane]
            if pending:
                failures += 1
                pause_s = self._backoff.pause_s(failures)
                log.error("messages cannot be stored, Telegram keeps them", waiting=len(pending), next_try_in_s=pause_s)
                await asyncio.sleep(pause_s)

    async def _commit_lane(self, updates: Sequence[RawUpdate], reason: str) -> Sequence[RawUpdate]:
        """Commit one after the other; what is left over when the database is away."""
        for index, update in enumerate(updates):
            try:
                await self._reception.commit(update, reason)
            except StorageError as error:
                log.warning("message not stored", update_id=update.update_id, error=str(error))
                return updates[index:]
        return ()
