"""Hands one update over: stored as a message, put aside with its bytes, or nothing to us.

The poll loop and the webhook both do it here, so that neither knows an update
that the other would treat otherwise.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

import structlog

from botbridge.errors import StorageError
from botbridge.messages import Address, ChatId, IncomingMessage, MessageId, MessageKind
from botbridge.platforms.telegram.batch import RawUpdate, place_of, record_id
from botbridge.platforms.telegram.fields import Malformed
from botbridge.platforms.telegram.translate import Identity, album_of, to_incoming
from botbridge.ports import Intake

Ignore = Callable[[Address, MessageId, bytes, str], Awaitable[None]]
"""Returns once what could not be understood is stored: address, id, bytes, reason."""

REMEMBERED_ALBUMS = 100
"""The pieces of an album come together; one that is torn by a restart, or by so many others, is answered twice."""

log = structlog.get_logger(__name__)


class Reception:
    """Takes in the updates of one bot, each alone."""

    def __init__(self, me: Identity, intake: Intake, ignore: Ignore) -> None:
        self._me = me
        self._intake = intake
        self._ignore = ignore
        self._albums: OrderedDict[tuple[ChatId, str], None] = OrderedDict()

    def place_of(self, update: RawUpdate) -> Address:
        """Where an update came from: within one place, order counts."""
        return place_of(update.content, self._me)

    async def commit(self, update: RawUpdate, reason: str = "") -> None:
        """Store an update; it may be acknowledged when this returns.

        Args:
            reason: Why it is put aside; empty to find out what it is.

        Raises:
            StorageError: The database did not take it; nothing was stored.
        """
        try:
            incoming = None if reason else to_incoming(update.content, self._me)
            if incoming is not None:
                await self._take(incoming, album_of(update.content))
                return
        except Malformed as error:
            reason = f"malformed: {error}"
        except (StorageError, asyncio.CancelledError):
            raise
        except Exception as error:  # the adapter's callback: one update must not stop the others
            log.exception("update not understood", update_id=update.update_id)
            reason = f"internal error: {type(error).__name__}"
        if reason:
            log.warning("update put aside", update_id=update.update_id, reason=reason)
            await self._ignore(self.place_of(update), record_id(update.update_id), update.raw, reason)

    async def _take(self, incoming: IncomingMessage, album: str | None) -> None:
        """Hand a message over; of an album only its first piece, and what has words."""
        if album is None:
            await self._intake(incoming)
            return
        known = (incoming.address.chat_id, album)
        if incoming.kind is MessageKind.UNSUPPORTED and known in self._albums:
            return
        self._albums[known] = None  # before it is stored: other pieces may be on their way
        if len(self._albums) > REMEMBERED_ALBUMS:
            self._albums.popitem(last=False)
        try:
            await self._intake(incoming)
        except BaseException:
            self._albums.pop(known, None)
            raise
