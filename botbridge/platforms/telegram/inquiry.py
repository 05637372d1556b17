"""Ask Telegram who the bot is, once and without taking anything in."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime

from telegram import Bot

from botbridge.accounts import Account, clock_ahead_s
from botbridge.errors import PlatformUnavailable
from botbridge.platforms.telegram.errors import platform_errors
from botbridge.platforms.telegram.request import BotRequest
from botbridge.sentences import Sentence


async def inquire(token: str, api_base_url: str, patience_s: float) -> Account:
    """Return what `getMe` says of the bot.

    Args:
        token: The bot's token; it is not repeated in any error.
        api_base_url: Telegram's Bot API server, or one's own.
        patience_s: How long all of it may take, in seconds.

    Raises:
        BadToken: Telegram does not know the token.
        PlatformError: It cannot be reached, or does not answer in time.
    """
    told: list[float | None] = []

    def note_time(headers: Mapping[str, str]) -> None:
        told.append(clock_ahead_s(headers.get("Date"), datetime.now(UTC)))

    request = BotRequest(api_base_url, connections=1, connect_s=patience_s, answer_s=patience_s, read_headers=note_time)
    bot = Bot(token, base_url=f"{api_base_url}/bot", base_file_url=f"{api_base_url}/file/bot", request=request)
    try:
        await request.initialize()
        async with asyncio.timeout(patience_s):
            with platform_errors(repeatable=True):
                user = await bot.get_me()
    except TimeoutError as error:
        reason = Sentence("Telegram did not answer within {seconds} s", seconds=f"{patience_s:g}")
        raise PlatformUnavailable(reason) from error
    finally:
        await request.shutdown()
    return Account(
        f"@{user.username}",
        reads_everything=bool(user.can_read_all_group_messages),
        joins_groups=bool(user.can_join_groups),
        clock_ahead_s=told[-1] if told else None,
    )
