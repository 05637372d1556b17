"""Brings the outbox to the platforms: every part in order, each chat at its own pace.

Covered: a part is marked `sending` before its bytes leave; what can have been
delivered is never sent again; a part that failed is resumed, those before it
are not repeated; a slow or limited chat delays no other.

Not covered: the platforms' rate rules (their adapters keep them) and parts of
platforms that are switched off: those stay pending until they are back.

Of a part that may have been delivered, its person is told once for the whole
reply, in a message of its own; so of one whose text the platform refuses, where
the message that it was to replace can tell it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import Any

import structlog

from botbridge.conversation.notices import lost_sight, refused
from botbridge.conversation.stored import until_stored
from botbridge.conversation.texts import Language, Texts
from botbridge.errors import (
    BadToken,
    ChatClosed,
    DeliveryUnknown,
    MessageGone,
    PlatformUnavailable,
    RateLimited,
    ReplyRejected,
    StorageError,
)
from botbridge.faults import NO_FAULTS, Boundary, Faults, crossing
from botbridge.messages import ChatId, MessageId, OutboxPart, Part, PartState, PlatformName
from botbridge.ports import Outbox, Platform
from botbridge.tasks import Tasks

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0
SWEEP_EVERY_S = 15.0
LOOK_EVERY_S = 0.05
LAST_SENDS_S = 8.0
"""How long the parts in hand may take when the service stops; less than what container and init systems grant."""

Chat = tuple[PlatformName, ChatId]
Again = tuple[OutboxPart, float]
"""A part as it is to be tried again, and the seconds to wait before (0: the usual ones)."""

log = structlog.get_logger(__name__)


def chat_of(part: OutboxPart) -> Chat:
    """The chat whose order a part must keep."""
    return part.address.platform, part.address.chat_id


class Delivery:
    """Sends what is due; after every commit that added parts `take` these, or `wake` it to find them."""

    def __init__(
        self,
        outbox: Outbox,
        platforms: Mapping[PlatformName, Platform],
        texts: Texts,
        faults: Faults = NO_FAULTS,
    ) -> None:
        self._outbox = outbox
        self._platforms = platforms
        self._texts = texts
        self._faults = faults
        self._awake = asyncio.Event()
        self._lanes: dict[Chat, asyncio.Task[None]] = {}
        self._passed_over: set[Chat] = set()
        """Chats that had parts due while others of theirs were being sent."""
        self._has_all = False
        """Whether every part that was due is in a lane; if not, an older one may lie before a new one of its chat."""
        self._in_hand: set[asyncio.Task[Again | None]] = set()
        self._holding = Tasks()
        self._held: Counter[Chat] = Counter()
        """For how many things on their way to a chat its parts have to wait."""
        self._released: set[Chat] = set()
        """Chats that were held while the outbox was read: what it said of them may have become an edit since."""

    def wake(self) -> None:
        """Say that there may be something to send."""
        self._has_all = False
        self._awake.set()

    def take(self, parts: Sequence[OutboxPart]) -> None:
        """Send parts that are committed, without asking the outbox for them unless it may hold older ones."""
        if self._has_all:
            self._open_lanes(parts)
        elif parts:
            self.wake()

    def hold(self, chat: Chat, until: Callable[[], Awaitable[object]]) -> None:
        """Begin to send nothing more to a chat before something that is on its way there has come to its end."""
        self._held[chat] += 1
        self._holding.begin(self._let_go(chat, until))

    async def settled(self) -> None:
        """Return when all that was due has been sent; a chat that has to wait for its platform is waited for."""
        # A stop is rare, and no event tells of all of this.
        while self._lanes or self._held or not self._has_all:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_EVERY_S)

    async def run(self) -> None:
        """Deliver until cancelled.

        Cancellation: The parts in hand are finished, for some seconds; one that
        takes longer is left as `sending`, of which the next start makes the best.
        """
        await self._settle_interrupted()
        self.wake()
        try:
            while True:
                # The sweep finds what a lost wake-up would leave behind.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(SWEEP_EVERY_S):
                        await self._awake.wait()
                self._awake.clear()
                self._released.clear()
                try:
                    due = await self._outbox.due()
                    self._open_lanes([part for part in due if chat_of(part) not in self._released])
                except StorageError as error:
                    log.error("outbox not readable", error=str(error))
                else:
                    self._has_all = not self._awake.is_set()
        finally:
            self._has_all = False
            for lane in self._lanes.values():
                lane.cancel()
            await asyncio.gather(*self._lanes.values(), return_exceptions=True)
            if self._in_hand:
                _, late = await asyncio.wait(self._in_hand, timeout=LAST_SENDS_S)
                for sending in late:
                    sending.cancel()
            await self._holding.stop()

    async def _let_go(self, chat: Chat, until: Callable[[], Awaitable[object]]) -> None:
        try:
            await until()
        finally:
            self._held[chat] -= 1
            self._held = +self._held
            # What is owed may be an edit now, which only a new reading of the outbox knows.
            self._released.add(chat)
            self.wake()

    async def _settle_interrupted(self) -> None:
        for part in await self._outbox.interrupted():
            platform = self._platforms.get(part.address.platform)
            if part.is_status:
                await self._note(part, PartState.UNDELIVERABLE, "cut short by a restart")
            elif part.edits is not None or (platform is not None and platform.repeats_safely(part)):
                await self._note(part, PartState.FAILED_RETRYABLE, "cut short by a restart")
            else:
                await self._lose_sight(part, "cut short by a restart")

    def _open_lanes(self, due: Sequence[OutboxPart]) -> None:
        deliverable = [part for part in due if part.address.platform in self._platforms]
        for chat, parts in groupby(sorted(deliverable, key=lambda part: (chat_of(part), part.id)), key=chat_of):
            if chat in self._held:
                continue
            if chat in self._lanes:
                self._passed_over.add(chat)
            else:
                lane = asyncio.create_task(self._send_all(tuple(parts)), name=f"lane-{chat}")
                self._lanes[chat] = lane
                lane.add_done_callback(partial(self._close_lane, chat))

    def _close_lane(self, chat: Chat, lane: asyncio.Task[None]) -> None:
        del self._lanes[chat]
        if not lane.cancelled() and (error := lane.exception()) is not None:
            self._has_all = False
            log.error("delivery interrupted", chat=chat, error=str(error))
            return
        if chat in self._passed_over:
            self._passed_over.discard(chat)
            self.wake()

    async def _send_all(self, parts: Sequence[OutboxPart]) -> None:
        for due in parts:
            part, pause_s, is_repeated = due, FIRST_PAUSE_S, due.attempts > 0
            while (again := await self._in_one_go(self._try(part, is_repeated=is_repeated))) is not None:
                part, wait_s = again
                await asyncio.sleep(wait_s or pause_s)
                pause_s, is_repeated = min(2 * pause_s, LONGEST_PAUSE_S), True

    async def _in_one_go(self, sending: Coroutine[Any, Any, Again | None]) -> Again | None:
        """Send without being interrupted: between the bytes and the note of what became of them nobody may stop."""
        task = asyncio.ensure_future(sending)
        self._in_hand.add(task)
        task.add_done_callback(self._in_hand.discard)
        return await asyncio.shield(task)

    async def _try(self, part: OutboxPart, *, is_repeated: bool) -> Again | None:
        """Send once: None when the part is done with."""
        platform = self._platforms[part.address.platform]
        if is_repeated and platform.repeats_safely(part):
            # Where the platform looks for what an earlier try left, an equal text may be another part's.
            part = replace(part, others=await until_stored(partial(self._outbox.others, part), part_id=part.id))
        if not await self._note(part, PartState.SENDING):
            return None  # what was due when the outbox was read has been sent before the reading was known
        try:
            with crossing(self._faults, Boundary.SEND):
                try:
                    message_id = await platform.send(part)
                except MessageGone:
                    # An edit may be repeated after a crash, what is sent now may not: so the row has to know it first.
                    await until_stored(partial(self._outbox.send_anew, part.id), part_id=part.id)
                    part = replace(part, edits=None)
                    message_id = await platform.send(part)
        except RateLimited as error:
            await self._note(part, PartState.FAILED_RETRYABLE, str(error))
            return part, error.retry_after_s
        except (PlatformUnavailable, BadToken) as error:
            log.warning("reply not delivered yet", part_id=part.id, error=str(error))
            await self._note(part, PartState.FAILED_RETRYABLE, str(error))
            return part, LONGEST_PAUSE_S if isinstance(error, BadToken) else 0.0
        except DeliveryUnknown as error:
            await self._lose_sight(part, str(error))
        except (ReplyRejected, MessageGone) as error:
            await self._accept_refusal(part, error)
        except Exception as error:
            log.exception("unforeseen failure while sending", part_id=part.id, exc_info=error)
            await self._lose_sight(part, f"unforeseen failure: {type(error).__name__}")
        else:
            await self._note(part, PartState.SENT, message_id=message_id)
        return None

    async def _accept_refusal(self, part: OutboxPart, error: ReplyRejected | MessageGone) -> None:
        """Give up a part that is not taken, and owe its person a word about it where the chat takes others."""
        log.warning("reply refused by the platform", part_id=part.id, error=str(error))
        if isinstance(error, ChatClosed | MessageGone):
            await self._note(part, PartState.UNDELIVERABLE, str(error))
        else:
            await self._give_up(part, self._outbox.refused, refused, str(error))

    async def _lose_sight(self, part: OutboxPart, detail: str) -> None:
        """Give up a part that may have been delivered, and owe its person a word about it."""
        log.warning("nobody knows whether a reply was delivered", part_id=part.id, inbox_id=part.inbox_id, why=detail)
        await self._give_up(part, self._outbox.lose_sight, lost_sight, detail)

    async def _give_up(
        self, part: OutboxPart, settle: Callable[..., Awaitable[None]], words: Callable[[Language], str], detail: str
    ) -> None:
        told = words(self._texts.language(part.language))
        platform = self._platforms.get(part.address.platform)
        notice = Part(told) if platform is None else platform.render(told)[0]
        await until_stored(partial(settle, part.id, notice, detail=detail), part_id=part.id)
        self._passed_over.add(chat_of(part))  # the notice came for it meanwhile

    async def _note(
        self, part: OutboxPart, state: PartState, detail: str = "", *, message_id: MessageId | None = None
    ) -> bool:
        """Store what became of a part, however long the database takes: nothing else knows it; False when settled."""
        mark = partial(self._outbox.mark, part.id, state, message_id=message_id, detail=detail)
        return await until_stored(mark, part_id=part.id)
