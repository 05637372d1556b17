"""Telegram as a place where people chat, on python-telegram-bot's `Bot` alone.

Covered: everything of `ports.Platform`. A send whose answer never came is
`DeliveryUnknown`, since Telegram has no way to send a thing only once; an edit
may be repeated, so there it is `PlatformUnavailable`.

Not covered: waiting. What would break Telegram's limits is refused with
`RateLimited` before anything is sent, and its sender waits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import structlog
from telegram import Bot

from botbridge.errors import BadToken, PlatformError, PlatformUnavailable, RateLimited
from botbridge.messages import Address, ChatKind, MessageId, OutboxPart, Part, PlatformName, UserId
from botbridge.platforms.telegram.errors import BotRequest, platform_errors
from botbridge.platforms.telegram.ingest import Backoff, Ignore, Ingest
from botbridge.platforms.telegram.pacing import Pacing
from botbridge.platforms.telegram.render import clip, render
from botbridge.platforms.telegram.sending import Sender
from botbridge.platforms.telegram.start import Menus, introduce, set_menus
from botbridge.platforms.telegram.translate import TELEGRAM, Identity
from botbridge.ports import Intake

CLOUD = "https://api.telegram.org"
PRIVATE_EDIT_INTERVAL_S = 1.2
GROUP_EDIT_INTERVAL_S = 3.75
"""Sixteen a minute, which leaves four of a group's twenty for what else is said there."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Timing:
    """How long Telegram is waited for, in seconds.

    Attributes:
        poll_s: How long one `getUpdates` stays open while nothing comes.
        connect_s: Until a connection stands.
        answer_s: Until a request is answered, beyond `poll_s` for a poll.
    """

    poll_s: int = 30
    connect_s: float = 10.0
    answer_s: float = 20.0
    backoff: Backoff = field(default_factory=Backoff)


class TelegramPlatform:
    """One bot on Telegram; `async with` it, so that its connections are closed."""

    def __init__(
        self,
        token: str,
        *,
        ignore: Ignore,
        menus: Menus,
        api_base_url: str | None = None,
        timing: Timing | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set up; nothing is sent before `run`, `send` or another method is awaited.

        Args:
            token: The bot's token, not empty; it is kept out of logs and representations.
            ignore: Stores an update that cannot be understood.
            menus: What the command menus show.
            api_base_url: A Bot API server of one's own, such as
                `http://localhost:8081`; None is Telegram's.
            timing: None takes the usual times.
            clock: Monotonic seconds, for the pace.
        """
        self._ignore = ignore
        self._menus = menus
        self._timing = timing or Timing()
        self._poll_request = self._new_request(connections=2, answer_s=self._timing.poll_s + self._timing.answer_s)
        self._request = self._new_request(connections=64, answer_s=self._timing.answer_s)
        base_url = (api_base_url or CLOUD).rstrip("/")
        self._bot = Bot(
            token,
            base_url=f"{base_url}/bot",
            base_file_url=f"{base_url}/file/bot",
            request=self._request,
            get_updates_request=self._poll_request,
        )
        self._sender = Sender(self._bot, Pacing(clock))
        self._ingest: Ingest | None = None

    def _new_request(self, connections: int, answer_s: float) -> BotRequest:
        timing = self._timing
        return BotRequest(
            connection_pool_size=connections,
            connect_timeout=timing.connect_s,
            read_timeout=answer_s,
            write_timeout=timing.answer_s,
            pool_timeout=timing.connect_s,
        )

    async def __aenter__(self) -> Self:
        """Open nothing yet: connections open by themselves."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        await asyncio.gather(self._poll_request.shutdown(), self._request.shutdown())

    @property
    def name(self) -> PlatformName:
        """`telegram`."""
        return TELEGRAM

    @property
    def repeats_safely(self) -> bool:
        """False: Telegram cannot tell a repeated message from a new one."""
        return False

    @property
    def is_on(self) -> bool:
        """True while polls are answered."""
        patience_s = self._timing.poll_s + self._timing.connect_s + self._timing.answer_s
        return self.last_success_s is not None and time.monotonic() - self.last_success_s < patience_s

    @property
    def last_success_s(self) -> float | None:
        """When Telegram last answered a poll, on the monotonic clock; None before the first and while polls fail."""
        return self._ingest.last_success_s if self._ingest else None

    def render(self, text: str) -> tuple[Part, ...]:
        """Format Markdown and split it at 4,096 UTF-16 units."""
        return render(text)

    def edit_interval_s(self, address: Address) -> float:
        """The least pause between two edits, in seconds."""
        return GROUP_EDIT_INTERVAL_S if address.chat_kind is ChatKind.GROUP else PRIVATE_EDIT_INTERVAL_S

    async def send(self, part: OutboxPart) -> MessageId:
        """Send or edit; formatting that Telegram refuses is left out.

        Raises:
            PlatformError: which subclass says what may be done about it.
        """
        if part.edits is None:
            return await self._sender.send(part.address, part.part)
        await self._sender.edit(part.address, part.edits, part.part)
        return part.edits

    async def edit(self, address: Address, message_id: MessageId, text: str) -> None:
        """Replace a status message by plain text, cut to one message.

        Raises:
            PlatformError: which subclass says what may be done about it.
        """
        await self._sender.edit(address, message_id, Part(clip(text)))

    async def typing(self, address: Address) -> None:
        """Show that an answer is being written, unless the chat is at its limit."""
        await self._sender.typing(address)

    async def is_chat_admin(self, address: Address, user_id: UserId) -> bool:
        """Ask Telegram whether a person is creator or administrator; in a private chat it is the person's own.

        Raises:
            PlatformError: Telegram did not say.
        """
        return await self._sender.is_chat_admin(address, user_id)

    async def run(self, intake: Intake) -> None:
        """Take messages in until cancelled.

        Raises:
            BadToken: Telegram does not know the token.
        """
        me = await self._introduced()
        await set_menus(self._bot, self._menus)
        self._ingest = Ingest(self._fetch, me, intake, self._ignore, self._timing.backoff)
        await self._ingest.run()

    async def _introduced(self) -> Identity:
        failures = 0
        while True:
            try:
                return await introduce(self._bot)
            except BadToken:
                raise
            except PlatformError as error:
                failures += 1
                pause_s = self._timing.backoff.pause_s(failures)
                if isinstance(error, RateLimited):
                    pause_s = error.retry_after_s
                log.warning("Telegram cannot be reached", error=str(error), failures=failures, next_try_in_s=pause_s)
                await asyncio.sleep(pause_s)

    async def _fetch(self, offset: int | None, limit: int) -> bytes:
        """Poll once, raw: the library's `get_updates` lets one malformed update spoil a batch."""
        query: dict[str, Any] = {"timeout": self._timing.poll_s, "limit": limit, "allowed_updates": '["message"]'}
        if offset is not None:
            query["offset"] = offset
        with platform_errors(repeatable=True):
            address = f"{self._bot.base_url}/getUpdates?{urlencode(query)}"
            status, body = await self._poll_request.do_request(address, "GET")
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND):
            raise BadToken("Telegram does not know this token")
        if status == HTTPStatus.CONFLICT:
            raise PlatformUnavailable("somebody else polls with the same token (409)")
        if status != HTTPStatus.OK:
            raise PlatformUnavailable(f"getUpdates was answered with {status}")
        return body
