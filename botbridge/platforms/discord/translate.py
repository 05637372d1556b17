"""What a Discord message means to us: pure functions, from small facts to an `IncomingMessage`.

Source: https://discord.com/developers/docs/resources/message
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from botbridge.characters import sound
from botbridge.messages import (
    Address,
    BotId,
    ChatId,
    ChatKind,
    IncomingMessage,
    MessageId,
    MessageKind,
    Person,
    PlatformName,
    ThreadId,
    UserId,
)

DISCORD = PlatformName("discord")

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_MENTION = re.compile(r"<@!?(\d+)>")


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was said: the channel, and the thread below it if there is one."""

    chat_id: ChatId
    kind: ChatKind
    thread_id: ThreadId | None = None


@dataclass(frozen=True, slots=True)
class MessageFacts:
    """What counts of a message.

    Attributes:
        is_speech: A message of its own or a reply, not a notice such as "somebody joined".
        from_program: A bot or a webhook wrote it.
        mentioned: Everybody whom it mentions; a reply mentions its receiver unless the ping was off.
        own_roles: The roles among those that it mentions which Discord made for the bot, and which bear its name.
        reply_author: Who wrote the message that it replies to.
        was_edited: It once said something else. Only a message that is found late can be.
        has_attachment: A file or a sticker came with it.
    """

    message_id: MessageId
    place: Place
    author: Person
    content: str
    sent_at: datetime
    is_speech: bool = True
    from_program: bool = False
    mentioned: tuple[Person, ...] = ()
    own_roles: tuple[str, ...] = ()
    reply_author: Person | None = None
    was_edited: bool = False
    has_attachment: bool = False


def channel_of(place: Place | Address) -> str:
    """The id by which Discord knows where something is written: the thread's where there is one.

    >>> channel_of(Place(ChatId("5"), ChatKind.GROUP, ThreadId("6")))
    '6'
    """
    return place.thread_id or place.chat_id


def to_incoming(facts: MessageFacts, bot_id: BotId) -> IncomingMessage | None:
    """The message if it is meant for the bot, else None.

    In private all is; in a channel what mentions the bot, or the role that has
    its name and stands beside it where people choose, or replies to it. A
    reply whose ping was switched off comes without its text (Discord withholds
    it) and is passed on as unsupported, so that it can be answered with a
    sentence. What became a command by an edit is none.
    """
    is_private = facts.place.kind is ChatKind.PRIVATE
    meant = {person.user_id for person in (*facts.mentioned, facts.reply_author) if person is not None}
    addressed = is_private or UserId(bot_id) in meant or bool(facts.own_roles)
    if facts.from_program or not facts.is_speech or not addressed:
        return None
    text = _without_mention_of(bot_id, facts.own_roles, sound(facts.content))
    target = None
    if text.startswith("/"):
        if facts.was_edited:
            return None
        target, text = _target_of(facts, text, bot_id)
        kind = MessageKind.COMMAND
    else:
        text = _with_names(text, facts.mentioned)
        kind = MessageKind.TEXT if text else MessageKind.UNSUPPORTED
    return IncomingMessage(
        address=Address(
            DISCORD,
            bot_id,
            facts.place.chat_id,
            facts.place.kind,
            facts.place.thread_id,
            reply_to=facts.message_id,
        ),
        message_id=facts.message_id,
        kind=kind,
        sender=facts.author,
        text=text,
        sent_at=facts.sent_at,
        target=target,
        has_attachment=facts.has_attachment,
    )


def to_command(
    *,
    bot_id: BotId,
    place: Place,
    interaction_id: MessageId,
    interaction: str,
    sender: Person,
    words: tuple[str, ...],
    target: Person | None,
    sent_at: datetime,
) -> IncomingMessage:
    """The command that somebody chose from Discord's menu, written as people would type it.

    Args:
        words: The command's name and what follows it.
        interaction: Everything that the answer needs, see `answers`.
    """
    return IncomingMessage(
        address=Address(DISCORD, bot_id, place.chat_id, place.kind, place.thread_id, interaction_id, interaction),
        message_id=interaction_id,
        kind=MessageKind.COMMAND,
        sender=sender,
        text="/" + " ".join(words),
        sent_at=sent_at,
        target=target,
    )


def shown(text: str) -> str:
    r"""The text as it may be sent: sound, without characters that could steer a terminal or a log.

    >>> shown("a\x1b[31m\x00b\n")
    'a[31mb\n'
    """
    return _CONTROLS.sub("", sound(text))


def _without_mention_of(bot_id: BotId, own_roles: tuple[str, ...], text: str) -> str:
    mentions = "|".join([f"!?{bot_id}", *(f"&{role}" for role in own_roles)])
    return re.sub(rf"[ \t]*<@(?:{mentions})>[ \t]*", " ", text).strip()


def _with_names(text: str, people: tuple[Person, ...]) -> str:
    names = {person.user_id: person.display_name for person in people}

    def name_of(mention: re.Match[str]) -> str:
        name = names.get(UserId(mention[1]))
        return f"@{name}" if name else mention[0]

    return _MENTION.sub(name_of, text)


def _target_of(facts: MessageFacts, text: str, bot_id: BotId) -> tuple[Person | None, str]:
    """Whom a typed command is about: the person it mentions, else the one it replies to."""
    if (mention := _MENTION.search(text)) is not None:
        named = next((person for person in facts.mentioned if person.user_id == mention[1]), None)
        if named is not None:
            return named, " ".join((text[: mention.start()] + text[mention.end() :]).split())
    replied = facts.reply_author
    return (replied if replied is not None and replied.user_id != UserId(bot_id) else None), text
