"""Updates as they come: out of the answer to `getUpdates`, so that one bad update spoils no other, or one by one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from botbridge.messages import Address, ChatId, ChatKind, MessageId
from botbridge.platforms.telegram.fields import Json, Malformed, integer, mapping, required
from botbridge.platforms.telegram.translate import TELEGRAM, Identity

_UPDATE_ID = re.compile(rb'"update_id"\s*:\s*(\d{1,15})')
UNKNOWN_CHAT = ChatId("unknown")


@dataclass(frozen=True, slots=True)
class RawUpdate:
    """One update as it came."""

    update_id: int
    content: Json
    raw: bytes


class Undecodable(ValueError):
    """A body that no JSON parser takes: too deep, numbers of thousands of digits, no JSON at all."""


def updates_in(body: bytes) -> tuple[RawUpdate, ...]:
    """The updates of a successful answer; what has no id cannot be confirmed and is left out.

    Raises:
        Undecodable: The body as a whole cannot be read.
    """
    try:
        result = json.loads(body)["result"]
    except (ValueError, RecursionError, LookupError, TypeError) as error:
        message = f"answer to getUpdates cannot be read: {type(error).__name__}"
        raise Undecodable(message) from error
    if not isinstance(result, list):
        message = "answer to getUpdates is no list"
        raise Undecodable(message)
    return tuple(
        RawUpdate(update["update_id"], update, json.dumps(update).encode())
        for update in result
        if isinstance(update, Mapping) and type(update.get("update_id")) is int
    )


def update_in(body: bytes) -> RawUpdate:
    """The one update that a webhook brought.

    >>> update_in(b'{"update_id": 7}').update_id
    7

    Raises:
        Undecodable: It cannot be read, or has no id.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        message = f"an update cannot be read: {type(error).__name__}"
        raise Undecodable(message) from error
    if not isinstance(content, Mapping) or type(content.get("update_id")) is not int:
        message = "an update tells no id"
        raise Undecodable(message)
    return RawUpdate(content["update_id"], content, body)


def lone_update_id(body: bytes) -> int | None:
    """The id of the only update in a body that cannot be read, found by its name."""
    found = _UPDATE_ID.search(body)
    return int(found[1]) if found else None


def place_of(update: Json, me: Identity) -> Address:
    """Where an update came from, as far as it can be told; for the record of what was ignored."""
    try:
        chat = required(mapping(update, "message") or {}, "chat")
        chat_id, is_private = ChatId(str(integer(chat, "id"))), chat.get("type") == "private"
    except Malformed:
        chat_id, is_private = UNKNOWN_CHAT, False
    return Address(TELEGRAM, me.bot_id, chat_id, ChatKind.PRIVATE if is_private else ChatKind.GROUP)


def record_id(update_id: int) -> MessageId:
    """The id under which an update that was ignored is kept."""
    return MessageId(f"update-{update_id}")
