"""The ports without a database: for a chat that nobody needs tomorrow, and for tests.

They keep the same rules as the SQL ones (`tests/contracts` runs over both) and
forget everything when the process ends. Nothing here waits, so each call is one
step for the event loop, as a transaction is one step for the database.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from botbridge.answers import Recent
from botbridge.characters import storable
from botbridge.messages import (
    Address,
    AuditEntry,
    BotId,
    ChatId,
    ConversationKey,
    InboxId,
    InboxRow,
    InboxState,
    IncomingMessage,
    MessageId,
    MessageKind,
    OutboxPart,
    Outcome,
    Part,
    PartId,
    PartState,
    PlatformName,
    Spent,
    UserId,
)
from botbridge.storage.codec import storable_message
from botbridge.storage.memory_store import InMemoryStore, Message
from botbridge.storage.rules import DUE, MALFORMED, PairBudget, username_key


class InMemoryInbox:
    """`ports.Inbox` in memory; one object is one start of the service."""

    def __init__(self, store: InMemoryStore) -> None:
        self._store = store
        self._boot = object()

    async def accept(self, incoming: IncomingMessage, key: ConversationKey) -> InboxRow | None:
        """Store a message, its sender and its conversation; None when it is already known."""
        clean = storable_message(incoming)
        store, address, sender = self._store, clean.address, clean.sender
        if not store.admit(address, clean.message_id, clean.kind):
            return None
        store.people[address.platform, address.bot_id, sender.user_id] = sender
        epoch = store.epochs.setdefault(key, 0)
        inbox_id = InboxId(len(store.messages) + 1)
        store.messages[inbox_id] = Message(
            id=inbox_id,
            address=address,
            message_id=clean.message_id,
            kind=clean.kind,
            state=InboxState.RECEIVED,
            key=key,
            epoch=epoch,
            user_id=sender.user_id,
            username=username_key(sender.username),
            incoming=clean,
        )
        return InboxRow(inbox_id, key, epoch, clean, InboxState.RECEIVED)

    async def ignore(self, address: Address, message_id: MessageId, raw: bytes, reason: str) -> None:  # noqa: ARG002 - nobody can read the reason here.
        """Store what could not be understood, with its bytes."""
        if self._store.admit(address, message_id, MALFORMED):
            inbox_id = InboxId(len(self._store.messages) + 1)
            self._store.messages[inbox_id] = Message(
                inbox_id, address, message_id, MALFORMED, InboxState.IGNORED, raw=raw
            )

    async def queued(self, inbox_id: InboxId, *, text: str | None = None) -> None:
        """Note that the message stands in the line, perhaps with another text; nothing changes when it is final."""
        message = self._unfinished(inbox_id)
        if message is not None and message.incoming is not None:
            incoming = message.incoming if text is None else replace(message.incoming, text=storable(text))
            self._store.messages[inbox_id] = replace(message, state=InboxState.QUEUED, incoming=incoming)

    async def running(self, inbox_id: InboxId) -> bool:
        """Claim the message and count an attempt; False when it is already final."""
        message = self._unfinished(inbox_id)
        if message is None:
            return False
        claimed = replace(message, state=InboxState.RUNNING, attempts=message.attempts + 1, claimed_by=self._boot)
        self._store.messages[inbox_id] = claimed
        return True

    async def requeued(self, inbox_id: InboxId, *, is_to_blame: bool = False) -> None:
        """Put a running message back into the line; nothing changes when it is final."""
        message = self._unfinished(inbox_id)
        if message is not None:
            crashes = message.crashes + is_to_blame
            self._store.messages[inbox_id] = replace(message, state=InboxState.QUEUED, crashes=crashes, claimed_by=None)

    async def release(self) -> int:
        """Put back what an earlier start of the service claimed; return how many messages that were."""
        stale = [
            message
            for message in self._store.messages.values()
            if message.state is InboxState.RUNNING and message.claimed_by is not self._boot
        ]
        for message in stale:
            self._store.messages[message.id] = replace(message, state=InboxState.QUEUED, claimed_by=None)
        return len(stale)

    async def finish(self, inbox_id: InboxId, outcome: Outcome) -> tuple[OutboxPart, ...] | None:
        """Store state, turns and parts; None when the message was final already."""
        return self._store.end(inbox_id, outcome)

    async def unfinished(self) -> Sequence[InboxRow]:
        """Return all messages that are not final, oldest first."""
        return self._store.unfinished()

    def _unfinished(self, inbox_id: InboxId) -> Message | None:
        message = self._store.messages.get(inbox_id)
        return None if message is None or message.state.is_final else message


class InMemoryHistory:
    """`ports.History` in memory."""

    def __init__(self, store: InMemoryStore) -> None:
        self._store = store

    async def recent(self, key: ConversationKey, limit_chars: int) -> Recent:
        """Return the newest whole pairs of the current epoch that fit, and the adapter."""
        budget = PairBudget(limit_chars)
        budget.take(
            (turn.answer.question, turn.answer.text)
            for turn in reversed(self._store.turns.get(key, []))
            if turn.epoch == self._store.epochs[key]
        )
        return Recent(budget.turns, self._store.adapters.get(key))

    async def matching(
        self,
        *,
        platform: PlatformName | None = None,
        bot_id: BotId | None = None,
        chat_id: ChatId | None = None,
        user_id: UserId | None = None,
    ) -> Sequence[ConversationKey]:
        """Return the conversations that fit all that is given; nothing given means all."""
        return [
            key
            for key in self._store.epochs
            if platform in (None, key.platform)
            and bot_id in (None, key.bot_id)
            and chat_id in (None, key.chat_id)
            and user_id in (None, key.user_id)
        ]

    async def reset(
        self,
        keys: Sequence[ConversationKey],
        notice: Callable[[InboxRow], Outcome | None],
        *,
        before: InboxId | None = None,
    ) -> Sequence[InboxRow]:
        """Start a new epoch for each conversation and end its unfinished messages that `notice` ends."""
        existing = {key for key in keys if key in self._store.epochs}
        older = [row for row in self._store.unfinished() if row.key in existing and (before is None or row.id < before)]
        # All notices first: one that raises leaves everything as it is.
        ends = [(row, notice(row)) for row in older]
        for key in existing:
            self._store.begin_epoch(key, before)
        return [row for row, outcome in ends if outcome is not None and self._store.end(row.id, outcome) is not None]

    async def adapter(self, key: ConversationKey) -> str | None:
        """Return the adapter that a conversation is answered with; None for the bare model."""
        return self._store.adapters.get(key)

    async def choose_adapter(self, keys: Sequence[ConversationKey], adapter: str | None) -> None:
        """Answer conversations with another adapter from now on."""
        self._store.adapters.update({key: adapter for key in keys if key in self._store.epochs})

    async def last_question(self, key: ConversationKey, person: UserId, *, before: InboxId) -> str | None:
        """Return what a person last asked in the current epoch before some message; None when it was not answered."""
        store = self._store
        answered = [
            (turn.inbox_id, turn.answer.question)
            for turn in store.turns.get(key, [])
            if (turn.epoch, store.messages[turn.inbox_id].user_id) == (store.epochs[key], person)
            and turn.inbox_id < before
        ]
        asked = [
            message.id
            for message in store.messages.values()
            if (message.key, message.user_id, message.kind) == (key, person, MessageKind.TEXT)
            and message.state.is_final
            and message.id < before
        ]
        return answered[-1][1] if answered and answered[-1][0] >= max(asked, default=InboxId(0)) else None

    async def spent(self, within_s: float) -> Sequence[Spent]:
        """Return what was computed for the answers of the last so many seconds, oldest first."""
        now_s, found = time.time(), []
        for key, turns in self._store.turns.items():
            for turn in turns:
                user_id, age_s = self._store.messages[turn.inbox_id].user_id, now_s - turn.at_s
                if user_id is not None and 0 <= age_s <= within_s:
                    made = turn.answer.provenance
                    tokens = made.prompt_tokens - made.cached_tokens + made.completion_tokens
                    found.append(Spent(key.platform, user_id, tokens, age_s))
        return sorted(found, key=lambda spent: -spent.age_s)


class InMemoryOutbox:
    """`ports.Outbox` in memory."""

    def __init__(self, store: InMemoryStore) -> None:
        self._store = store

    async def open_status(self, inbox_id: InboxId, address: Address, part: Part) -> OutboxPart:
        """Note that a status message is about to be sent; its first attempt is counted already."""
        new = OutboxPart(PartId(0), inbox_id, address, part, PartState.SENDING, attempts=1, is_status=True)
        return replace(self._store.owe(new), attempts=0)

    async def due(self) -> Sequence[OutboxPart]:
        """Return all parts that are `pending` or `failed_retryable`, oldest first."""
        return [owed.part for owed in self._store.parts.values() if owed.part.state in DUE]

    async def interrupted(self) -> Sequence[OutboxPart]:
        """Return all parts left in `sending`, oldest first."""
        return [owed.part for owed in self._store.parts.values() if owed.part.state is PartState.SENDING]

    async def others(self, part: OutboxPart) -> frozenset[MessageId]:
        """Return the messages in a part's chat that are known to be other parts."""
        place = part.address.platform, part.address.bot_id, part.address.chat_id
        return frozenset(
            owed.message_id
            for owed in self._store.parts.values()
            if owed.message_id is not None
            and owed.part.id != part.id
            and (owed.part.address.platform, owed.part.address.bot_id, owed.part.address.chat_id) == place
        )

    async def mark(
        self,
        part_id: PartId,
        state: PartState,
        *,
        message_id: MessageId | None = None,
        detail: str = "",  # noqa: ARG002 - nobody can read it here.
    ) -> bool:
        """Move a part on; False when it is settled: it stays as it is, or it might be sent twice."""
        owed = self._store.parts[part_id]
        if owed.part.state.is_final:
            return False
        attempts = owed.part.attempts + (state is PartState.SENDING)
        self._store.parts[part_id] = replace(
            owed,
            part=replace(owed.part, state=state, attempts=attempts),
            message_id=owed.message_id if message_id is None else message_id,
        )
        return True

    async def status_sent(self, part_id: PartId, message_id: MessageId) -> None:
        """Note that a status message is in its chat; a reply that is owed and was not tried takes its place."""
        status = self._store.parts[part_id].part
        if not await self.mark(part_id, PartState.SENT, message_id=message_id):
            return
        owed = [owed for owed in self._store.parts.values() if owed.part.inbox_id == status.inbox_id]
        first = next((owed for owed in owed if not owed.part.is_status), None)
        if first is not None and first.part.state is PartState.PENDING and first.part.edits is None:
            self._store.parts[first.part.id] = replace(first, part=replace(first.part, edits=message_id))

    async def send_anew(self, part_id: PartId) -> None:
        """Note that the message which a part was to replace is gone; it is a message of its own from now on."""
        owed = self._store.parts[part_id]
        self._store.parts[part_id] = replace(owed, part=replace(owed.part, edits=None))

    async def lose_sight(self, part_id: PartId, notice: Part, *, detail: str = "") -> None:
        """Settle a part as `delivery_unknown` and owe its chat a notice, unless it has one or the part is one."""
        if await self.mark(part_id, PartState.DELIVERY_UNKNOWN, detail=detail):
            self._owe_notice(part_id, notice, edits=None)

    async def refused(self, part_id: PartId, notice: Part, *, detail: str = "") -> None:
        """Settle a part as `undeliverable` and owe its chat a notice, unless it has one or the part is one."""
        if await self.mark(part_id, PartState.UNDELIVERABLE, detail=detail):
            self._owe_notice(part_id, notice, edits=self._store.parts[part_id].part.edits)

    def _owe_notice(self, part_id: PartId, notice: Part, edits: MessageId | None) -> None:
        part = self._store.parts[part_id].part
        if any(owed.part.is_notice for owed in self._store.parts.values() if owed.part.inbox_id == part.inbox_id):
            return
        new = replace(part, part=notice, state=PartState.PENDING, edits=edits, attempts=0)
        self._store.owe(replace(new, is_status=False, is_notice=True))


class InMemoryAudit:
    """`ports.Audit` in memory."""

    def __init__(self, store: InMemoryStore) -> None:
        self._store = store

    async def record(self, entry: AuditEntry) -> None:
        """Append an entry."""
        self._store.audit.append(entry)


class InMemoryState:
    """`ports.State` in memory."""

    def __init__(self, store: InMemoryStore) -> None:
        self._store = store

    async def get(self, name: str) -> str | None:
        """Return the value stored under a name, None if there is none."""
        return self._store.state.get(name)

    async def put(self, name: str, value: str) -> None:
        """Store a value, replacing the former one."""
        self._store.state[name] = value
