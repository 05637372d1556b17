"""What Discord's and the network's errors mean to us, in one table."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp
import discord

from botbridge.errors import ChatClosed, MessageGone, PlatformError, PlatformUnavailable, RateLimited, ReplyRejected

UNKNOWN_MESSAGE = 10008
INVALID_WEBHOOK_TOKEN = 50027
CLOSED = frozenset({10003, 50001, 50007, 50013})
"""Unknown channel, no access to it, private messages refused, no permission. A 403 with none of Discord's codes says
nothing of the chat: by that Discord once switched typing off for everybody (python-discord/bot#1853).

Source: https://discord.com/developers/docs/topics/opcodes-and-status-codes#json"""

UNTOLD_PAUSE_S = 60.0
"""How long to wait when Discord limits us and does not say how long (a ban at its edge)."""

FOREIGN = (discord.DiscordException, aiohttp.ClientError, OSError, TimeoutError)
"""All that discord.py lets out when a call fails."""


@contextlib.asynccontextmanager
async def translated(timeout_s: float) -> AsyncIterator[None]:
    """Turn every failure of a call to Discord into one of ours; after `timeout_s` it is given up.

    Raises:
        RateLimited: Discord wants a pause that is too long to be waited out inside.
        PlatformUnavailable: Discord, the network or our login is not there now.
        MessageGone: the message to edit was deleted.
        ChatClosed: Discord will take nothing in this channel.
        ReplyRejected: Discord will never take this.
    """
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except FOREIGN as error:
        raise meaning_of(error) from error


def meaning_of(error: BaseException) -> PlatformError:
    """Our error for one of theirs; the most specific row counts."""
    detail = f"{type(error).__name__}: {error}".rstrip(": ")
    match error:
        case discord.RateLimited():
            return RateLimited(error.retry_after)
        case discord.HTTPException(status=429):
            return RateLimited(_told_pause_s(error))
        case discord.HTTPException(code=code) if code == UNKNOWN_MESSAGE:
            return MessageGone(detail)
        case discord.HTTPException(code=code) if code in CLOSED:
            return ChatClosed(detail)
        case discord.HTTPException(status=401, code=code) if code != INVALID_WEBHOOK_TOKEN:
            # The gateway will tell that the token is gone; until then nothing is lost by waiting.
            return PlatformUnavailable(detail)
        case discord.HTTPException(status=status) if status >= 500:  # noqa: PLR2004 - the HTTP class of server errors
            return PlatformUnavailable(detail)
        case discord.HTTPException():
            return ReplyRejected(detail)
        case _:
            return PlatformUnavailable(detail)


def _told_pause_s(error: discord.HTTPException) -> float:
    try:
        return float(error.response.headers["Retry-After"])
    except (KeyError, ValueError):
        return UNTOLD_PAUSE_S
