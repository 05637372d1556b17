"""Answers to slash commands, which go over the command's own token instead of the channel.

After the deferral Discord shows a loading message, visible to one person; the
first answer takes its place and the others follow it. The token lives 15
minutes; what comes later may be an ordinary message of the channel, if everybody
there may read it. discord.py can only do this with the interaction object at hand, and
we may answer after a restart, so the calls are made here.
Source: https://discord.com/developers/docs/interactions/receiving-and-responding#followup-messages
"""

from __future__ import annotations

from functools import partial
from typing import Any

import aiohttp
import discord
from discord.http import HTTPClient, Route

from botbridge.errors import DeliveryUnknown, PlatformError, PlatformUnavailable
from botbridge.messages import Address, ChatKind, MessageId
from botbridge.platforms.discord.failures import INVALID_WEBHOOK_TOKEN, translated

_WEBHOOK = "/webhooks/{webhook_id}/{webhook_token}"


OPEN_COMMANDS = frozenset({"again"})
"""Commands whose answer everybody in the channel may read: to a question that was put there before all."""


def handle_of(interaction: discord.Interaction[Any]) -> str:
    """What an answer needs of an interaction, as one string for the address."""
    command = interaction.command.name if interaction.command is not None else ""
    return f"{interaction.application_id}:{interaction.token}:{command}"


def may_be_read_by_all(address: Address) -> bool:
    """Whether the answer to a command may stand in the channel when it can no longer be given to its sender alone."""
    command = (address.interaction or "").split(":")[2:]
    return address.chat_kind is ChatKind.PRIVATE or not OPEN_COMMANDS.isdisjoint(command)


def came_too_late(error: PlatformError) -> bool:
    """Whether an answer was refused because its command's token has expired."""
    cause = error.__cause__
    return isinstance(cause, discord.HTTPException) and cause.code == INVALID_WEBHOOK_TOKEN


async def not_again(response: aiohttp.ClientResponse) -> None:
    """Keep discord.py from sending again what may have arrived.

    Raises:
        DeliveryUnknown: a server error, of which nobody knows what came before it.
    """
    if response.status >= 500:  # noqa: PLR2004 - the HTTP class of server errors
        response.close()
        message = f"status {response.status}"
        raise DeliveryUnknown(message)


class Answers:
    """Answers one interaction.

    Args:
        http: A logged-in client.
        handle: Of `handle_of`.
        timeout_s: After this a call is given up.
    """

    def __init__(self, http: HTTPClient, handle: str, timeout_s: float) -> None:
        self._http = http
        self._timeout_s = timeout_s
        self._application_id, self._token = handle.split(":")[:2]

    async def send(self, text: str, *, again: bool) -> MessageId:
        """Fill the loading message, or follow up when that is filled; the message's id.

        Args:
            text: What is said.
            again: It was tried before: a filled message with this text is that try.

        Raises:
            PlatformError: ReplyRejected when the token has expired; DeliveryUnknown
                when a follow-up went out and was not confirmed, for those have no nonce.
        """
        original = await self._call("GET", "/messages/@original")
        if original["flags"] & discord.MessageFlags.loading.flag:
            return await self.edit(MessageId("@original"), text)
        if again and original["content"] == text.strip():
            return MessageId(original["id"])
        # At most once: Discord knows no nonce here, and lists nowhere what one person alone sees.
        # Source: https://github.com/discord/discord-api-docs/pull/6647
        flags = discord.MessageFlags(ephemeral=True, suppress_embeds=True).value
        try:
            sent = await self._call("POST", "", content=text, flags=flags)
        except PlatformUnavailable as error:
            raise DeliveryUnknown(str(error)) from error
        return MessageId(sent["id"])

    async def edit(self, message_id: MessageId, text: str) -> MessageId:
        """Replace an answer; trying again does no harm."""
        flags = discord.MessageFlags(suppress_embeds=True).value
        edited = await self._call("PATCH", f"/messages/{message_id}", content=text, flags=flags)
        return MessageId(edited["id"])

    async def _call(self, method: str, path: str, **body: object) -> dict[str, Any]:
        route = Route(method, _WEBHOOK + path, webhook_id=self._application_id, webhook_token=self._token)
        request = partial(self._http.request, route)
        if method == "POST":
            # discord.py hands this on to aiohttp; it would itself send once more what a gateway failed to confirm.
            request = partial(request, raise_for_status=not_again)
        if body:
            request = partial(request, json={**body, "allowed_mentions": discord.AllowedMentions.none().to_dict()})
        async with translated(self._timeout_s):
            return dict(await request())
