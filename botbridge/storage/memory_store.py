"""What the in-memory ports share: one object that holds it all, and how a message ends in it."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field, replace

from botbridge.answers import Answer
from botbridge.messages import (
    Address,
    AuditEntry,
    BotId,
    ConversationKey,
    InboxId,
    InboxRow,
    InboxState,
    IncomingMessage,
    MessageId,
    OutboxPart,
    Outcome,
    PartId,
    PartState,
    Person,
    PlatformName,
    UserId,
)
from botbridge.storage.rules import addresses, require_final


@dataclass(frozen=True, slots=True)
class Message:
    """A message and how far it has come; `incoming` is None once it is final, key and sender when it was malformed."""

    id: InboxId
    address: Address
    message_id: MessageId
    kind: str
    state: InboxState
    key: ConversationKey | None = None
    epoch: int = 0
    user_id: UserId | None = None
    username: str | None = None
    incoming: IncomingMessage | None = None
    raw: bytes | None = None
    attempts: int = 0
    crashes: int = 0
    claimed_by: object = None


@dataclass(frozen=True, slots=True)
class Remembered:
    """A question with its answer, and when that was given, in seconds since 1970."""

    inbox_id: InboxId
    epoch: int
    answer: Answer
    at_s: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True)
class Owed:
    """A part and what became of it."""

    part: OutboxPart
    message_id: MessageId | None = None


@dataclass(frozen=True, slots=True)
class InMemoryStore:
    """Everything that the in-memory ports know; gone with the process. Give the same one to all of them."""

    messages: dict[InboxId, Message] = field(default_factory=dict)
    known: set[tuple[str, ...]] = field(default_factory=set)
    epochs: dict[ConversationKey, int] = field(default_factory=dict)
    adapters: dict[ConversationKey, str | None] = field(default_factory=dict)
    turns: dict[ConversationKey, list[Remembered]] = field(default_factory=lambda: defaultdict(list))
    parts: dict[PartId, Owed] = field(default_factory=dict)
    people: dict[tuple[PlatformName, BotId, UserId], Person] = field(default_factory=dict)
    audit: list[AuditEntry] = field(default_factory=list)
    state: dict[str, str] = field(default_factory=dict)

    def admit(self, address: Address, message_id: MessageId, kind: str) -> bool:
        """Note that a message was seen; False when it was seen before."""
        place = (address.platform, address.bot_id, address.chat_id, message_id, kind)
        is_new = place not in self.known
        self.known.add(place)
        return is_new

    def unfinished(self) -> list[InboxRow]:
        """Return the messages that are not final, oldest first."""
        return [
            InboxRow(
                message.id,
                message.key,
                message.epoch,
                message.incoming,
                message.state,
                message.attempts,
                self._status_of(message.id),
                message.crashes,
            )
            for message in self.messages.values()
            if message.key is not None and message.incoming is not None
        ]

    def begin_epoch(self, key: ConversationKey, after: InboxId | None) -> None:
        """Begin a conversation's next epoch, which also has what was accepted after a message; None for nothing."""
        self.epochs[key] += 1
        if after is None:
            return
        for message in list(self.messages.values()):
            if message.key == key and message.id > after:
                self.messages[message.id] = replace(message, epoch=message.epoch + 1)
        self.turns[key] = [replace(turn, epoch=turn.epoch + (turn.inbox_id > after)) for turn in self.turns[key]]

    def owe(self, part: OutboxPart) -> OutboxPart:
        """Store a part under the next id and return it."""
        numbered = replace(part, id=PartId(len(self.parts) + 1))
        self.parts[numbered.id] = Owed(numbered)
        return numbered

    def end(self, inbox_id: InboxId, outcome: Outcome) -> tuple[OutboxPart, ...] | None:
        """End a message; what is owed now, None when it was final already and nothing changed."""
        require_final(outcome)
        message = self.messages.get(inbox_id)
        if message is None or message.key is None or message.incoming is None:
            return None
        self.messages[inbox_id] = replace(message, state=outcome.state, incoming=None)
        if outcome.answer is not None and message.epoch == self.epochs[message.key]:
            self.turns[message.key].append(Remembered(inbox_id, message.epoch, outcome.answer))
        places = addresses(message.incoming.address, len(outcome.parts))
        language = message.incoming.sender.language
        return tuple(
            self.owe(
                OutboxPart(
                    PartId(0),
                    inbox_id,
                    place,
                    part,
                    PartState.PENDING,
                    edits=outcome.edits if position == 0 else None,
                    ending=outcome.state,
                    language=language,
                )
            )
            for position, (part, place) in enumerate(zip(outcome.parts, places, strict=True))
        )

    def _status_of(self, inbox_id: InboxId) -> MessageId | None:
        sent = [
            owed.message_id
            for owed in self.parts.values()
            if owed.part.is_status and owed.part.inbox_id == inbox_id and owed.message_id is not None
        ]
        return sent[-1] if sent else None
