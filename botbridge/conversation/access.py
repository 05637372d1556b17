"""Who may talk to the bot, and who may act on whose conversations.

Rights come from numeric ids and, for administrators of a chat, from what the
platform says at the moment of the act; never from a name.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from botbridge.conversation.line import PersonKey
from botbridge.messages import ConversationKey, IncomingMessage


class AccessMode(StrEnum):
    """Whether strangers are answered."""

    OPEN = "open"
    LISTED = "listed"


@dataclass(frozen=True, slots=True)
class Access:
    """Who may talk, and who operates the bot.

    Attributes:
        operators: May act on everybody's conversations; always allowed to talk.
        block: Never answered but with a refusal; wins over `allow`.
    """

    mode: AccessMode = AccessMode.OPEN
    allow: frozenset[PersonKey] = frozenset()
    block: frozenset[PersonKey] = frozenset()
    operators: frozenset[PersonKey] = frozenset()

    def may_talk(self, person: PersonKey) -> bool:
        """Whether a person's messages are answered at all."""
        if person in self.operators:
            return True
        if person in self.block:
            return False
        return self.mode is AccessMode.OPEN or person in self.allow


class Right(StrEnum):
    """By what right somebody acts; the weakest that suffices is named in the audit."""

    OWN = "own"
    CHAT_ADMIN = "chat_admin"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Powers:
    """What somebody is, beyond being themselves, in the chat they speak in.

    Attributes:
        operator: Named in the operator's settings.
        chat_admin: The platform says, now, that they administer this group or server.
    """

    operator: bool
    chat_admin: bool


def right_to_reset(key: ConversationKey, by: IncomingMessage, powers: Powers) -> Right | None:
    """By what right the sender of a command may reset one conversation, None for none."""
    address = by.address
    same_chat = (key.platform, key.bot_id, key.chat_id) == (address.platform, address.bot_id, address.chat_id)
    if key.platform == address.platform and key.user_id == by.sender.user_id:
        return Right.OWN
    if same_chat and powers.chat_admin:
        return Right.CHAT_ADMIN
    return Right.OPERATOR if powers.operator else None
