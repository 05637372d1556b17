"""One raw update, told in our own words, if it is meant for the bot.

Covered: private chats; groups where the bot is mentioned, replied to or given a
command, by its name or one that it knows; topics; captions. Rights are never read from here: only the numeric id
of a real person leaves as a sender.

Not covered (silence): channels, other bots, people who write in the name of a
chat, edited messages, service messages; stickers and the like in groups.

Source: https://core.telegram.org/bots/api#message
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from botbridge.conversation.commands import NAMES
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
from botbridge.platforms.telegram.fields import Json, Malformed, integer, mapping, objects, required, text

TELEGRAM = PlatformName("telegram")

NOT_PEOPLE: Final = frozenset({777000, 1087968824, 136817688})
"""Senders that stand for many people: Telegram itself, anonymous administrators, channels that write in a group.

Source: https://core.telegram.org/bots/api#message (field `from`).
"""

_CHAT_KINDS = {"private": ChatKind.PRIVATE, "group": ChatKind.GROUP, "supergroup": ChatKind.GROUP}
_CONTENTS = (
    "animation", "audio", "checklist", "contact", "dice", "document", "game", "location", "paid_media", "photo",
    "poll", "sticker", "story", "venue", "video", "video_note", "voice",
)  # fmt: skip
_NAMING = ("bot_command", "mention", "text_mention")
_AFTER_MENTION = re.compile(r"^\s*(?:[,:،]\s+)?")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the bot is; its username stands without `@`."""

    user_id: int
    username: str

    @property
    def bot_id(self) -> BotId:
        """The id as every message carries it."""
        return BotId(str(self.user_id))

    def is_named(self, name: str) -> bool:
        """True for the bot's own username, in any case."""
        return name.casefold() == self.username.casefold()


@dataclass(frozen=True, slots=True)
class _Entity:
    """A stretch of a text, in UTF-16 units."""

    kind: str
    start: int
    end: int
    user: Json | None


class _Text:
    """A text with entities; all positions are UTF-16 units, as Telegram counts."""

    def __init__(self, content: str, entities: tuple[Json, ...]) -> None:
        self._units = content.encode("utf-16-le")
        self.length = len(self._units) // 2
        self.entities = tuple(
            _Entity(
                text(entity, "type") or "",
                start := integer(entity, "offset"),
                start + integer(entity, "length"),
                mapping(entity, "user"),
            )
            for entity in entities
        )
        if any(entity.start < 0 or entity.end > self.length for entity in self.entities):
            message = "an entity lies outside of its text"
            raise Malformed(message)

    def slice(self, start: int, end: int) -> str:
        return self._units[2 * start : 2 * end].decode("utf-16-le", "replace")


def to_incoming(update: Json, me: Identity) -> IncomingMessage | None:
    """Translate an update; None when it is not for the bot.

    Raises:
        Malformed: The update is not what the Bot API says it is.
    """
    message = mapping(update, "message")
    if message is None:
        return None
    chat = required(message, "chat")
    chat_kind = _CHAT_KINDS.get(text(chat, "type") or "")
    sender = mapping(message, "from")
    if chat_kind is None or sender is None or mapping(message, "sender_chat") is not None or not _is_human(sender):
        return None
    content = _Text(*_content(message))
    command = _command(content, me, chat_kind)
    if command is not None and not command.is_ours:
        return None
    if chat_kind is ChatKind.GROUP and not (command or _is_mentioned(content, me) or _is_reply_to(message, me)):
        return None
    if content.length == 0 and not _shows_something(message, chat_kind):
        return None
    words = command.text if command else _without_mentions(content, me, 0).strip()
    message_id = MessageId(str(integer(message, "message_id")))
    return IncomingMessage(
        address=Address(
            platform=TELEGRAM,
            bot_id=me.bot_id,
            chat_id=ChatId(str(integer(chat, "id"))),
            chat_kind=chat_kind,
            thread_id=_thread(message),
            reply_to=message_id if chat_kind is ChatKind.GROUP else None,
        ),
        message_id=message_id,
        kind=MessageKind.COMMAND if command else MessageKind.TEXT if words else MessageKind.UNSUPPORTED,
        sender=_person(sender),
        text=words,
        sent_at=_time(message),
        target=_target(message, content, me) if command else None,
        has_attachment=any(name in message for name in _CONTENTS),
    )


def album_of(update: Json) -> str | None:
    """The album that an update is a piece of: photos and files that were sent together, each as a message of its own.

    Source: https://core.telegram.org/bots/api#message (field `media_group_id`).
    """
    said = update.get("message")
    album = said.get("media_group_id") if isinstance(said, Mapping) else None
    return album if isinstance(album, str) else None


