"""Brings the outbox to the platforms: every part in order, each chat at its own pace.

Covered: a part is marked `sending` before its bytes leave; what can have been
delivered is never sent again; a part that failed is resumed, those before it
are not repeated; a slow or limited chat delays no other.

Not covered: the platforms' rate rules (their adapters keep them) and parts of
platforms that are switched off: those stay pending until they are back.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby

import structlog

from botbridge.errors import (
    DeliveryUnknown,
    MessageGone,
    PlatformUnavailable,
    RateLimited,
    ReplyRejected,
    StorageError,
)
from botbridge.messages import ChatId, OutboxPart, PartState, PlatformName
from botbridge.ports import Outbox, Platform

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0
SWEEP_EVERY_S = 15.0

Chat = tuple[PlatformName, ChatId]

log = structlog.get_logger(__name__)


def chat_of(part: OutboxPart) -> Chat:
    """The chat whose order a part must keep."""
    return part.address.platform, part.address.chat_id


class Delivery:
    """Sends what is due; `wake` it after every commit that added parts."""

    def __init__(self, outbox: Outbox, platforms: Mapping[PlatformName, Platform]) -> None:
        self._outbox = outbox
        self._platforms = platforms
        self._awake = asyncio.Event()
        self._lanes: dict[Chat, asyncio.Task[None]] = {}

    def wake(self) -> None:
        """Say that there may be something to send."""
        self._awake.set()

    async def run(self) -> None:
        """Deliver until cancelled; on the way out the part in hand is finished."""
        await self._settle_interrupted()
        self.wake()
        try:
            while True:
                # The sweep finds what a lost wake-up would leave behind.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(SWEEP_EVERY_S):
                        await self._awake.wait()
                self._awake.clear()
                try:
                    self._open_lanes(await self._outbox.due())
                except StorageError as error:
                    log.error("outbox not readable", error=str(error))
        finally:
            for lane in self._lanes.values():
                lane.cancel()
            await asyncio.gather(*self._lanes.values(), return_exceptions=True)

    async def _settle_interrupted(self) -> None:
        for part in await self._outbox.interrupted():
            platform = self._platforms.get(part.address.platform)
            if part.is_status:
                await self._outbox.mark(part.id, PartState.UNDELIVERABLE, detail="cut short by a restart")
            elif part.edits is not None or (platform is not None and platform.repeats_safely):
                await self._outbox.mark(part.id, PartState.FAILED_RETRYABLE, detail="cut short by a restart")
            else:
                log.warning("nobody knows whether a reply was delivered", part_id=part.id, inbox_id=part.inbox_id)
                await self._outbox.mark(part.id, PartState.DELIVERY_UNKNOWN, detail="cut short by a restart")

    def _open_lanes(self, due: Sequence[OutboxPart]) -> None:
        deliverable = [part for part in due if part.address.platform in self._platforms]
        for chat, parts in groupby(sorted(deliverable, key=lambda part: (chat_of(part), part.id)), key=chat_of):
            if chat not in self._lanes:
                lane = asyncio.create_task(self._send_all(tuple(parts)), name=f"lane-{chat}")
                self._lanes[chat] = lane
                lane.add_done_callback(partial(self._close_lane, chat))

    def _close_lane(self, chat: Chat, lane: asyncio.Task[None]) -> None:
        del self._lanes[chat]
        if not lane.cancelled() and (error := lane.exception()) is not None:
            log.error("delivery interrupted", chat=chat, error=str(error))
            return
        self.wake()

    async def _send_all(self, parts: Sequence[OutboxPart]) -> None:
        for part in parts:
            pause_s = FIRST_PAUSE_S
            while (wait_s := await asyncio.shield(self._try(part))) is not None:
                await asyncio.sleep(wait_s or pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _try(self, part: OutboxPart) -> float | None:
        """Send once: None when the part is done with, else the seconds to wait (0: the usual ones)."""
        platform = self._platforms[part.address.platform]
        await self._outbox.mark(part.id, PartState.SENDING)
        try:
            try:
                message_id = await platform.send(part)
            except MessageGone:
                message_id = await platform.send(replace(part, edits=None))
        except RateLimited as error:
            await self._outbox.mark(part.id, PartState.FAILED_RETRYABLE, detail=str(error))
            return error.retry_after_s
        except PlatformUnavailable as error:
            log.warning("reply not delivered yet", part_id=part.id, error=str(error))
            await self._outbox.mark(part.id, PartState.FAILED_RETRYABLE, detail=str(error))
            return 0.0
        except DeliveryUnknown as error:
            log.warning("nobody knows whether a reply was delivered", part_id=part.id, error=str(error))
            await self._outbox.mark(part.id, PartState.DELIVERY_UNKNOWN, detail=str(error))
        except (ReplyRejected, MessageGone) as error:
            log.warning("reply refused by the platform", part_id=part.id, error=str(error))
            await self._outbox.mark(part.id, PartState.UNDELIVERABLE, detail=str(error))
        else:
            await self._outbox.mark(part.id, PartState.SENT, message_id=message_id)
        return None
