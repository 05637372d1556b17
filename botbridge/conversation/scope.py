"""Which conversation a message belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from botbridge.messages import ChatKind, ConversationKey, IncomingMessage, PlatformName


class Scope(StrEnum):
    """Who shares a conversation in a group or channel.

    `USER`: each person has their own there, apart in each topic or thread.
    `THREAD`: everybody in a topic or thread shares one. `CHAT`: everybody in
    the chat, topics and threads included.
    """

    USER = "user"
    CHAT = "chat"
    THREAD = "thread"


def key_for(incoming: IncomingMessage, scopes: Mapping[PlatformName, Scope]) -> ConversationKey:
    """The conversation of a message; in a private chat it is always the person's own.

    Args:
        scopes: The scope of groups per platform; `USER` for platforms not named.
    """
    address = incoming.address
    scope = Scope.USER if address.chat_kind is ChatKind.PRIVATE else scopes.get(address.platform, Scope.USER)
    return ConversationKey(
        platform=address.platform,
        bot_id=address.bot_id,
        chat_id=address.chat_id,
        thread_id=None if scope is Scope.CHAT else address.thread_id,
        user_id=incoming.sender.user_id if scope is Scope.USER else None,
    )


def spoken(incoming: IncomingMessage, key: ConversationKey) -> str:
    """What the model reads: the text, after the speaker's name where several people share a conversation."""
    if key.user_id is not None:
        return incoming.text
    return f"{_speaker(incoming)}{incoming.text}"


def unspoken(question: str, incoming: IncomingMessage, key: ConversationKey) -> str:
    """What somebody wrote, from what the model read of it: the reverse of `spoken`, for the same person."""
    return question if key.user_id is not None else question.removeprefix(_speaker(incoming))


def _speaker(incoming: IncomingMessage) -> str:
    return f"{incoming.sender.display_name}: " if incoming.sender.display_name else ""
