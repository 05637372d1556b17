"""Ask Discord who the bot is and what it may read, once and without going on line."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import aiohttp
import discord

from botbridge.accounts import Account, clock_ahead_s
from botbridge.errors import BadToken
from botbridge.platforms.discord.endpoint import point_at
from botbridge.platforms.discord.failures import translated
from botbridge.sentences import Sentence


async def inquire(token: str, api_base_url: str, patience_s: float) -> Account:
    """Return what Discord says of the bot and its application.

    Args:
        token: The bot's token; it is not repeated in any error.
        api_base_url: Of the REST server; it is asked for the whole process from now on.
        patience_s: How long all of it may take, in seconds.

    Raises:
        BadToken: Discord does not know the token.
        PlatformError: It cannot be reached, or does not answer in time.
    """
    told: list[float | None] = []

    async def note_time(
        _session: aiohttp.ClientSession, _context: SimpleNamespace, end: aiohttp.TraceRequestEndParams
    ) -> None:
        told.append(clock_ahead_s(end.response.headers.get("Date"), datetime.now(UTC)))

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(note_time)
    point_at(api_base_url, None)
    async with translated(patience_s), discord.Client(intents=discord.Intents.none(), http_trace=trace) as client:
        try:
            await client.login(token)
        except discord.LoginFailure as error:
            raise BadToken(Sentence("Discord does not know this token")) from error
        user, application = client.user, client.application
    assert user is not None
    assert application is not None, "discord.py asks for it when it logs in"
    flags = application.flags
    return Account(
        str(user),
        reads_everything=flags.gateway_message_content or flags.gateway_message_content_limited,
        clock_ahead_s=told[-1] if told else None,
    )
