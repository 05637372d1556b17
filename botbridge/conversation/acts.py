"""What is done to conversations once it is clear that it may be done: stop, start anew, forget."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

from botbridge.conversation.delivery import Delivery
from botbridge.conversation.line import person_of
from botbridge.conversation.room import OpenTurn, Room
from botbridge.conversation.stored import until_stored
from botbridge.conversation.texts import Texts
from botbridge.messages import ConversationKey, InboxId, InboxRow, InboxState, Outcome, PlatformName, UserId
from botbridge.ports import History, Inbox, People, Platform, TextGenerator


class Acts:
    """Acts on conversations and on all that is under way in them; asks nobody for a right."""

    def __init__(
        self,
        *,
        inbox: Inbox,
        history: History,
        people: People,
        generator: TextGenerator,
        platforms: Mapping[PlatformName, Platform],
        room: Room,
        delivery: Delivery,
        texts: Texts,
    ) -> None:
        self._inbox = inbox
        self._history = history
        self._people = people
        self._generator = generator
        self._platforms = platforms
        self._room = room
        self._delivery = delivery
        self._texts = texts

    async def stop(self, turns: Sequence[OpenTurn]) -> int:
        """End turns where they are, keeping what was said; how many there were to end.

        It is these turns and no others, however long the database takes.
        """
        stopped = []
        for turn in turns:
            self._still(turn)
            if await until_stored(partial(self._end_where_it_is, turn), inbox_id=turn.row.id):
                stopped.append(turn.row.id)
        await self._room.dismiss(stopped)
        self._delivery.wake()
        return len(stopped)

    async def start_anew(self, keys: Sequence[ConversationKey], *, before: InboxId | None = None) -> int:
        """Reset conversations; how many of their messages were ended by it, each with a word to its sender.

        Args:
            before: The command that asked for it: what came after it is left alone. None: nothing is.
        """
        for turn in self._room.within(keys, before=before):
            self._still(turn)

        def notice(ended: InboxRow) -> Outcome | None:
            if self._room.turn(ended.id) is None:
                return None  # a command, perhaps the one that asks for this
            text = self._texts.of(ended.incoming).say("This conversation was reset, so I do not answer this any more.")
            platform = self._platforms[ended.incoming.address.platform]
            return Outcome(InboxState.CANCELLED, platform.render(text), edits=ended.status_message_id)

        ended = await self._history.reset(keys, notice, before=before)
        for row in ended:
            if (newcomer := self._room.turn(row.id)) is not None:
                self._still(newcomer)  # it may have come while the others were ended
        await self._room.dismiss([row.id for row in ended])
        await self._drop_caches(keys)
        self._delivery.wake()
        return len(ended)

    async def choose_adapter(self, keys: Sequence[ConversationKey], adapter: str | None) -> None:
        """Answer conversations with another adapter, None for the bare model; what was computed is of no use to it."""
        await self._history.choose_adapter(keys, adapter)
        await self._drop_caches(keys)

    async def forget(self, platform: PlatformName, user_id: UserId) -> dict[str, int]:
        """Erase a person: what they said, what they were answered, who they are; rows erased by table."""
        turns = [turn for turn in self._room.open_turns() if person_of(turn.row) == (platform, user_id)]
        await self._quiet(turns)
        # A conversation shared with others holds their words, too, so every cache of the platform may.
        keys = await self._history.matching(platform=platform)
        erased = await self._people.forget(platform, user_id)
        await self._room.dismiss([turn.row.id for turn in turns])
        await self._drop_caches(keys)
        return erased

    async def _end_where_it_is(self, turn: OpenTurn) -> bool:
        note = self._texts.of(turn.row.incoming).say("⏹ Stopped.")
        text = f"{turn.text.strip()}\n\n{note}" if turn.text.strip() else note
        parts = self._platforms[turn.row.incoming.address.platform].render(text)
        outcome = Outcome(InboxState.CANCELLED, parts, edits=turn.live.message_id)
        return await self._inbox.finish(turn.row.id, outcome) is not None

    async def _quiet(self, turns: Sequence[OpenTurn]) -> None:
        await asyncio.gather(*(turn.live.close() for turn in turns))

    def _still(self, turn: OpenTurn) -> None:
        """Show no more of a turn; its last word waits for what is on its way to the chat, and its end does not."""
        if not turn.live.stop():
            address = turn.row.incoming.address
            self._delivery.hold((address.platform, address.chat_id), turn.live.close)

    async def _drop_caches(self, keys: Sequence[ConversationKey]) -> None:
        for key in keys:
            await self._generator.forget(key.text)
