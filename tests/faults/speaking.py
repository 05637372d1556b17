"""People on both platforms who speak to one service, and the oracle's verdict on what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from discord.utils import snowflake_time

from tests.fakes.discord import FakeDiscord
from tests.fakes.telegram.client import Chat, FakeTelegram, Person, Record
from tests.faults.load import Saying, spoken
from tests.faults.oracle import Accepted, Owed, Said, Shown, Verdict, judge
from tests.journey.bridge import Bridge

ON_DISCORD = ("said", "slash", "sent", "edited", "deferred", "followed_up", "answer_edited")
ACCEPTED = """
SELECT id, platform, chat_id, message_id, state, (julianday(accepted_at) - 2440587.5) * 86400 AS accepted_s
FROM inbox WHERE state != 'ignored'
"""
OWED = "SELECT inbox_id, state, text, message_id, is_status FROM outbox ORDER BY id"


@dataclass
class Speakers:
    """People who note what they say.

    Attributes:
        said: What was said so far; of Discord's messages the platform knows the place.
    """

    telegram: FakeTelegram
    discord: FakeDiscord
    said: list[Said] = field(default_factory=list)

    async def say(self, saying: Saying) -> Said:
        """Say something on the platform that it is meant for."""
        said = await (self._on_telegram(saying) if saying.platform == "telegram" else self._on_discord(saying))
        self.said.append(said)
        return said

    async def verdict(self, bridge: Bridge) -> Verdict:
        """Hold what was said against the platforms' ledgers and the database."""
        telegram, discord = await self.telegram.ledger(), await self.discord.ledger(*ON_DISCORD)
        accepted = [
            Accepted(row["id"], f"{row['platform']}:{row['chat_id']}", row["message_id"], row["state"], _late_s(row))
            for row in bridge.rows(ACCEPTED)
        ]
        owed = [
            Owed(row["inbox_id"], row["state"], row["text"], row["message_id"], bool(row["is_status"]))
            for row in bridge.rows(OWED)
        ]
        shown = [*_shown_on_telegram(telegram), *_shown_on_discord(discord)]
        return judge(_placed(self.said, discord), accepted, owed, shown)

    async def _on_telegram(self, saying: Saying) -> Said:
        person, text = Person(1_000 + saying.person), spoken(saying)
        chat, addressed = person.chat, text
        if saying.group is not None:
            chat = Chat(-5_000 - saying.group)
            name = self.telegram.bot_username
            addressed = f"{text}@{name}" if text.startswith("/") else f"@{name} {text}"
        made = await self.telegram.say(person, addressed, chat=chat)
        return Said(saying.number, f"telegram:{chat.id}", str(made.message_id), person=str(person.id), text=text)

    async def _on_discord(self, saying: Saying) -> Said:
        where: dict[str, Any] = {"direct": True}
        if saying.group is not None:
            where = {"channel": f"channel{saying.group}"}
        person, text = f"person{saying.person}", spoken(saying)
        if saying.by_menu:
            message_id = await self.discord.slash(text.removeprefix("/"), person=person, **where)
        else:
            message_id = await self.discord.say(text, person=person, **where)
        return Said(saying.number, "discord:", message_id, person=person, text=text, by_menu=saying.by_menu)


def _late_s(row: Mapping[str, Any]) -> float:
    """How long after it was said a message was accepted; of no account on Telegram, which keeps what nobody fetched."""
    if row["platform"] != "discord":
        return 0.0
    return float(row["accepted_s"] - snowflake_time(int(row["message_id"])).timestamp())


def _placed(said: Sequence[Said], discord: Sequence[dict[str, Any]]) -> list[Said]:
    """What was said, with what only Discord's ledger knows of it: where, and whether it was acknowledged."""
    channels = {
        entry["message_id" if entry["kind"] == "said" else "interaction_id"]: f"discord:{entry['channel_id']}"
        for entry in discord
        if entry["kind"] in ("said", "slash")
    }
    acknowledged = {entry["interaction_id"] for entry in discord if entry["kind"] == "deferred"}
    return [
        replace(
            one,
            place=channels.get(one.message_id, one.place),
            is_void=one.by_menu and one.message_id not in acknowledged,
        )
        for one in said
    ]


def _shown_on_telegram(record: Record) -> list[Shown]:
    return [Shown(f"telegram:{sent.chat_id}", str(sent.message_id), sent.text) for sent in record.sent]


def _shown_on_discord(ledger: Sequence[dict[str, Any]]) -> list[Shown]:
    now = {
        entry["message_id"]: Shown(f"discord:{entry['channel_id']}", entry["message_id"], entry["content"])
        for entry in ledger
        if entry["kind"] not in ("said", "slash")
    }
    return [one for one in now.values() if one.text]  # without a text it is Discord's own sign that one waits
