"""Chats, people, messages and the updates that the bot has not confirmed; no network here."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.fakes.telegram import entities as tdlib
from tests.fakes.telegram.flood import Flood

LIMIT_UTF16_UNITS = 4096
BOT_ID = 7_000_000_001
BELIEVED_AHEAD_IDS = 10
Json = dict[str, Any]


class ApiError(Exception):
    """A refusal as the Bot API words it."""

    def __init__(self, code: int, description: str, parameters: Json | None = None) -> None:
        super().__init__(code, description, parameters)
        self.code = code
        self.description = description
        self.parameters = parameters


def bad_request(reason: str) -> ApiError:
    """A 400; Telegram begins the reason with a small letter."""
    return ApiError(400, f"Bad Request: {reason[:1].lower()}{reason[1:]}")


@dataclass
class Ledger:
    """Everything that happened, in order; `updates` holds what was offered to the bot, `sent` what it said."""

    events: list[Json] = field(default_factory=list)
    updates: dict[int, Json] = field(default_factory=dict)
    sent: list[Json] = field(default_factory=list)

    def note(self, kind: str, **facts: Any) -> None:
        """Append an event."""
        self.events.append({"kind": kind, "at_s": time.monotonic(), **facts})


@dataclass
class World:
    """One bot and everybody who talks to it."""

    username: str = "OurBot"
    bot_id: int = BOT_ID
    sees_all: bool = False
    ledger: Ledger = field(default_factory=Ledger)
    flood: Flood = field(default_factory=Flood)
    waiting: dict[int, str] = field(default_factory=dict)
    """Unconfirmed updates by id, as the JSON text that goes out."""
    webhook_url: str = ""
    webhook_secret: str = ""
    webhook_error: tuple[int, str] | None = None
    """When a delivery last failed, in seconds of the epoch, and how."""
    allowed_updates: list[str] = field(default_factory=list)
    menus: dict[str, list[Json]] = field(default_factory=dict)
    _chats: dict[int, Json] = field(default_factory=dict)
    _messages: dict[tuple[int, int], Json] = field(default_factory=dict)
    _topics: set[tuple[int, int]] = field(default_factory=set)
    _members: dict[tuple[int, int], str] = field(default_factory=dict)
    _shut: dict[int, str] = field(default_factory=dict)
    _moved: dict[int, int] = field(default_factory=dict)
    next_update: int = 500_001
    _next_message: int = 101

    @property
    def me(self) -> Json:
        """The bot as a `User`."""
        return {"id": self.bot_id, "is_bot": True, "first_name": "Our Bot", "username": self.username}

    # What people do ------------------------------------------------------

    def say(self, chat: Json, sender: Json | None, fields: Json) -> Json:
        """Let somebody write; `fields` are those of `Message`, and `reply_to` and `thread` by id."""
        self._chats[chat["id"]] = chat
        fields = dict(fields)
        message: Json = {"message_id": self._new_message_id(), "date": int(time.time()), "chat": chat}
        if sender is not None:
            message["from"] = sender
        thread, reply_to = fields.pop("thread", None), fields.pop("reply_to", None)
        if thread is not None:
            self._topics.add((chat["id"], thread))
            message |= {"message_thread_id": thread, "is_topic_message": True}
            message["reply_to_message"] = {
                "message_id": thread, "date": 0, "chat": chat, "forum_topic_created": {"name": "Topic", "icon_color": 0}
            }  # fmt: skip
        if reply_to is not None:
            message["reply_to_message"] = _without_reply(self._messages[chat["id"], reply_to])
        for content, found in (("text", "entities"), ("caption", "caption_entities")):
            if content in fields and found not in fields and (entities := tdlib.detected(fields[content])):
                message[found] = entities
        message |= fields
        self._messages[chat["id"], message["message_id"]] = message
        update_id = self.offer(json.dumps({"message": message}))
        return {"update_id": update_id, "message_id": message["message_id"]}

    def offer(self, content: str) -> int:
        """Queue an update, given as the text of a JSON object without an id; whatever is in it goes out as it is."""
        update_id, self.next_update = self.next_update, self.next_update + 1
        separator = "" if content.strip() == "{}" else ","
        self.waiting[update_id] = f'{{"update_id":{update_id}{separator}' + content.strip().removeprefix("{")
        self.ledger.updates[update_id] = {"update_id": update_id, "content": content, "is_confirmed": False}
        self.ledger.note("update", update_id=update_id)
        return update_id

    def delete(self, chat_id: int, message_id: int) -> None:
        """Remove a message, as its author or an administrator may."""
        del self._messages[chat_id, message_id]

    def set_member(self, chat_id: int, user_id: int, status: str) -> None:
        """Make somebody `creator`, `administrator`, `member`, `left`, or `unknown`."""
        self._members[chat_id, user_id] = status

    def shut(self, chat_id: int, description: str) -> None:
        """Answer every send to a chat with 403; an empty description opens it again."""
        if description:
            self._shut[chat_id] = description
        else:
            self._shut.pop(chat_id, None)

    def upgrade(self, chat_id: int, to: int) -> None:
        """Make a group a supergroup: it has another id from now on, and its messages stay behind."""
        self._moved[chat_id] = to
        self._chats[to] = {**self._chats[chat_id], "id": to, "type": "supergroup"}

    # What the bot does ---------------------------------------------------

    def confirm(self, offset: int) -> None:
        """Forget the updates before an offset; a negative one keeps that many of the newest.

        An offset far beyond the newest update is not believed, so that nothing is forgotten by it.
        Source: https://github.com/tdlib/td/blob/master/tddb/td/db/TQueue.cpp, `TQueueImpl::get`.
        """
        if offset > self.next_update + BELIEVED_AHEAD_IDS:
            return
        ids = sorted(self.waiting)
        gone = [update_id for update_id in ids if update_id < offset] if offset >= 0 else ids[:offset]
        for update_id in gone:
            del self.waiting[update_id]
            self.ledger.updates[update_id]["is_confirmed"] = True
            self.ledger.note("confirmed", update_id=update_id)

    def confirm_one(self, update_id: int) -> None:
        """Forget an update that a webhook took."""
        del self.waiting[update_id]
        self.ledger.updates[update_id]["is_confirmed"] = True
        self.ledger.note("confirmed", update_id=update_id)

    def set_webhook(self, parameters: Json) -> None:
        """`setWebhook` and `deleteWebhook`."""
        self.webhook_url = str(parameters.get("url", ""))
        self.webhook_secret = str(parameters.get("secret_token", ""))
        self.allowed_updates = parameters.get("allowed_updates") or []
        self.ledger.note(
            "webhook",
            url=self.webhook_url,
            has_secret=bool(self.webhook_secret),
            allowed_updates=self.allowed_updates,
            drops=parameters.get("drop_pending_updates") == "true",
        )

    def webhook_info(self) -> Json:
        """`getWebhookInfo`."""
        info: Json = {
            "url": self.webhook_url,
            "has_custom_certificate": False,
            "pending_update_count": len(self.waiting),
        }
        if self.webhook_error is not None:
            info["last_error_date"], info["last_error_message"] = self.webhook_error
        return info

    def send(self, parameters: Json) -> Json:
        """`sendMessage`."""
        chat = self._open_chat(parameters)
        text, entities = _checked_text(parameters)
        message: Json = {
            "message_id": self._new_message_id(),
            "date": int(time.time()),
            "chat": chat,
            "from": self.me,
            "text": text,
            **({"entities": entities} if entities else {}),
        }
        thread = parameters.get("message_thread_id")
        if thread is not None:
            if (chat["id"], int(thread)) not in self._topics:
                raise bad_request("message thread not found")
            message |= {"message_thread_id": int(thread), "is_topic_message": True}
        reply = parameters.get("reply_parameters") or {}
        if reply:
            quoted = self._messages.get((chat["id"], int(reply["message_id"])))
            if quoted is not None:
                message["reply_to_message"] = _without_reply(quoted)
            elif not reply.get("allow_sending_without_reply"):
                raise bad_request("message to be replied not found")
        self._count(chat["id"])
        self._messages[chat["id"], message["message_id"]] = message
        self.ledger.sent.append(
            {**message, "edits": [], "options": {"preview": parameters.get("link_preview_options")}}
        )
        self.ledger.note("message", chat_id=chat["id"], message_id=message["message_id"])
        return message

    def edit(self, parameters: Json) -> Json:
        """`editMessageText`."""
        chat = self._open_chat(parameters)
        message = self._messages.get((chat["id"], int(parameters["message_id"])))
        if message is None:
            raise bad_request("message to edit not found")
        if message["from"]["id"] != self.bot_id:
            raise bad_request("message can't be edited")
        text, entities = _checked_text(parameters)
        if text == message["text"] and entities == message.get("entities", []):
            raise bad_request(
                "message is not modified: specified new message content and reply markup are exactly the same "
                "as a current content and reply markup of the message"
            )
        self._count(chat["id"])
        message |= {"text": text, "entities": entities, "edit_date": int(time.time())}
        entry = next(sent for sent in self.ledger.sent if _same(sent, message))
        entry["edits"].append(entry["text"])
        entry |= {"text": text, "entities": entities}
        self.ledger.note("edit", chat_id=chat["id"], message_id=message["message_id"])
        return message

    def member(self, chat_id: int, user_id: int) -> Json:
        """`getChatMember`."""
        status = self._members.get((chat_id, user_id), "member")
        if status == "unknown":
            raise bad_request("PARTICIPANT_ID_INVALID")
        rights = {}
        if status == "administrator":
            names = (
                "be_edited manage_chat delete_messages manage_video_chats restrict_members promote_members "
                "change_info invite_users post_stories edit_stories delete_stories"
            )
            rights = {f"can_{name}": True for name in names.split()} | {"is_anonymous": False}
        if status == "creator":
            rights = {"is_anonymous": False}
        return {"user": {"id": user_id, "is_bot": False, "first_name": "Member"}, "status": status, **rights}

    def open_chat(self, parameters: Json) -> Json:
        """The chat that a call is about.

        Raises:
            ApiError: It is unknown, or does not let the bot in.
        """
        return self._open_chat(parameters)

    def facts(self) -> Json:
        """The ledger, with what was asked too early."""
        return {
            **asdict(self.ledger),
            "updates": list(self.ledger.updates.values()),
            "early_calls": self.flood.early_calls,
            "menus": self.menus,
            "webhook_url": self.webhook_url,
            "webhook_secret": self.webhook_secret,
        }

    def _open_chat(self, parameters: Json) -> Json:
        chat_id = int(parameters.get("chat_id", 0))
        if chat_id in self._shut:
            raise ApiError(403, f"Forbidden: {self._shut[chat_id]}")
        if chat_id in self._moved:
            reason = "Bad Request: group chat was upgraded to a supergroup chat"
            raise ApiError(400, reason, {"migrate_to_chat_id": self._moved[chat_id]})
        if chat_id not in self._chats:
            raise bad_request("chat not found")
        return self._chats[chat_id]

    def _count(self, chat_id: int) -> None:
        wait_s = self.flood.penalty_s(chat_id)
        if wait_s:
            raise too_many(wait_s)

    def _new_message_id(self) -> int:
        message_id, self._next_message = self._next_message, self._next_message + 1
        return message_id


def too_many(retry_after_s: int) -> ApiError:
    """A 429."""
    return ApiError(429, f"Too Many Requests: retry after {retry_after_s}", {"retry_after": retry_after_s})


def _without_reply(message: Json) -> Json:
    return {name: value for name, value in message.items() if name != "reply_to_message"}


def _same(one: Json, other: Json) -> bool:
    return one["message_id"] == other["message_id"] and one["chat"]["id"] == other["chat"]["id"]


def _checked_text(parameters: Json) -> tuple[str, tdlib.Entities]:
    """The text as Telegram takes it.

    Raises:
        ApiError: It is empty, too long, or its formatting is wrong.
    """
    text = str(parameters.get("text", ""))
    try:
        if parameters.get("parse_mode"):
            text, entities = tdlib.parsed(text, parameters["parse_mode"])
        else:
            entities = tdlib.checked(text, parameters.get("entities") or [])
    except tdlib.Refused as error:
        raise bad_request(str(error)) from error
    text = text.rstrip()
    if not text.strip():
        raise bad_request("message text is empty")
    if len(text.encode("utf-16-le")) // 2 > LIMIT_UTF16_UNITS:
        raise bad_request("message is too long")
    return text, entities
