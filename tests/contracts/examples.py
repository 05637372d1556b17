"""Messages, answers and keys to try the ports with."""

from __future__ import annotations

from datetime import UTC, datetime

from botbridge.answers import Answer, FinishReason, Provenance, Sampling
from botbridge.messages import (
    Address,
    BotId,
    ChatId,
    ChatKind,
    ConversationKey,
    InboxState,
    IncomingMessage,
    MessageId,
    MessageKind,
    Outcome,
    Part,
    Person,
    PlatformName,
    ThreadId,
    UserId,
)

AISHA = Person(UserId("1"), "Aisha", "aisha", "ar")
BILAL = Person(UserId("2"), "Bilal", "Bilal_B", None)
GROUP = Address(PlatformName("telegram"), BotId("7"), ChatId("-100"), ChatKind.GROUP, reply_to=MessageId("9"))
PRIVATE = Address(PlatformName("telegram"), BotId("7"), ChatId("1"), ChatKind.PRIVATE)
TOPIC = Address(PlatformName("telegram"), BotId("7"), ChatId("-100"), ChatKind.GROUP, thread_id=ThreadId("5"))

SHARED = ConversationKey(GROUP.platform, GROUP.bot_id, GROUP.chat_id, None, None)
AISHA_ALONE = ConversationKey(PRIVATE.platform, PRIVATE.bot_id, PRIVATE.chat_id, None, AISHA.user_id)
BILAL_IN_TOPIC = ConversationKey(GROUP.platform, GROUP.bot_id, GROUP.chat_id, ThreadId("5"), BILAL.user_id)

PROVENANCE = Provenance(
    model="smollm2-135m-instruct",
    revision="abc",
    engine="echo",
    engine_version="1",
    sampling=Sampling(seed=2**64 - 1),
    prompt_hash="0" * 64,
    prompt_tokens=12,
    cached_tokens=3,
    used_turns=1,
    completion_ids=(5, 6, 2),
)

CANCELLED = Outcome(InboxState.CANCELLED, (Part("stopped"),))


def message(
    message_id: str = "1",
    text: str = "hello",
    *,
    sender: Person = AISHA,
    address: Address = PRIVATE,
    kind: MessageKind = MessageKind.TEXT,
) -> IncomingMessage:
    """Return a message of Aisha's private chat, unless told otherwise."""
    return IncomingMessage(address, MessageId(message_id), kind, sender, text, datetime(2026, 11, 22, tzinfo=UTC))


def answered(question: str, answer: str, *texts: str, edits: MessageId | None = None) -> Outcome:
    """Return an answer, told in these parts or else in one."""
    parts = tuple(Part(text, '[{"type": "bold"}]') for text in texts or (answer,))
    return Outcome(InboxState.ANSWERED, parts, Answer(question, answer, FinishReason.STOP, PROVENANCE), edits=edits)
