"""What comes from Discord: the client with its events, in order, and the facts of each message.

Covered: events are handed on in the order in which the gateway sent them; one
that discord.py cannot read is handed on as it is, the connection lives on.
Not covered: what is said while no session exists, see `catch_up`; a session
that is resumed brings it by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import discord
import structlog

from botbridge.messages import Address, BotId, ChatId, ChatKind, MessageId, Person, ThreadId, UserId
from botbridge.platforms.discord.translate import DISCORD, MessageFacts, Place, channel_of

MAX_RATELIMIT_WAIT_S = 30.0
"""The least that discord.py takes; without it, it sleeps as long as Discord says."""

LAST_BEAT_S = 5.0
"""How long the end waits for a heartbeat that is just being sent."""

SERVERS_LOOK_S = 0.05
"""How often it is looked whether all servers have been told."""

log = structlog.get_logger(__name__)


def intents(*, message_content: bool) -> discord.Intents:
    """What the bot asks to hear: messages and the channels they are in, nothing privileged unless wanted.

    Source: https://discord.com/developers/docs/events/gateway#gateway-intents
    """
    wanted = discord.Intents.none()
    wanted.guilds = wanted.guild_messages = wanted.dm_messages = True
    wanted.message_content = message_content
    return wanted


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An event that discord.py could not make sense of."""

    event: str
    data: Any
    reason: str

    @property
    def raw(self) -> bytes:
        """The event as JSON."""
        return json.dumps(self.data).encode()

    def address(self, bot_id: BotId) -> tuple[Address, MessageId]:
        """Where it was said and its id, as far as it says so."""
        facts = self.data if isinstance(self.data, dict) else {}
        kind = ChatKind.GROUP if "guild_id" in facts else ChatKind.PRIVATE
        chat_id = ChatId(str(facts.get("channel_id", "")))
        return Address(DISCORD, bot_id, chat_id, kind), MessageId(str(facts.get("id", "")))


CANCEL_AGAIN_S: Final = 0.1


async def _ended(task: asyncio.Task[None]) -> None:
    """Cancel until it is over; what it raises then is of no interest.

    Once is not enough: before Python 3.12 `asyncio.wait_for`, in which discord.py
    connects, loses a cancel that comes together with a failure.
    Source: CPython's issue 86296.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=CANCEL_AGAIN_S)
    if not task.cancelled():
        task.exception()


class IngestClient(discord.Client):
    """Hands every message, and what it cannot read, to `take`.

    Args:
        take: Is given each.
        message_content: Ask for the privileged intent.
        begun: Is called when a new session begins, before any of its messages is taken in.
        heartbeat_timeout_s: A gateway that is silent for longer is left.
        longest_pause_s: How long `stay` waits for a gateway.
    """

    def __init__(
        self,
        take: Callable[[discord.Message | Unreadable], None],
        *,
        message_content: bool,
        begun: Callable[[], None],
        heartbeat_timeout_s: float,
        longest_pause_s: float,
    ) -> None:
        super().__init__(
            intents=intents(message_content=message_content),
            allowed_mentions=discord.AllowedMentions.none(),
            max_messages=None,
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            max_ratelimit_timeout=MAX_RATELIMIT_WAIT_S,
            heartbeat_timeout=heartbeat_timeout_s,
        )
        self._take = take
        self._begun = begun
        self._heartbeat_timeout_s = heartbeat_timeout_s
        self._longest_pause_s = longest_pause_s
        self._patience: asyncio.Timeout | None = None
        # An exception of a parser would leave connect() and end the session, with all that it could replay.
        parsers: dict[str, Callable[[Any], None]] = self._connection.parsers
        self._connection.parsers = survivable(parsers, take)

    @property
    def heartbeat_age_s(self) -> float | None:
        """Seconds since the gateway last acknowledged a heartbeat, or greeted us; None while there is no gateway."""
        # discord.py tells how quick the last answer was, but not when it came.
        return None if self._beating is None else time.perf_counter() - self._beating._last_ack  # noqa: SLF001

    @property
    def is_zombie(self) -> bool:
        """True when the gateway is open and has acknowledged nothing for longer than a heartbeat and its timeout.

        discord.py minds only a gateway that is silent altogether.
        Source: https://discord.com/developers/docs/events/gateway#heartbeat-interval
        """
        beating, age_s = self._beating, self.heartbeat_age_s
        if beating is None or age_s is None:
            return False
        return age_s > (beating.interval or 0.0) + self._heartbeat_timeout_s

    @property
    def _beating(self) -> discord.gateway.KeepAliveHandler | None:
        """discord.py's thread that beats, which it shows to nobody."""
        return None if self.ws is None else self.ws._keep_alive  # noqa: SLF001

    async def stay(self) -> None:
        """Connect, and stay as long as discord.py gets back what it loses.

        It resumes the session after pauses that double up to 1,024 s, and it can be
        told no others. So it has `longest_pause_s` after each loss and each failure.

        Raises:
            TimeoutError: it did not get the gateway back; nothing more comes through this client.
            Exception: whatever discord.py cannot cope with.
        """
        connecting = asyncio.create_task(self.connect(), name="discord-gateway")
        try:
            async with asyncio.timeout(self._longest_pause_s) as self._patience:
                await asyncio.wait([connecting])
            connecting.result()
        finally:
            self._patience = None
            await _ended(connecting)

    def _wait(self, longest_s: float | None) -> None:
        """Give discord.py so long from now on, None as long as it likes, unless its time is up."""
        if self._patience is not None and not self._patience.expired():
            until_s = None if longest_s is None else asyncio.get_running_loop().time() + longest_s
            self._patience.reschedule(until_s)

    async def close(self) -> None:
        """Leave Discord, and leave nothing running."""
        # Between READY and the last server's arrival discord.py waits in a task that its own `close` forgets.
        if (ready := self._connection._ready_task) is not None:  # noqa: SLF001
            ready.cancel()
        async with self._last_beat():
            await super().close()

    async def hang_up(self) -> None:
        """End the session; calls that send stay possible."""
        async with self._last_beat():
            if self.ws is not None:
                await self.ws.close(code=1000)

    @contextlib.asynccontextmanager
    async def _last_beat(self) -> AsyncIterator[None]:
        """Leave the gateway inside, and wait for the thread that beats: it would call into a loop that is gone."""
        beating = self._beating
        yield
        if beating is not None:
            await asyncio.to_thread(beating.join, LAST_BEAT_S)

    async def servers_told(self) -> None:
        """Return once a new session has been told of its servers, which come one by one; `is_ready` guesses at that."""
        while any(guild.unavailable for guild in self.guilds):  # noqa: ASYNC110 - no event tells of it before `ready`
            await asyncio.sleep(SERVERS_LOOK_S)

    async def written_after(
        self, place: Place, after_id: int, limit: int
    ) -> list[tuple[int, discord.Message | Unreadable]]:
        """The first messages of a channel behind an id, oldest first, each with its own id.

        Raises:
            discord.HTTPException: the channel is gone, or closed to us.
        """
        channel_id, parent = int(channel_of(place)), self.get_channel(int(place.chat_id))
        # No history says in which server it is; without it nobody knows the roles that are mentioned.
        server_id = parent.guild.id if isinstance(parent, discord.abc.GuildChannel) else None
        channel = self.get_partial_messageable(channel_id, guild_id=server_id)
        page = await self.http.logs_from(channel_id, limit, after=after_id)
        return [(int(data["id"]), self._message(channel, data)) for data in reversed(page)]

    def _message(self, channel: discord.PartialMessageable, data: Any) -> discord.Message | Unreadable:  # noqa: ANN401
        try:
            return self._connection.create_message(channel=channel, data=data)
        except Exception as error:  # noqa: BLE001 - one unreadable message must not stop the others
            return Unreadable("MESSAGE_CREATE", data, repr(error))

    async def on_connect(self) -> None:
        """Tell that a new session has begun: what was said before it comes by no event."""
        self._wait(None)
        self._begun()

    async def on_disconnect(self) -> None:
        """Note that the gateway was lost, or could not be reached again."""
        self._wait(self._longest_pause_s)

    async def on_message(self, message: discord.Message) -> None:
        """Take a message in."""
        self._take(message)

    async def on_ready(self) -> None:
        """Tell the operator that we hear."""
        log.info("discord connected", bot=str(self.user), servers=len(self.guilds))

    async def on_resumed(self) -> None:
        """Tell the operator that we hear again, with nothing missed."""
        self._wait(None)
        log.info("discord session resumed")


