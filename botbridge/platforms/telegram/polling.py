"""One poll, raw: the library's `get_updates` lets one malformed update spoil a batch.

Covered: what Telegram's answer means, and a webhook that somebody set while we
poll, which is removed, since polls are refused as long as it stands.
"""

from __future__ import annotations

from contextlib import nullcontext
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from telegram import Bot

from botbridge.errors import BadToken, PlatformUnavailable
from botbridge.faults import NO_FAULTS, Boundary, Faults, crossing
from botbridge.platforms.telegram.errors import platform_errors
from botbridge.platforms.telegram.request import BotRequest
from botbridge.platforms.telegram.start import remove_webhook

SECOND_POLLER = (
    "another program polls with this bot's token, and messages go to it (409): "
    "stop it, or have @BotFather revoke the token"
)


class Polls:
    """Asks Telegram for updates.

    Args:
        request: A client of its own, since a poll keeps its connection.
        poll_s: How long Telegram may wait for something to tell, in seconds.
        faults: What happens before and after updates are confirmed, or a webhook is removed.
    """

    def __init__(self, bot: Bot, request: BotRequest, poll_s: int, faults: Faults = NO_FAULTS) -> None:
        self._bot = bot
        self._request = request
        self._poll_s = poll_s
        self._faults = faults

    async def fetch(self, offset: int | None, limit: int) -> bytes:
        """Poll once; the body of a successful answer.

        Raises:
            BadToken: Telegram does not know the token.
            PlatformError: It did not answer, or with something else.
        """
        query: dict[str, Any] = {"timeout": self._poll_s, "limit": limit, "allowed_updates": '["message"]'}
        if offset is not None:
            query["offset"] = offset
        with (
            platform_errors(repeatable=True),
            nullcontext() if offset is None else crossing(self._faults, Boundary.CONFIRM),
        ):
            address = f"{self._bot.base_url}/getUpdates?{urlencode(query)}"
            # No GET: those are repeated by the HTTP client without a word, and a failure would go unnoticed.
            status, body = await self._request.do_request(address, "POST")
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND):  # in Telegram's own words, or it were an error
            raise BadToken("Telegram does not know this token")
        if status == HTTPStatus.CONFLICT:
            await self._after_conflict()
        if status != HTTPStatus.OK:
            raise PlatformUnavailable(f"getUpdates was answered with {status}")
        return body

    async def _after_conflict(self) -> None:
        """Remove what can be removed from the way.

        Raises:
            PlatformUnavailable: Always; the sentence says who is in the way.
        """
        if await remove_webhook(self._bot, self._faults):
            raise PlatformUnavailable("a webhook was set while this bot polls (409); it is removed")
        raise PlatformUnavailable(SECOND_POLLER)
