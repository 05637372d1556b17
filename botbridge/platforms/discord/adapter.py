"""Discord as a platform: messages in, replies out.

Covered: nobody is ever pinged by what the bot writes; a send that is repeated
within minutes makes no second copy (nonce), and later ones look for the first;
a lost connection is resumed by discord.py, and started anew where it gives up or
takes longer than a minute;
what was missed before a new session is fetched, within the bounds of `catch_up`.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Self

import discord
import structlog

from botbridge.errors import ChatClosed, DeliveryUnknown, PlatformError, PlatformUnavailable, ReplyRejected
from botbridge.faults import NO_FAULTS, Faults
from botbridge.health import PlatformHealth
from botbridge.messages import Address, ChatKind, MessageId, OutboxPart, Part, PartId, PlatformName, UserId
from botbridge.platforms.discord import render
from botbridge.platforms.discord.answers import Answers, came_too_late, may_be_read_by_all
from botbridge.platforms.discord.commands import SlashCommand
from botbridge.platforms.discord.connection import LONGEST_PAUSE_S, Connection
from botbridge.platforms.discord.failures import translated
from botbridge.platforms.discord.pauses import Pauses
from botbridge.platforms.discord.reception import Ignore
from botbridge.platforms.discord.translate import DISCORD, channel_of
from botbridge.ports import Intake, State

NOBODY = discord.AllowedMentions.none()
GROUP_EDIT_S, PRIVATE_EDIT_S = 2.0, 1.5
"""Discord names no number; 5 edits in 5 s were measured by others, and an answer shares them with its end.

Source: https://github.com/discord/discord-api-docs/issues/20
"""

LOOK_BACK_MESSAGES = 100
NONCE_LIVES_S = 60.0
"""After this a nonce is not relied upon; Discord remembers one for "the past few minutes".

