"""How far each channel was heard: the last message of each that was handed over, kept over a restart.

Covered: a cursor never goes back, and never runs ahead of what is committed, nor
of what was missed and could not be read yet; a channel that is new is stored
before the first message there is, its progress within a second.
Not covered: channels in which nobody ever spoke to the bot, and all but the
100 that were used last.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import structlog

from botbridge.errors import StorageError
from botbridge.messages import BotId, ChatId, ChatKind, ThreadId
from botbridge.platforms.discord.translate import Place, channel_of
from botbridge.ports import State

KNOWN_CHANNELS = 100
"""How many are remembered: each is asked once for what was missed, and Discord allows 50 calls a second.

Source: https://discord.com/developers/docs/topics/rate-limits#global-rate-limit
"""

WRITE_EVERY_S = 1.0
"""What a crash takes of a cursor's progress is fetched again and known already."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last message of a channel that needs nothing more from us."""

    place: Place
    message_id: int


class Cursors:
    """The cursors of one bot; `run` writes them down."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._bot_id: BotId | None = None
        self._by_channel: OrderedDict[str, Cursor] = OrderedDict()
        self._held = set[str]()
        """Channels of which something may have been missed that is not handed over yet."""
        self._holds = 0
        self._changed = asyncio.Event()
        self._writing = asyncio.Lock()

    async def load(self, bot_id: BotId) -> None:
        """Read the cursors of a bot, unless they are read already.

        Raises:
            StorageError: they cannot be read; nothing may be taken in before they are.
        """
        if bot_id == self._bot_id:
            return
        stored = await self._state.get(_name(bot_id))
        self._by_channel = OrderedDict((channel_of(one.place), one) for one in decoded(stored or "[]"))
        self._bot_id = bot_id
        self._held.clear()

    def newest_use_first(self) -> Sequence[Cursor]:
        """All cursors, that of the channel in which the bot was spoken to last before the others."""
        return tuple(reversed(self._by_channel.values()))

    @property
    def holds(self) -> int:
        """How many times `hold` was called."""
        return self._holds

    def hold(self) -> None:
        """Let no cursor move until `release`: before what comes now lies what was missed."""
        self._held, self._holds = set(self._by_channel), self._holds + 1

    def release(self, place: Place, holds: int) -> None:
        """Let a channel's cursor move again, by what is handed over from now on.

        Args:
            place: The channel.
            holds: As `holds` was when the channel began to be read; after another `hold` that reading counts no more.
        """
        if holds == self._holds:
            self._held.discard(channel_of(place))

    async def meet(self, place: Place, message_id: int) -> None:
        """Know a channel in which the bot is spoken to, before what is said there is committed.

        A new one is known from just before the message on: whenever the process
        dies from now on, the next one looks there.

        Args:
            place: Where it was said.
            message_id: Of the message or the command.
        """
        known = self._by_channel.get(channel_of(place))
        await self.advance(place, message_id - 1 if known is None else known.message_id, addressed=True)

    async def advance(self, place: Place, message_id: int, *, addressed: bool) -> None:
        """Note that a message needs nothing more from us.

        Args:
            place: Where it was written.
            message_id: Its id.
            addressed: It was meant for the bot; others move only the cursors that exist.
        """
        channel = channel_of(place)
        known = self._by_channel.get(channel)
        if known is None and not addressed:
            return
        if known is not None:
            message_id = known.message_id if channel in self._held else max(message_id, known.message_id)
        self._by_channel[channel] = Cursor(place, message_id)
        if addressed:
            self._by_channel.move_to_end(channel)
        while len(self._by_channel) > KNOWN_CHANNELS:
            gone, _ = self._by_channel.popitem(last=False)
            self._held.discard(gone)
        self._changed.set()
        if known is None:
            await self.write()

    def forget(self, place: Place) -> None:
        """Drop the cursor of a channel that is gone or closed to us."""
        self._held.discard(channel_of(place))
        if self._by_channel.pop(channel_of(place), None) is not None:
            self._changed.set()

    async def write(self) -> None:
        """Write down what has changed; what cannot be written is tried again with the next change."""
        async with self._writing:
            if self._bot_id is None or not self._changed.is_set():
                return
            self._changed.clear()
            try:
                await self._state.put(_name(self._bot_id), encoded(self._by_channel.values()))
            except StorageError as error:
                self._changed.set()
                log.warning("discord cursors not written, trying again", error=str(error))
            except Exception:
                self._changed.set()
                raise

    async def run(self) -> None:
        """Write down what changes until cancelled."""
        while True:
            await self._changed.wait()
            await self.write()
            await asyncio.sleep(WRITE_EVERY_S)


def encoded(cursors: Iterable[Cursor]) -> str:
    """Cursors as text, in their order."""
    rows = [(one.place.chat_id, one.place.kind, one.place.thread_id, one.message_id) for one in cursors]
    return json.dumps(rows)


def decoded(text: str) -> list[Cursor]:
    """Cursors from text.

    >>> decoded('[["5", "group", null, 7]]')[0].message_id
    7
    """
    return [
        Cursor(Place(ChatId(chat), ChatKind(kind), ThreadId(thread) if thread else None), int(message_id))
        for chat, kind, thread, message_id in json.loads(text)
    ]


def _name(bot_id: BotId) -> str:
    return f"discord.cursors.{bot_id}"
