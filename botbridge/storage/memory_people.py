"""Who was seen, in memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace

from botbridge.messages import Address, InboxState, Part, PartState, Person, PlatformName, UserId
from botbridge.storage.codec import encode_address, encode_message
from botbridge.storage.memory_store import InMemoryStore, Message
from botbridge.storage.rules import username_key


class InMemoryPeople:
    """`ports.People` in memory."""

    def __init__(self, store: InMemoryStore) -> None:
        self._store = store

    async def seen(self, address: Address, username: str) -> Sequence[Person]:
        """Return everybody who wrote in this chat under this username (any case), as last seen."""
        place = (address.platform, address.bot_id, address.chat_id)
        users = {
            message.user_id: None
            for message in self._store.messages.values()
            if (message.address.platform, message.address.bot_id, message.address.chat_id) == place
            and message.username == username_key(username)
        }
        return [
            self._store.people[address.platform, address.bot_id, user_id] for user_id in users if user_id is not None
        ]

    async def export(self, platform: PlatformName, user_id: UserId) -> dict[str, object]:
        """Return all that is stored of a person, as plain JSON values."""
        messages = self._messages(platform, user_id)
        ids = {message.id for message in messages}
        keys = {message.key: None for message in messages if message.key is not None}
        return {
            "platform": platform,
            "user_id": user_id,
            "identities": [
                {"platform": place[0], "bot_id": place[1], **asdict(person)}
                for place, person in self._store.people.items()
                if (place[0], place[2]) == (platform, user_id)
            ],
            "conversations": [
                {"key": key.text, "epoch": self._store.epochs[key], "adapter": self._store.adapters.get(key)}
                for key in keys
            ],
            "messages": [
                {
                    "message_id": message.message_id,
                    "state": message.state,
                    "payload": None if message.incoming is None else json.loads(encode_message(message.incoming)),
                }
                for message in messages
            ],
            "turns": [
                {"key": key.text, "epoch": turn.epoch, "role": role, "text": text}
                for key in keys
                for turn in self._store.turns.get(key, [])
                if turn.inbox_id in ids
                for role, text in (("user", turn.answer.question), ("assistant", turn.answer.text))
            ],
            "replies": [
                {
                    "text": owed.part.part.text,
                    "state": owed.part.state,
                    "address": json.loads(encode_address(owed.part.address)),
                }
                for owed in self._store.parts.values()
                if owed.part.inbox_id in ids
            ],
        }

    async def forget(self, platform: PlatformName, user_id: UserId) -> dict[str, int]:
        """Erase a person's messages, turns and names; return how many of each went."""
        store, messages = self._store, self._messages(platform, user_id)
        ids = {message.id for message in messages}
        counts = {
            "messages": self._forget_messages(platform, user_id, messages),
            "turns": 2 * sum(turn.inbox_id in ids for turns in store.turns.values() for turn in turns),
            "replies": sum(owed.part.inbox_id in ids and owed.part.part.text != "" for owed in store.parts.values()),
            "names": 0,
        }
        for turns in store.turns.values():
            turns[:] = [turn for turn in turns if turn.inbox_id not in ids]
        for part_id, owed in store.parts.items():
            if owed.part.inbox_id in ids:
                state = owed.part.state if owed.part.state.is_final else PartState.UNDELIVERABLE
                store.parts[part_id] = replace(owed, part=replace(owed.part, part=Part(""), state=state))
        for place, person in store.people.items():
            if (place[0], place[2]) == (platform, user_id):
                counts["names"] += person.display_name != "" or person.username is not None
                store.people[place] = Person(user_id)
        for key in store.epochs:
            if (key.platform, key.user_id) == (platform, user_id):
                store.epochs[key] += 1
        return counts

    def _forget_messages(self, platform: PlatformName, user_id: UserId, theirs: list[Message]) -> int:
        store, count = self._store, 0
        chats = {(message.address.bot_id, message.address.chat_id) for message in theirs}
        for message in theirs:
            count += message.incoming is not None or message.username is not None
            state = message.state if message.state.is_final else InboxState.CANCELLED
            store.messages[message.id] = replace(message, state=state, incoming=None, username=None)
        for message in list(store.messages.values()):
            place = message.address
            is_near = str(place.chat_id) == user_id or (place.bot_id, place.chat_id) in chats
            if message.raw is not None and place.platform == platform and is_near:
                count += 1
                store.messages[message.id] = replace(message, raw=None)
        return count

    def _messages(self, platform: PlatformName, user_id: UserId) -> list[Message]:
        return [
            message
            for message in self._store.messages.values()
            if (message.address.platform, message.user_id) == (platform, user_id)
        ]
