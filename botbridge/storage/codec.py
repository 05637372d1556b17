"""Messages as JSON text, and text as every database can hold it.

The boundary for text that no database takes is here and in `tables.StorableText`:
an accepted message passes `storable_message` before it is written, and what the
caller gets back is the cleaned message, so that what is answered is what is
stored; every other text column cleans what is bound to it.
"""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any

from botbridge.answers import Sampling
from botbridge.characters import storable
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


def plain(value: Address | IncomingMessage | Person | Sampling) -> dict[str, Any]:
    """Return the fields of a dataclass by name, as they are: `asdict` copies each, which takes nine times as long.

    >>> plain(Person(UserId("1"), "Sara"))["display_name"]
    'Sara'
    """
    return {field.name: getattr(value, field.name) for field in fields(value)}


def storable_message(incoming: IncomingMessage) -> IncomingMessage:
    """Return the message with every text that a person chose made storable, and its time in UTC.

    Ids are the platform's own and stay as they are.
    """
    return replace(
        incoming,
        text=storable(incoming.text),
        sender=_storable_person(incoming.sender),
        target=None if incoming.target is None else _storable_person(incoming.target),
        sent_at=incoming.sent_at.astimezone(UTC),
    )


def encode_message(incoming: IncomingMessage) -> str:
    """Write a message as ASCII JSON."""
    return json.dumps(
        plain(incoming)
        | {
            "address": plain(incoming.address),
            "sender": plain(incoming.sender),
            "sent_at": incoming.sent_at.isoformat(),
            "target": None if incoming.target is None else plain(incoming.target),
            "sampling": None if incoming.sampling is None else plain(incoming.sampling),
        }
    )


def decode_message(encoded: str) -> IncomingMessage:
    """Read what `encode_message` wrote."""
    fields: dict[str, Any] = json.loads(encoded)
    return IncomingMessage(
        address=_address(fields["address"]),
        message_id=MessageId(fields["message_id"]),
        kind=MessageKind(fields["kind"]),
        sender=_person(fields["sender"]),
        text=fields["text"],
        sent_at=datetime.fromisoformat(fields["sent_at"]),
        target=None if fields["target"] is None else _person(fields["target"]),
        sampling=None if fields["sampling"] is None else Sampling(**fields["sampling"]),
        has_attachment=fields.get("has_attachment", False),  # older rows do not say
    )


def encode_address(address: Address) -> str:
    """Write an address as ASCII JSON."""
    return json.dumps(plain(address))


def decode_address(encoded: str) -> Address:
    """Read what `encode_address` wrote."""
    return _address(json.loads(encoded))


def _address(fields: dict[str, Any]) -> Address:
    thread_id, reply_to = fields["thread_id"], fields["reply_to"]
    return Address(
        platform=PlatformName(fields["platform"]),
        bot_id=BotId(fields["bot_id"]),
        chat_id=ChatId(fields["chat_id"]),
        chat_kind=ChatKind(fields["chat_kind"]),
        thread_id=None if thread_id is None else ThreadId(thread_id),
        reply_to=None if reply_to is None else MessageId(reply_to),
        interaction=fields["interaction"],
    )


def _person(fields: dict[str, Any]) -> Person:
    return Person(UserId(fields["user_id"]), fields["display_name"], fields["username"], fields["language"])


def _storable_person(person: Person) -> Person:
    return replace(
        person,
        display_name=storable(person.display_name),
        username=None if person.username is None else storable(person.username),
        language=None if person.language is None else storable(person.language),
    )
