"""Everybody who takes part: people on both platforms, and a botbridge between; and what came of what they said."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

from tests.fakes.discord import FakeDiscord
from tests.fakes.telegram.client import FakeTelegram, Person, Record, Sent
from tests.journey.bridge import Bridge

OPERATOR = Person(99, "The operator")
SARA = Person(42)


def settings_of(telegram: FakeTelegram, discord: FakeDiscord) -> dict[str, str]:
    """What a botbridge on both platforms is told; its model says back what it is told itself."""
    return {
        "TELEGRAM__TOKEN": telegram.token,
        "TELEGRAM__API_BASE_URL": telegram.url,
        "DISCORD__TOKEN": discord.token,
        "DISCORD__API_BASE_URL": discord.api_url,
        "DISCORD__GATEWAY_URL": discord.gateway_url,
        "ADMINS__TELEGRAM": str(OPERATOR.id),
        "INFERENCE__ENGINE": "echo",
    }


@dataclass
class Town:
    """Both platforms and the service between them."""

    bridge: Bridge
    telegram: FakeTelegram
    discord: FakeDiscord
    _ids: Iterator[int] = field(default_factory=lambda: count(1000))

    def somebody(self) -> Person:
        """A person on Telegram who was never seen before."""
        return Person(next(self._ids))


@dataclass
class Place:
    """A chat or channel: what people said in it, and what the bot says there now, edits included."""

    asked: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    @property
    def answers(self) -> list[str]:
        """What is not the status line of an answer to come; a crash may leave one of those behind."""
        return [text for text in self.said if not is_status(text)]


def is_status(text: str) -> bool:
    """Whether a text only tells that an answer is to come."""
    return text.startswith("⏳") or text == "Writing…"


def says(text: str) -> Callable[[Sent], bool]:
    """For `wait_for_reply`: the message reads so now, whatever stood there before."""
    return lambda sent: sent.text == text


def telegram_places(record: Record) -> dict[str, Place]:
    """All chats of a Telegram ledger, by `telegram:ID`."""
    places: defaultdict[str, Place] = defaultdict(Place)
    for update in record.updates:
        message = json.loads(update["content"])["message"]
        places[f"telegram:{message['chat']['id']}"].asked.append(message["text"])
    for sent in record.sent:
        places[f"telegram:{sent.chat_id}"].said.append(sent.text)
    return dict(places)


async def discord_places(discord: FakeDiscord) -> dict[str, Place]:
    """All channels of a Discord ledger, by `discord:ID`."""
    places: defaultdict[str, Place] = defaultdict(Place)
    now: dict[str, tuple[str, str]] = {}
    for entry in await discord.ledger("said", "sent", "edited"):
        if entry["kind"] == "said":
            text = entry["content"].replace(f"<@{discord.bot_id}>", "").strip()
            places[f"discord:{entry['channel_id']}"].asked.append(text)
        else:
            now[entry["message_id"]] = entry["channel_id"], entry["content"]
    for channel_id, text in now.values():
        places[f"discord:{channel_id}"].said.append(text)
    return dict(places)