Source: https://discord.com/developers/docs/resources/message#create-message
"""

log = structlog.get_logger(__name__)


class DiscordPlatform:
    """The bot on Discord; `async with` it, or `aclose` it when the last reply is out.

    Args:
        token: The bot's token.
        state: Where the hash of the command menu and the cursors are kept.
        ignore: Stores a message that cannot be understood.
        commands: The command menu.
        message_content: Ask for the privileged intent, to read replies whose ping is off.
        api_base_url: Of a compatible server, as `http://host:3001/api/v10`.
        gateway_url: Of a compatible server, as `ws://host:3001/gateway`.
        timeout_s: After this a call to Discord is given up and tried again later;
            discord.py waits out limits of up to 30 s within it.
        heartbeat_timeout_s: A gateway that is silent, or acknowledges no heartbeat, for longer is left.
        longest_pause_s: A gateway that was lost is begun anew when it is not back after so
            long, with growing pauses up to this one.
        now_s: Monotonic seconds.
        faults: What happens before and after commands are registered and each is acknowledged.
    """

    def __init__(
        self,
        token: str,
        *,
        state: State,
        ignore: Ignore,
        commands: Sequence[SlashCommand] = (),
        message_content: bool = False,
        api_base_url: str | None = None,
        gateway_url: str | None = None,
        timeout_s: float = 60.0,
        heartbeat_timeout_s: float = 60.0,
        longest_pause_s: float = LONGEST_PAUSE_S,
        now_s: Callable[[], float] = time.monotonic,
        faults: Faults = NO_FAULTS,
    ) -> None:
        self._timeout_s = timeout_s
        self._now_s = now_s
        self._pauses = Pauses(now_s)
        self._unsure_since_s: dict[PartId, float] = {}
        self._unsure_answers = set[PartId]()
        self._connection = Connection(
            token,
            state=state,
            ignore=ignore,
            commands=commands,
            message_content=message_content,
            api_base_url=api_base_url,
            gateway_url=gateway_url,
            timeout_s=timeout_s,
            heartbeat_timeout_s=heartbeat_timeout_s,
            longest_pause_s=longest_pause_s,
            faults=faults,
        )

    @property
    def name(self) -> PlatformName:
        """`discord`."""
        return DISCORD

    def health(self) -> PlatformHealth:
        """Whether the gateway lets events through, why not, and when it last acknowledged a heartbeat."""
        connection = self._connection
        return PlatformHealth(connection.is_on, connection.heartbeat_age_s, detail=connection.trouble)

    def repeats_safely(self, part: OutboxPart) -> bool:
        """Discord keeps a message's nonce for some minutes, and the first answer to a command has one place to stand.

        What follows that answer has neither.
        """
        return part.address.interaction is None or part.address.reply_to is not None

    def render(self, text: str) -> tuple[Part, ...]:
        """Cut Markdown, which Discord shows by itself, into messages of 2,000 characters."""
        return render.render(text)

    def edit_interval_s(self, address: Address) -> float:
        """2 s in a channel, 1.5 s in private; an answer to a slash command is written once."""
        if address.interaction is not None:
            return math.inf
        return PRIVATE_EDIT_S if address.chat_kind is ChatKind.PRIVATE else GROUP_EDIT_S

    async def send(self, part: OutboxPart) -> MessageId:
        """Deliver a part; the message's id.

        An answer that comes too late for its command's token is a message of the channel, where all may read it.

        Raises:
            PlatformError: see `failures.translated`; DeliveryUnknown only for an answer
                to a slash command: its second and later messages, and its first when
                an earlier try can no longer be looked for.
        """
        try:
            return await self._send(part)
        except ReplyRejected as error:
            if not (came_too_late(error) and may_be_read_by_all(part.address)):
                raise
            if self._may_have_answered(part):
                message = "an earlier try may have answered the command"
                raise DeliveryUnknown(message) from error
        return await self._send(replace(part, address=replace(part.address, interaction=None), edits=None))

    async def _send(self, part: OutboxPart) -> MessageId:
        address, text = part.address, part.part.text
        if address.interaction is not None:
            async with translated(self._timeout_s):
                await self._connection.acknowledged(address.interaction)
            answers = Answers(self._connection.client.http, address.interaction, self._timeout_s)
            if part.edits is not None:
                return await answers.edit(part.edits, text)
            try:
                answered = await answers.send(text, again=self._may_have_answered(part))
            except PlatformUnavailable:
                self._unsure_answers.add(part.id)
                raise
            self._unsure_answers.discard(part.id)
            return answered
        if part.edits is not None:
            return await self._replace(address, part.edits, text)
        if self._is_beyond_nonce(part) and (former := await self._sent_before(part)) is not None:
            return former
        post = partial(
            self._messageable(address).send,
            text,
            nonce=nonce_of(part),
            allowed_mentions=NOBODY,
            suppress_embeds=True,
        )
        quoted = _quoted(address)
        try:
            async with self._pauses.kept(address, self._timeout_s):
                sent = await (post() if quoted is None else post(reference=quoted, mention_author=False))
        except PlatformUnavailable:
            self._unsure_since_s.setdefault(part.id, self._now_s())
            raise
        self._unsure_since_s.pop(part.id, None)
        return MessageId(str(sent.id))

    async def edit(self, address: Address, message_id: MessageId, text: str) -> None:
        """Replace a status message by as much of a text as fits."""
        await self._replace(address, message_id, render.fit(text))

    async def typing(self, address: Address) -> None:
        """Show `typing` for about ten seconds; Discord shows the like by itself while a command waits.

        Raises:
            ChatClosed: no answer will be taken here.
        """
        if address.interaction is not None:
            return
        try:
            async with self._pauses.kept(address, self._timeout_s):
                await self._messageable(address).typing()
        except ChatClosed:
            raise
        except PlatformError as error:
            log.debug("typing not shown", error=str(error))

    async def is_chat_admin(self, address: Address, user_id: UserId) -> bool:
        """Whether a person holds Manage Server where the channel is; in private, whether they are the one there."""
        client = self._connection.client
        async with translated(self._timeout_s):
            channel = await client.fetch_channel(int(address.chat_id))
            if isinstance(channel, discord.DMChannel):
                return any(str(user.id) == user_id for user in channel.recipients)
            if not isinstance(channel, discord.abc.GuildChannel):
                return False
            # Fetched, not taken from the cache: a role that was just withdrawn must count as withdrawn.
            guild = await client.fetch_guild(channel.guild.id, with_counts=False)
            try:
                member = await guild.fetch_member(int(user_id))
            except discord.NotFound:
                return False
            return member.guild_permissions.manage_guild

    async def run(self, intake: Intake) -> None:
        """Take messages in until cancelled; sending stays possible until `aclose`.

        Raises:
            BadToken: Discord does not let us in, and trying again will not help.
        """
        await self._connection.run(intake)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Leave Discord."""
        await self._connection.aclose()

    def _may_have_answered(self, part: OutboxPart) -> bool:
        """Whether an earlier try may have filled the place of a command's first answer; others are tried once."""
        return part.address.reply_to is not None and (part.attempts > 0 or part.id in self._unsure_answers)

    def _messageable(self, address: Address) -> discord.PartialMessageable:
        return self._connection.client.get_partial_messageable(int(channel_of(address)))

    async def _replace(self, address: Address, message_id: MessageId, text: str) -> MessageId:
        async with self._pauses.kept(address, self._timeout_s):
            message = self._messageable(address).get_partial_message(int(message_id))
            await message.edit(content=text, allowed_mentions=NOBODY)
        return message_id

    def _is_beyond_nonce(self, part: OutboxPart) -> bool:
        """Whether an earlier try may have left a message whose nonce Discord has forgotten."""
        since_s = self._unsure_since_s.get(part.id)
        # When an earlier process tried it, nobody knows.
        return part.attempts > 0 if since_s is None else self._now_s() - since_s > NONCE_LIVES_S

    async def _sent_before(self, part: OutboxPart) -> MessageId | None:
        """The message that an earlier try left behind, by its text and what it quotes; none that is another part's."""
        client, quoted = self._connection.client, _quoted(part.address)
        after = None if part.address.reply_to is None else discord.Object(int(part.address.reply_to))
        with contextlib.suppress(ReplyRejected):
            async with translated(self._timeout_s):
                async for message in self._messageable(part.address).history(limit=LOOK_BACK_MESSAGES, after=after):
                    quotes = message.reference.message_id if message.reference is not None else None
                    if (
                        message.author == client.user
                        and MessageId(str(message.id)) not in part.others
                        and message.content.strip() == part.part.text.strip()
                        # The quotation is missing where the question was deleted first.
                        and (quoted is None or quotes in (quoted.message_id, None))
                    ):
                        return MessageId(str(message.id))
        return None


def nonce_of(part: OutboxPart) -> str:
    """The same for every try of a part, another for every other part; 24 characters (Discord takes 25).

    Text and channel count besides the id, because a new database counts from 1 again.
    """
    address = part.address
    seed = "\0".join([str(part.id), address.chat_id, address.thread_id or "", address.reply_to or "", part.part.text])
    return base64.b32encode(hashlib.sha256(seed.encode("utf-8", "surrogatepass")).digest()[:15]).decode()


def _quoted(address: Address) -> discord.MessageReference | None:
    """The question, in a channel; it may have been deleted since."""
    if address.reply_to is None or address.chat_kind is ChatKind.PRIVATE:
        return None
    return discord.MessageReference(
        message_id=int(address.reply_to),
        channel_id=int(channel_of(address)),
        fail_if_not_exists=False,
    )
