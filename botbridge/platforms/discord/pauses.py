"""The pauses that Discord asked for, kept by each channel alone.

discord.py waits out short ones by itself and forgets the long ones that it
tells us; asking again within them is how an address gets shut out.
Source: https://discord.com/developers/docs/topics/rate-limits#invalid-request-limit-aka-cloudflare-bans
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable

from botbridge.errors import RateLimited
from botbridge.messages import Address
from botbridge.platforms.discord.failures import translated
from botbridge.platforms.discord.translate import channel_of


class Pauses:
    """Calls to channels, none of them within a pause.

    Args:
        now_s: Monotonic seconds.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._until_s: dict[str, float] = {}

    @contextlib.asynccontextmanager
    async def kept(self, address: Address, timeout_s: float) -> AsyncIterator[None]:
        """Call Discord about a channel, unless it wants to be left alone.

        Raises:
            RateLimited: it does, for this many seconds more.
            PlatformError: see `failures.translated`.
        """
        channel = channel_of(address)
        if (left_s := self._until_s.get(channel, 0.0) - self._now_s()) > 0:
            raise RateLimited(left_s)
        self._until_s.pop(channel, None)
        try:
            async with translated(timeout_s):
                yield
        except RateLimited as error:
            self._until_s[channel] = self._now_s() + error.retry_after_s
            raise
