"""The poll loop: fetch, commit, and only then confirm.

Telegram repeats an update until a later `getUpdates` carries an offset beyond
it. So the offset moves when everything before it is committed, and never
otherwise; a crash at any moment makes Telegram tell us again.

Covered: malformed updates and whole bodies that cannot be read (kept with their
bytes, the others go on); a database that is away (the batch is tried again, the
offset stays); a second poller, refused connections, silence, 5xx and 429
(capped backoff, for ever).

Not covered: a wrong token; `BadToken` leaves.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from botbridge.errors import BadToken, PlatformError, RateLimited, StorageUnavailable
from botbridge.messages import Address, MessageId
from botbridge.platforms.telegram.batch import (
    RawUpdate,
    Undecodable,
    lone_update_id,
    place_of,
    record_id,
    updates_in,
)
from botbridge.platforms.telegram.fields import Malformed
from botbridge.platforms.telegram.translate import Identity, to_incoming
from botbridge.ports import Intake

Ignore = Callable[[Address, MessageId, bytes, str], Awaitable[None]]
"""Returns once what could not be understood is stored: address, id, bytes, reason."""

Fetch = Callable[[int | None, int], Awaitable[bytes]]
"""The body of a successful getUpdates, given the offset and how many updates at most."""

BATCH = 100

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses that double from the first to the longest, in seconds."""

    first_s: float = 0.5
    longest_s: float = 60.0

    def pause_s(self, failures: int) -> float:
        """The pause after so many failures in a row, counted from 1."""
        return min(self.longest_s, self.first_s * 2.0 ** min(failures - 1, 30))


class Ingest:
    """Takes updates in, each at least once."""

    def __init__(self, fetch: Fetch, me: Identity, intake: Intake, ignore: Ignore, backoff: Backoff) -> None:
        self._fetch = fetch
        self._me = me
        self._intake = intake
        self._ignore = ignore
        self._backoff = backoff
        self._offset: int | None = None
        self._limit = BATCH
        self.last_success_s: float | None = time.monotonic()
        """When Telegram last answered, on the monotonic clock; it has just told who we are. None while it fails."""

    async def run(self) -> None:
        """Poll until cancelled.

        Raises:
            BadToken: Telegram does not know the token.
        """
        failures = 0
        while True:
            try:
                body = await self._fetch(self._offset, self._limit)
                self.last_success_s = time.monotonic()
                await self._take_in(body)
            except BadToken:
                raise
            except (PlatformError, Undecodable) as error:
                failures += 1
                if failures > 1:
                    self.last_success_s = None
                pause_s = self._backoff.pause_s(failures)
                if isinstance(error, RateLimited):
                    pause_s = error.retry_after_s
                log.warning("no updates from Telegram", error=str(error), failures=failures, next_try_in_s=pause_s)
                await asyncio.sleep(pause_s)
            else:
                if failures:
                    log.info("updates from Telegram again", failures=failures)
                failures = 0

    async def _take_in(self, body: bytes) -> None:
        try:
            updates = updates_in(body)
        except Undecodable:
            await self._isolate(body)
            return
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
                lanes.setdefault(place_of(update.content, self._me), []).append(update)
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
                await self._commit(update, reason)
            except StorageUnavailable as error:
                log.warning("message not stored", update_id=update.update_id, error=str(error))
                return updates[index:]
        return ()

    async def _commit(self, update: RawUpdate, reason: str) -> None:
        try:
            incoming = None if reason else to_incoming(update.content, self._me)
            if incoming is not None:
                await self._intake(incoming)
                return
        except Malformed as error:
            reason = f"malformed: {error}"
        except (StorageUnavailable, asyncio.CancelledError):
            raise
        except Exception as error:  # the adapter's callback: one update must not stop the others
            log.exception("update not understood", update_id=update.update_id)
            reason = f"internal error: {type(error).__name__}"
        if reason:
            log.warning("update put aside", update_id=update.update_id, reason=reason)
            place = place_of(update.content, self._me)
            await self._ignore(place, record_id(update.update_id), update.raw, reason)