def _content(message: Json) -> tuple[str, tuple[Json, ...]]:
    words = text(message, "text")
    if words is not None:
        return words, objects(message, "entities")
    return text(message, "caption") or "", objects(message, "caption_entities")


def _shows_something(message: Json, chat_kind: ChatKind) -> bool:
    """True for what a person expects an answer to, though there is nothing to read in it."""
    return chat_kind is ChatKind.PRIVATE and ("text" in message or any(name in message for name in _CONTENTS))


@dataclass(frozen=True, slots=True)
class _Command:
    text: str
    is_ours: bool


def _command(content: _Text, me: Identity, chat_kind: ChatKind) -> _Command | None:
    """The command that a text begins with, a mention of the bot before it not counted."""
    begin = 0
    named = [entity for entity in content.entities if entity.kind in _NAMING]
    for entity in sorted(named, key=lambda entity: entity.start):
        if content.slice(begin, entity.start).strip():
            return None
        if entity.kind == "bot_command":
            name, _, bot = content.slice(entity.start, entity.end).partition("@")
            rest = _without_mentions(content, me, entity.end).strip()
            # Who is handed all that a group says is handed what is typed for its other bots, too.
            is_known = chat_kind is ChatKind.PRIVATE or begin > 0 or name.lower().removeprefix("/") in NAMES
            return _Command(f"{name.lower()} {rest}".strip(), me.is_named(bot) if bot else is_known)
        if not _means(entity, content, me):
            return None
        begin = entity.end
    return None


def _means(entity: _Entity, content: _Text, me: Identity) -> bool:
    if entity.kind == "mention":
        return me.is_named(content.slice(entity.start, entity.end).removeprefix("@"))
    return entity.kind == "text_mention" and entity.user is not None and integer(entity.user, "id") == me.user_id


def _is_mentioned(content: _Text, me: Identity) -> bool:
    return any(_means(entity, content, me) for entity in content.entities)


def _replied_to(message: Json) -> Json | None:
    """The message that a person chose to reply to.

    Every message of a topic also carries the one that opened the topic; that is nobody's choice.
    """
    replied = mapping(message, "reply_to_message")
    return None if replied is None or "forum_topic_created" in replied else replied


def _is_reply_to(message: Json, me: Identity) -> bool:
    replied = _replied_to(message)
    author = mapping(replied, "from") if replied is not None else None
    return author is not None and integer(author, "id") == me.user_id


def _without_mentions(content: _Text, me: Identity, begin: int) -> str:
    """The text from a position on, the bot's own name taken out."""
    pieces: list[str] = []
    for entity in content.entities:
        if entity.start >= begin and _means(entity, content, me):
            pieces.append(content.slice(begin, entity.start))
            begin = entity.end
    pieces.append(content.slice(begin, content.length))
    first, *others = pieces
    for piece in others:
        gap = " " if first.strip() else ""
        first = first.rstrip() + gap + _AFTER_MENTION.sub("", piece, count=1)
    return first


def _target(message: Json, content: _Text, me: Identity) -> Person | None:
    """Whom a command is about: named by a mention that carries an id, else by a reply."""
    for entity in content.entities:
        if (
            entity.kind == "text_mention"
            and entity.user is not None
            and not _means(entity, content, me)
            and _is_human(entity.user)
        ):
            return _person(entity.user)
    replied = _replied_to(message)
    author = mapping(replied, "from") if replied is not None else None
    if replied is None or author is None or "sender_chat" in replied or not _is_human(author):
        return None
    return _person(author)


def _is_human(user: Json) -> bool:
    return user.get("is_bot") is not True and integer(user, "id") not in NOT_PEOPLE


def _person(user: Json) -> Person:
    names = (text(user, "first_name"), text(user, "last_name"))
    return Person(
        user_id=UserId(str(integer(user, "id"))),
        display_name=" ".join(name for name in names if name),
        username=text(user, "username"),
        language=text(user, "language_code"),
    )


def _thread(message: Json) -> ThreadId | None:
    # Outside of topics the field names a chain of replies, which is no place to post to.
    if message.get("is_topic_message") is not True:
        return None
    return ThreadId(str(integer(message, "message_thread_id")))


def _time(message: Json) -> datetime:
    try:
        return datetime.fromtimestamp(integer(message, "date"), UTC)
    except (OverflowError, OSError, ValueError) as error:
        reason = "date is no time"
        raise Malformed(reason) from error
