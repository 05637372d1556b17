"""What exists on the fake Discord: people, servers, channels, threads and messages.

Names are all a test has to know: a person or a channel comes into being when
it is first named. Only this module changes the world; `payloads` shows it.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

Json = dict[str, Any]

DISCORD_EPOCH_MS = 1_420_070_400_000
"""Source: https://discord.com/developers/docs/reference#snowflakes."""

MANAGE_SERVER = 1 << 5
EVERYDAY = 1 << 10 | 1 << 11 | 1 << 16  # view, send, read history

MESSAGE, REPLY, SLASH_ANSWER = 0, 19, 20
EPHEMERAL, LOADING = 1 << 6, 1 << 7
TEXT_CHANNEL, DIRECT, PUBLIC_THREAD = 0, 1, 11


class Clock:
    """Seconds that tests can push forward: tokens and nonces expire by it."""

    def __init__(self) -> None:
        self._ahead_s = 0.0

    def now_s(self) -> float:
        """Monotonic seconds plus what was added."""
        return time.monotonic() + self._ahead_s

    def advance(self, seconds: float) -> None:
        """Let time pass at once."""
        self._ahead_s += seconds


@dataclass
class User:
    """Somebody, a bot included; `shown` is the display name, `username` the handle."""

    id: str
    username: str
    shown: str
    bot: bool = False


@dataclass
class Channel:
    """A channel, a thread (with a parent) or a direct conversation (with a recipient).

    A thread that is archived takes no edits, and comes back with the next message, unless it is locked.
    Source: https://discord.com/developers/docs/topics/threads#active--archived-threads and
    discord/discord-api-docs#2855 (only a send brings one back).
    """

    id: str
    type: int
    name: str
    guild_id: str | None = None
    parent_id: str | None = None
    recipient: User | None = None
    archived: bool = False
    locked: bool = False


@dataclass
class Guild:
    """A server; `managers` hold Manage Server by a role, the owner holds everything, the bot has a role by itself."""

    id: str
    name: str
    owner: User
    manager_role_id: str
    bot_role_id: str
    members: dict[str, User] = field(default_factory=dict)
    managers: set[str] = field(default_factory=set)
    channels: dict[str, Channel] = field(default_factory=dict)


@dataclass
class Message:
    """One message as Discord keeps it."""

    id: str
    channel: Channel
    author: User
    content: str
    type: int = MESSAGE
    timestamp: str = ""
    reply_to: Message | None = None
    mentions: tuple[User, ...] = ()
    attachments: int = 0
    flags: int = 0
    webhook_id: str | None = None
    edited: str | None = None
    only_for: str | None = None
    """The person who alone sees an ephemeral message."""


@dataclass
class Interaction:
    """One use of a slash command and how far its answer has come."""

    id: str
    token: str
    user: User
    channel: Channel
    created_s: float
    state: Literal["waiting", "answered"] = "waiting"
    original: Message | None = None


class World:
    """Everything that exists, found by name or id."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._last_id = 0
        self.bot = User(self.next_id(), "botbridge", "botbridge", bot=True)
        self.application_id = self.next_id()
        self.users: dict[str, User] = {self.bot.id: self.bot}
        self.guilds: dict[str, Guild] = {}
        self.channels: dict[str, Channel] = {}
        self.messages: dict[str, Message] = {}
        self.interactions: dict[str, Interaction] = {}
        self.commands: list[Json] = []

    def next_id(self) -> str:
        """A new snowflake, larger than all before."""
        snowflake = (int(time.time() * 1000) - DISCORD_EPOCH_MS) << 22
        self._last_id = max(self._last_id + 1, snowflake)
        return str(self._last_id)

    def person(self, username: str, *, shown: str | None = None, bot: bool = False) -> User:
        """Somebody by their unique handle."""
        for user in self.users.values():
            if user.username == username:
                return user
        user = User(self.next_id(), username, shown or username.title(), bot)
        self.users[user.id] = user
        return user

    def guild(self, name: str) -> tuple[Guild, bool]:
        """A server by name, and whether it is new."""
        for guild in self.guilds.values():
            if guild.name == name:
                return guild, False
        owner = self.person(f"{name}-owner")
        guild = Guild(self.next_id(), name, owner, self.next_id(), self.next_id())
        guild.members = {owner.id: owner, self.bot.id: self.bot}
        self.guilds[guild.id] = guild
        return guild, True

    def channel(self, name: str, guild: Guild) -> tuple[Channel, bool]:
        """A text channel by name, and whether it is new."""
        return self._channel_in(guild, name, TEXT_CHANNEL, None)

    def thread(self, name: str, parent: Channel, guild: Guild) -> tuple[Channel, bool]:
        """A thread below a channel by name, and whether it is new."""
        return self._channel_in(guild, name, PUBLIC_THREAD, parent.id)

    def direct(self, user: User) -> Channel:
        """The private conversation between a person and the bot."""
        for channel in self.channels.values():
            if channel.recipient is not None and channel.recipient.id == user.id:
                return channel
        channel = Channel(self.next_id(), DIRECT, user.username, recipient=user)
        self.channels[channel.id] = channel
        return channel

    def post(self, channel: Channel, author: User, content: str, *, ago_s: float = 0.0, **details: Any) -> Message:
        """Store a message, as if it had been written `ago_s` earlier; who is mentioned is read off its text."""
        named = [self.users[found] for found in re.findall(r"<@!?(\d+)>", content) if found in self.users]
        message_id = str(int(self.next_id()) - (int(ago_s * 1000) << 22))
        message = Message(message_id, channel, author, content, timestamp=iso_now(), **details)
        if message.reply_to is not None and message.type == MESSAGE:
            message.type = REPLY
        message.mentions = tuple({user.id: user for user in (*named, *message.mentions)}.values())
        self.messages[message.id] = message
        return message

    def interaction(self, user: User, channel: Channel) -> Interaction:
        """Begin the use of a slash command."""
        made = Interaction(self.next_id(), f"token-{self.next_id()}", user, channel, self.clock.now_s())
        self.interactions[made.token] = made
        return made

    def _channel_in(self, guild: Guild, name: str, kind: int, parent_id: str | None) -> tuple[Channel, bool]:
        for channel in guild.channels.values():
            if (channel.name, channel.type, channel.parent_id) == (name, kind, parent_id):
                return channel, False
        channel = Channel(self.next_id(), kind, name, guild.id, parent_id)
        guild.channels[channel.id] = self.channels[channel.id] = channel
        return channel, True


def iso_now() -> str:
    """The time as Discord writes it."""
    return datetime.now(UTC).isoformat()
