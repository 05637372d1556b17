"""What Discord's and the network's errors mean to us, in one table."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from http import HTTPStatus
from itertools import chain, repeat
from typing import TypeVar

import aiohttp
import discord
import structlog

from botbridge.errors import ChatClosed, MessageGone, PlatformError, PlatformUnavailable, RateLimited, ReplyRejected

GONE = frozenset({10008, 50083})
"""Unknown message; thread is archived, whose messages cannot be edited, while a send brings the thread back.

Source: discord/discord-api-docs#2855"""

INVALID_WEBHOOK_TOKEN = 50027
CLOSED = frozenset({10003, 10015, INVALID_WEBHOOK_TOKEN, 50001, 50007, 50013})
"""Unknown channel; a command that nobody acknowledged in time and one whose token has expired, which take no answer and
no word about one; no access to a channel, private messages refused, no permission. A 403 with none of Discord's codes
says nothing of the chat: by that Discord once switched typing off for everybody (python-discord/bot#1853).

Source: https://discord.com/developers/docs/topics/opcodes-and-status-codes#json"""

UNTOLD_PAUSE_S = 60.0
"""How long to wait when Discord limits us and does not say how long (a ban at its edge)."""

AGAIN_AFTER_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""The pauses before a question is asked again; the last counts for all that follow."""

FOREIGN = (discord.DiscordException, aiohttp.ClientError, OSError, TimeoutError)
"""All that discord.py lets out when a call fails."""

T = TypeVar("T")

log = structlog.get_logger(__name__)


@contextlib.asynccontextmanager
async def translated(timeout_s: float) -> AsyncIterator[None]:
    """Turn every failure of a call to Discord into one of ours; after `timeout_s` it is given up.

    Raises:
        RateLimited: Discord wants a pause that is too long to be waited out inside.
        PlatformUnavailable: Discord, the network or our login is not there now.
        MessageGone: the message to edit was deleted or stands in an archived thread, which may be locked besides.
        ChatClosed: Discord will take nothing in this channel, or as an answer to this command.
        ReplyRejected: Discord will never take this.
    """
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except FOREIGN as error:
        raise meaning_of(error) from error


async def asked_until_answered(
    question: Callable[[], Awaitable[T]], timeout_s: float, pauses_s: Sequence[float] = AGAIN_AFTER_S
) -> T:
    """What Discord answers to a question, asked again for as long as it cannot be answered now.

    discord.py itself asks again only after a few of the server errors, and not after what the network does.

    Args:
        question: A call that changes nothing.
        timeout_s: After this one try is given up.
        pauses_s: Between the tries, in seconds, unless Discord asks for more; the last counts for all that follow.

    Raises:
        PlatformError: what asking again does not cure, see `translated`.
    """
    for pause_s in chain(pauses_s, repeat(pauses_s[-1])):
        try:
            async with translated(timeout_s):
                return await question()
        except (PlatformUnavailable, RateLimited) as error:
            told_s = error.retry_after_s if isinstance(error, RateLimited) else 0.0
            log.warning("discord does not answer now, it is asked again", error=str(error))
            await asyncio.sleep(max(pause_s, told_s))
    raise AssertionError("the pauses have no end")


def meaning_of(error: BaseException) -> PlatformError:
    """Our error for one of theirs; the most specific row counts."""
    detail = f"{type(error).__name__}: {error}".rstrip(": ")
    match error:
        case discord.RateLimited():
            return RateLimited(error.retry_after)
        case discord.HTTPException(status=429):
            return RateLimited(_told_pause_s(error))
        case discord.HTTPException(code=code) if code in GONE:
            return MessageGone(detail)
        case discord.HTTPException(code=code) if code in CLOSED:
            return ChatClosed(detail)
        case discord.HTTPException(status=401):
            # The gateway will tell that the token is gone; until then nothing is lost by waiting.
            return PlatformUnavailable(detail)
        case discord.HTTPException() if _is_outage(error):
            return PlatformUnavailable(detail)
        case discord.HTTPException():
            return ReplyRejected(detail)
        case _:
            return PlatformUnavailable(detail)


def _is_outage(error: discord.HTTPException) -> bool:
    """Whether a refusal says nothing of the reply or its chat: a server error, the page of a proxy or of an edge."""
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return True
    # Of a request whose form is broken Discord itself says no more than 0, and no waiting mends that.
    is_malformed = (
        error.status == HTTPStatus.BAD_REQUEST and error.response.headers.get("Content-Type") == "application/json"
    )
    return error.code == 0 and not is_malformed


def _told_pause_s(error: discord.HTTPException) -> float:
    try:
        return float(error.response.headers["Retry-After"])
    except (KeyError, ValueError):
        return UNTOLD_PAUSE_S