def survivable(
    parsers: Mapping[str, Callable[[Any], None]], report: Callable[[Unreadable], None]
) -> dict[str, Callable[[Any], None]]:
    """Readers of gateway events that report what they cannot read, instead of raising."""

    def guarded(event: str, parse: Callable[[Any], None]) -> Callable[[Any], None]:
        def read(data: Any) -> None:  # noqa: ANN401 - whatever Discord sent
            try:
                parse(data)
            except Exception as error:  # noqa: BLE001 - one unreadable event must not stop the others
                report(Unreadable(event, data, repr(error)))

        return read

    return {event: guarded(event, parse) for event, parse in parsers.items()}


def person_of(user: discord.User | discord.Member, language: str | None = None) -> Person:
    """Somebody as we know them."""
    return Person(UserId(str(user.id)), user.display_name, user.name, language)


def place_of(channel: object) -> Place | None:
    """Where a channel object is; None when it does not say (a thread that discord.py has not met)."""
    match channel:
        case discord.DMChannel():
            return Place(ChatId(str(channel.id)), ChatKind.PRIVATE)
        case discord.Thread():
            return Place(ChatId(str(channel.parent_id)), ChatKind.GROUP, ThreadId(str(channel.id)))
        case discord.abc.GuildChannel():
            return Place(ChatId(str(channel.id)), ChatKind.GROUP)
        case _:
            return None


def facts_of(message: discord.Message, place: Place) -> MessageFacts:
    """What counts of a message."""
    replied = message.reference.resolved if message.reference is not None else None
    return MessageFacts(
        message_id=MessageId(str(message.id)),
        place=place,
        author=person_of(message.author),
        content=message.content,
        sent_at=message.created_at,
        is_speech=message.type in (discord.MessageType.default, discord.MessageType.reply),
        from_program=message.author.bot or message.webhook_id is not None,
        mentioned=tuple(person_of(user) for user in message.mentions),
        own_roles=_own_roles(message),
        reply_author=person_of(replied.author) if isinstance(replied, discord.Message) else None,
        was_edited=message.edited_at is not None,
        has_attachment=bool(message.attachments or message.stickers),
    )


def _own_roles(message: discord.Message) -> tuple[str, ...]:
    """Of the roles that a message mentions, the one that Discord made for the bot.

    Source: https://discord.com/developers/docs/topics/permissions#role-object-role-tags-structure
    """
    own = None if message.guild is None else message.guild.self_role
    return (str(own.id),) if own is not None and own in message.role_mentions else ()
