"""Updates that Telegram brings, and the watch over whether it can.

Covered: an update is stored as a poll's would be; one that no parser takes is
put aside with its bytes; a webhook that somebody else removed or moved is set
again; what Telegram says of failed deliveries is logged and told to health.

Not covered: HTTP, which `web` speaks, and the order within a chat, which
Telegram keeps by bringing a chat's next update after the one before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog
from telegram import Bot, WebhookInfo

from botbridge.errors import PlatformError, PlatformUnavailable
from botbridge.faults import NO_FAULTS, Boundary, Faults, crossing
from botbridge.platforms.telegram.backoff import Backoff
from botbridge.platforms.telegram.batch import RawUpdate, Undecodable, lone_update_id, update_in
from botbridge.platforms.telegram.errors import platform_errors
from botbridge.platforms.telegram.pulse import Pulse
from botbridge.platforms.telegram.reception import Reception

LOOKS_UNTIL_SILENT = 3
"""As many looks in a row that bring no word from Telegram are silence."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Hook:
    """Where Telegram brings updates, and by what we know that it is Telegram."""

    url: str = field(repr=False)
    secret: str = field(repr=False)


class Deliveries:
    """Takes in what Telegram brings, once the bot knows who it is."""

    def __init__(self) -> None:
        self._reception: Reception | None = None

    @contextmanager
    def open_to(self, reception: Reception) -> Iterator[None]:
        """Take in as long as the block runs."""
        self._reception = reception
        try:
            yield
        finally:
            self._reception = None

    async def take(self, body: bytes) -> None:
        """Store an update.

        Raises:
            Undecodable: There is no update in it.
            StorageError: The database did not take it.
            PlatformUnavailable: Nobody takes in yet.
        """
        if self._reception is None:
            raise PlatformUnavailable("the bot has not spoken with Telegram yet")
        try:
            update, reason = update_in(body), ""
        except Undecodable:
            if (update_id := lone_update_id(body)) is None:
                raise
            # Refused, it would be brought again and again, and hold up what comes after it.
            update, reason = RawUpdate(update_id, {}, body), "no readable JSON"
        await self._reception.commit(update, reason)


class HookWatch:
    """Sets the webhook and looks after it.

    Args:
        backoff: Between two tries after a failure; never longer than `check_s`.
        check_s: Between two looks, in seconds.
        faults: What happens before and after the webhook is set.
    """

    def __init__(
        self, bot: Bot, hook: Hook, pulse: Pulse, backoff: Backoff, check_s: float, *, faults: Faults = NO_FAULTS
    ) -> None:
        self._bot = bot
        self._hook = hook
        self._pulse = pulse
        self._backoff = replace(backoff, longest_s=min(backoff.longest_s, check_s))
        self._check_s = check_s
        self._faults = faults
        self._known_error: datetime | None = None

    async def run(self) -> None:
        """Watch until cancelled."""
        is_set = False
        while True:
            pause_s = self._check_s
            try:
                if is_set:
                    is_set = await self._check()
                if not is_set:
                    await self._set()
                    is_set = True
            except PlatformError as error:
                failures = self._pulse.miss(str(error))
                pause_s = self._backoff.pause_after_s(error, failures)
                log.error("the webhook is in doubt", error=str(error), failures=failures, next_try_in_s=pause_s)
            await asyncio.sleep(pause_s)

    async def _set(self) -> None:
        with platform_errors(repeatable=True):
            self._known_error = (await self._bot.get_webhook_info()).last_error_date
            with crossing(self._faults, Boundary.SET_WEBHOOK):
                await self._bot.set_webhook(
                    self._hook.url,
                    allowed_updates=["message"],
                    drop_pending_updates=False,
                    secret_token=self._hook.secret,
                )
        self._pulse.beat()
        log.info("Telegram brings updates to the webhook")

    async def _check(self) -> bool:
        """Look once; False when the webhook is not ours any more.

        Raises:
            PlatformUnavailable: Telegram cannot bring what it has.
        """
        with platform_errors(repeatable=True):
            info = await self._bot.get_webhook_info()
        if info.url != self._hook.url:
            log.error("another program with this bot's token moved the webhook; it is set again")
            return False
        if is_stuck(info, self._known_error):
            raise PlatformUnavailable(f"Telegram cannot bring updates to the webhook: {info.last_error_message}")
        self._known_error = info.last_error_date
        if failures := self._pulse.beat():
            log.info("Telegram brings updates again", failures=failures)
        return True


def is_stuck(info: WebhookInfo, known_error: datetime | None) -> bool:
    """Tell whether updates wait because a delivery failed since the last time that all was well.

    >>> is_stuck(WebhookInfo("https://h/x", False, pending_update_count=0), None)
    False
    """
    return info.pending_update_count > 0 and info.last_error_date is not None and info.last_error_date != known_error
