"""Answers to slash commands, which go over the command's own token instead of the channel.

After the deferral Discord shows a loading message, visible to one person; the
first answer takes its place and the others follow it. The token lives 15
minutes. discord.py can only do this with the interaction object at hand, and
we may answer after a restart, so the calls are made here.
Source: https://discord.com/developers/docs/interactions/receiving-and-responding#followup-messages
"""

from __future__ import annotations

from functools import partial
from typing import Any

import aiohttp
import discord
from discord.http import HTTPClient, Route

from botbridge.errors import DeliveryUnknown, PlatformUnavailable
from botbridge.messages import MessageId
from botbridge.platforms.discord.failures import translated

_WEBHOOK = "/webhooks/{webhook_id}/{webhook_token}"


def handle_of(interaction: discord.Interaction[Any]) -> str:
    """What an answer needs of an interaction, as one string for the address."""
    return f"{interaction.application_id}:{interaction.token}"


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
        self._application_id, _, self._token = handle.partition(":")

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
        return await self._follow_up(text)

    async def edit(self, message_id: MessageId, text: str) -> MessageId:
        """Replace an answer; trying again does no harm."""
        flags = discord.MessageFlags(suppress_embeds=True).value
        edited = await self._call("PATCH", f"/messages/{message_id}", content=text, flags=flags)
        return MessageId(edited["id"])

    async def _follow_up(self, text: str) -> MessageId:
        """Say more; at most once, for Discord knows no nonce here and lists nowhere what one person alone sees.

        Source: https://github.com/discord/discord-api-docs/pull/6647
        """
        flags = discord.MessageFlags(ephemeral=True, suppress_embeds=True).value
        try:
            sent = await self._call("POST", "", content=text, flags=flags)
        except PlatformUnavailable as error:
            raise DeliveryUnknown(str(error)) from error
        return MessageId(sent["id"])

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
