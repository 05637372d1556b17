"""The one message that shows a reply in the making: place in line, then the words as they come.

Covered: one status message per reply, opened durably before anything is shown
in it (a crash leaves a short line behind, never half an answer beside a whole
one); the latest text only, at the pace of the chat; equal text never twice; a
platform that fails here never harms the answer; a chat that takes nothing more
is told to whoever computes for it. Each try of the status message is the same
part, of which a platform that repeats safely shows one; where the platform does
not, no try follows one that may have arrived.

Not covered: the final text. That is delivered from the outbox, as an edit of
this message.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

import structlog

from botbridge.conversation.stored import until_stored
from botbridge.errors import BotBridgeError, ChatClosed, DeliveryUnknown, MessageGone, RateLimited
from botbridge.faults import NO_FAULTS, Boundary, Faults, crossing
from botbridge.messages import InboxRow, MessageId, OutboxPart, PartState
from botbridge.ports import Outbox, Platform

TYPING_AFTER_S = 0.25
"""An answer that is there sooner needs no sign, whose request would only be cut off and take its connection along."""

TYPING_EVERY_S = 4.5
"""Telegram shows `typing` for 5 s, Discord for 10 s.

Source: https://core.telegram.org/bots/api#sendchataction
"""

log = structlog.get_logger(__name__)


class Live:
    """Shows the progress of one reply; create it when the message joins the line, close it before the end."""

    def __init__(
        self,
        row: InboxRow,
        platform: Platform,
        outbox: Outbox,
        placeholder: str,
        shut_out: Callable[[], object],
        *,
        faults: Faults = NO_FAULTS,
    ) -> None:
        """Show nothing yet.

        Args:
            placeholder: What the status message says before its first words.
            shut_out: Is called when the chat has shown that it takes nothing any more.
            faults: What happens before and after each send, edit and sign of typing.
        """
        self._row = row
        self._address = row.incoming.address
        self._platform = platform
        self._outbox = outbox
        self._placeholder = placeholder
        self._shut_out = shut_out
        self._faults = faults
        self._message_id = row.status_message_id
        self._status: OutboxPart | None = None
        self._pause_s = platform.edit_interval_s(self._address)
        self._wanted: str | None = None
        self._shown: str | None = None
        self._changed = asyncio.Event()
        self._closing = asyncio.Event()
        self._shower: asyncio.Task[None] | None = None
        self._typist: asyncio.Task[None] | None = None

    @property
    def is_instant(self) -> bool:
        """True where every edit is free, as in a terminal."""
        return self._pause_s == 0

    @property
    def is_open(self) -> bool:
        """True once something was shown, or is about to be."""
        return self._message_id is not None or self._shower is not None

    def show(self, text: str) -> None:
        """Let the chat see a text soon; a later call replaces it."""
        if math.isinf(self._pause_s) or self._closing.is_set() or not text:
            return
        self._wanted = text
        self._changed.set()
        if self._shower is None:
            self._shower = asyncio.create_task(self._harmless(self._keep_shown), name=f"live-{self._row.id}")

    def typing(self) -> None:
        """Show from a moment on that the answer is being written."""
        if self._typist is None and not self._closing.is_set():
            self._typist = asyncio.create_task(self._harmless(self._keep_typing), name=f"typing-{self._row.id}")

    @property
    def message_id(self) -> MessageId | None:
        """The status message; None when there is none, or when nobody knows yet whether there is."""
        return self._message_id

    def stop(self) -> bool:
        """Begin to show nothing more; False while something is still on its way to the chat: `close` waits for that."""
        self._closing.set()
        self._changed.set()
        if self._typist is not None:
            self._typist.cancel()
        return self._shower is None or self._shower.done()

    async def close(self) -> MessageId | None:
        """Stop showing; the id of the status message, None when there is none."""
        self.stop()
        if self._typist is not None:
            # To await it would raise its own cancel, and to suppress that could hide one that is meant for us.
            await asyncio.wait([self._typist])
        if self._shower is not None:
            # Never cancelled: between a send and the note of its id lies the only moment that could orphan it.
            await asyncio.shield(self._shower)
        return self._message_id

    async def _harmless(self, showing: Callable[[], Awaitable[None]]) -> None:
        try:
            await showing()
        except Exception:
            log.exception("unforeseen failure of what is shown", inbox_id=self._row.id)

    async def _keep_shown(self) -> None:
        await self._show_until_closed()
        if self._status is not None and self._message_id is None:
            unsent = partial(self._outbox.mark, self._status.id, PartState.UNDELIVERABLE, detail="status not sent")
            await until_stored(unsent, inbox_id=self._row.id)

    async def _show_until_closed(self) -> None:
        while not self._closing.is_set():
            await self._changed.wait()
            self._changed.clear()
            if self._closing.is_set() or self._wanted == self._shown:
                continue
            pause_s = self._pause_s
            try:
                await self._show_now()
            except RateLimited as error:
                pause_s = max(pause_s, error.retry_after_s)
                self._changed.set()
            except MessageGone:
                return
            except DeliveryUnknown as error:
                # It may stand in the chat, and another one would stand beside it.
                log.warning("progress is shown no more", inbox_id=self._row.id, error=str(error))
                return
            except ChatClosed:
                self._shut_out()
                return
            except BotBridgeError as error:
                log.info("progress not shown", inbox_id=self._row.id, error=str(error))
            if pause_s:
                await self._rest(pause_s)

    async def _show_now(self) -> None:
        text = self._wanted or ""
        if self._message_id is None:
            status = await self._opened()
            with crossing(self._faults, Boundary.SEND_STATUS):
                self._message_id = await self._platform.send(status)
            # What is owed takes its place only if it is known, so this waits for a database that is away.
            sent = partial(self._outbox.status_sent, status.id, self._message_id)
            await until_stored(sent, inbox_id=self._row.id)
        if self._closing.is_set() or text == self._placeholder:
            self._shown = text
            return
        with crossing(self._faults, Boundary.EDIT_STATUS):
            await self._platform.edit(self._address, self._message_id, text)
        self._shown = text

    async def _opened(self) -> OutboxPart:
        """The status message as it is to be sent, or sent again."""
        if self._status is None:
            # The first words travel as an edit, so that a crash cannot leave a piece of the answer behind.
            part = self._platform.render(self._placeholder)[0]
            self._status = await self._outbox.open_status(self._row.id, self._address, part)
        elif self._platform.repeats_safely(self._status):
            # Where the platform looks for what an earlier try left, an equal text may be another part's.
            self._status = replace(self._status, others=await self._outbox.others(self._status))
        return self._status

    async def _rest(self, pause_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._closing.wait()

    async def _keep_typing(self) -> None:
        if not self.is_instant:
            await asyncio.sleep(TYPING_AFTER_S)
        while True:
            try:
                with crossing(self._faults, Boundary.TYPING):
                    await self._platform.typing(self._address)
            except ChatClosed:
                self._shut_out()
                return
            await asyncio.sleep(TYPING_EVERY_S)
