"""The nouns of botbridge: what a message, a conversation, a turn and a reply are.

Everything here is frozen and knows no platform, no database and no model, so
that every other package can speak about the same things without importing one
another.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType
from urllib.parse import quote

from botbridge.answers import Answer, Sampling

PlatformName = NewType("PlatformName", str)
BotId = NewType("BotId", str)
ChatId = NewType("ChatId", str)
ThreadId = NewType("ThreadId", str)
UserId = NewType("UserId", str)
MessageId = NewType("MessageId", str)
InboxId = NewType("InboxId", int)
PartId = NewType("PartId", int)


class ChatKind(StrEnum):
    """Whether a chat has one reader or many; rights, scopes and pace depend on it."""

    PRIVATE = "private"
    GROUP = "group"


class MessageKind(StrEnum):
    """What arrived. `UNSUPPORTED` (a sticker, a photo) is answered with a sentence."""

    TEXT = "text"
    COMMAND = "command"
    UNSUPPORTED = "unsupported"


class InboxState(StrEnum):
    """The life of an accepted message; the last six are final."""

    RECEIVED = "received"
    QUEUED = "queued"
    RUNNING = "running"
    ANSWERED = "answered"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    QUARANTINED = "quarantined"
    IGNORED = "ignored"

    @property
    def is_final(self) -> bool:
        """True once nothing more will happen to the message."""
        return self not in (InboxState.RECEIVED, InboxState.QUEUED, InboxState.RUNNING)


class PartState(StrEnum):
    """The life of one message that we owe a chat.

    `DELIVERY_UNKNOWN` is a send whose outcome the platform never told us and
    which cannot be repeated without the risk of a second copy.
    """

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    FAILED_RETRYABLE = "failed_retryable"
    UNDELIVERABLE = "undeliverable"
    DELIVERY_UNKNOWN = "delivery_unknown"

    @property
    def is_final(self) -> bool:
        """True once the part is settled: it is not sent any more."""
        return self not in (PartState.PENDING, PartState.SENDING, PartState.FAILED_RETRYABLE)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody on one platform, as that platform names them.

    Attributes:
        user_id: The platform's own id; the only field that rights are read from.
        display_name: What the chat shows. Never trusted, never used as a key.
        username: The unique handle without `@`, where the platform has one.
        language: An IETF tag such as `ar` or `en-GB`, where the platform tells it.
    """

    user_id: UserId
    display_name: str = ""
    username: str | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """Where a reply goes, in the ids of the platform.

    Attributes:
        reply_to: The message that is answered, which the platform quotes where that is
            its way; None when nothing is to be quoted.
        interaction: What a platform needs to answer a command that it sent us
            outside the chat's own messages (Discord); opaque to everybody else.
    """

    platform: PlatformName
    bot_id: BotId
    chat_id: ChatId
    chat_kind: ChatKind
    thread_id: ThreadId | None = None
    reply_to: MessageId | None = None
    interaction: str | None = None


@dataclass(frozen=True, slots=True)
class IncomingMessage:
    """One message that somebody addressed to the bot, free of platform objects.

    Attributes:
        address: Where the reply goes.
        message_id: Unique within platform, bot, chat and kind.
        text: What was said, without the mention of the bot; may be empty.
        target: The person a command is about, named by reply or by a mention
            that carries an id.
        sent_at: The platform's clock, UTC; for display only.
        sampling: How this one answer is sampled; only the terminal and the
            Python API set it, None takes the operator's settings.
        has_attachment: Whether a photo, file or the like came with the text; nobody reads it.
    """

    address: Address
    message_id: MessageId
    kind: MessageKind
    sender: Person
    text: str
    sent_at: datetime
    target: Person | None = None
    sampling: Sampling | None = None
    has_attachment: bool = False


@dataclass(frozen=True, slots=True)
class ConversationKey:
    """What tells one conversation from another.

    `user_id` is None where everybody in a chat shares one conversation,
    `thread_id` is None outside topics and threads.
    """

    platform: PlatformName
    bot_id: BotId
    chat_id: ChatId
    thread_id: ThreadId | None
    user_id: UserId | None

    @property
    def text(self) -> str:
        """The key as one string, unique for unequal keys.

        >>> ConversationKey("telegram", "7", "-100", None, "42").text
        'telegram/7/-100/-/=42'
        """
        return "/".join(
            [
                quote(self.platform, safe=""),
                quote(self.bot_id, safe=""),
                quote(self.chat_id, safe=""),
                *("-" if part is None else "=" + quote(part, safe="") for part in (self.thread_id, self.user_id)),
            ]
        )


@dataclass(frozen=True, slots=True)
class Part:
    """One platform message of a reply, already short enough for its platform.

    Attributes:
        text: What is shown.
        markup: The platform's own formatting of `text` (for Telegram its
            entities as JSON); empty for none. Opaque outside the adapter.
    """

    text: str
    markup: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a message ended, stored in one transaction.

    Attributes:
        state: A final state.
        parts: What the chat is told, in order.
        answer: What the conversation remembers; None for all but answers.
        edits: The status message which the first part replaces.
    """

    state: InboxState
    parts: tuple[Part, ...] = ()
    answer: Answer | None = None
    edits: MessageId | None = None


@dataclass(frozen=True, slots=True)
class InboxRow:
    """An accepted message and how far it has come.

    Attributes:
        epoch: The conversation's epoch when the message arrived; a reset starts the next one, which also has what
            came after the command for it.
        attempts: How often a worker began to answer it.
        status_message_id: The message that shows place and progress, once it is sent.
        crashes: How often it was to blame for the end of an attempt.
    """

    id: InboxId
    key: ConversationKey
    epoch: int
    incoming: IncomingMessage
    state: InboxState
    attempts: int = 0
    status_message_id: MessageId | None = None
    crashes: int = 0


@dataclass(frozen=True, slots=True)
class OutboxPart:
    """One platform message that we owe a chat.

    Attributes:
        edits: The message to replace; None sends a new one.
        attempts: How often it was tried before.
        is_status: The part is the status message that shows progress, not a reply.
        ending: How the message ended to which this replies; None with a status message.
        is_notice: It says that nobody knows what became of another part of the same reply.
        language: The IETF tag of whom it is for, as far as it is known; None with a status message.
        others: Messages in its chat that are known to be other parts; found out before it is tried again.
    """

    id: PartId
    inbox_id: InboxId
    address: Address
    part: Part
    state: PartState
    edits: MessageId | None = None
    attempts: int = 0
    is_status: bool = False
    ending: InboxState | None = None
    is_notice: bool = False
    language: str | None = None
    others: frozenset[MessageId] = frozenset()


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what to whom with which right; never what was said."""

    actor: str
    action: str
    subject: str
    allowed: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Spent:
    """What was computed for one answer.

    Attributes:
        tokens: Those of the prompt that no cache had, and those of the reply.
        age_s: How long ago that was, in seconds.
    """

    platform: PlatformName
    user_id: UserId
    tokens: int
    age_s: float
