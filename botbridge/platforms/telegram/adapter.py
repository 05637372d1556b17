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
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

import structlog
from telegram import Bot

from botbridge.errors import PlatformError
from botbridge.faults import NO_FAULTS, Faults
from botbridge.health import PlatformHealth
from botbridge.messages import Address, ChatKind, MessageId, OutboxPart, Part, PlatformName, UserId
from botbridge.platforms.telegram.backoff import Backoff
from botbridge.platforms.telegram.ingest import Ingest
from botbridge.platforms.telegram.pacing import Pacing
from botbridge.platforms.telegram.polling import Polls
from botbridge.platforms.telegram.pulse import Pulse
from botbridge.platforms.telegram.reception import Ignore, Reception
from botbridge.platforms.telegram.render import clip, render
from botbridge.platforms.telegram.request import BotRequest
from botbridge.platforms.telegram.sending import Sender
from botbridge.platforms.telegram.start import Menus, introduce, remove_webhook, set_menus
from botbridge.platforms.telegram.translate import TELEGRAM
from botbridge.platforms.telegram.webhook import LOOKS_UNTIL_SILENT, Deliveries, Hook, HookWatch
from botbridge.ports import Intake

PRIVATE_EDIT_INTERVAL_S = 1.2
GROUP_EDIT_INTERVAL_S = 3.75
"""Sixteen a minute, which leaves four of a group's twenty for what else is said there."""

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Timing:
    """How long Telegram is waited for, in seconds.

    Attributes:
        poll_s: How long one `getUpdates` stays open while nothing comes.
        connect_s: Until a connection stands.
        answer_s: Until a request is answered, beyond `poll_s` for a poll.
        check_s: Between two looks at whether Telegram's deliveries to a webhook succeed.
    """

    poll_s: int = 30
    connect_s: float = 10.0
    answer_s: float = 20.0
    check_s: float = 60.0
    backoff: Backoff = field(default_factory=Backoff)

    @property
    def stall_s(self) -> float:
        """After how long a poll that neither returned nor failed is given up."""
        return self.poll_s + self.connect_s + self.answer_s


class TelegramPlatform:
    """One bot on Telegram; `async with` it, so that its connections are closed."""

    def __init__(
        self,
        token: str,
        *,
        ignore: Ignore,
        menus: Menus,
        api_base_url: str,
        hook: Hook | None = None,
        timing: Timing | None = None,
        clock: Callable[[], float] = time.monotonic,
        faults: Faults = NO_FAULTS,
    ) -> None:
        """Set up; nothing is sent before `run`, `send` or another method is awaited.

        Args:
            token: The bot's token, not empty; it is kept out of logs and representations.
            ignore: Stores an update that cannot be understood.
            menus: What the command menus show.
            api_base_url: Telegram's Bot API server, or one's own, such as `http://localhost:8081`.
            hook: Where Telegram brings updates; None asks Telegram for them.
            timing: None takes the usual times.
            clock: Monotonic seconds, for the pace.
            faults: What happens before and after what is said to Telegram itself: menus, webhooks, confirmations.
        """
        self._ignore = ignore
        self._menus = menus
        self._faults = faults
        self._timing = timing or Timing()
        connect_s, answer_s = self._timing.connect_s, self._timing.answer_s
        self._poll_request = BotRequest(
            api_base_url,
            connections=2,
            connect_s=connect_s,
            answer_s=self._timing.poll_s + answer_s,
            is_bounded=False,  # `Ingest` gives up a poll that stalls
        )
        self._request = BotRequest(api_base_url, connections=64, connect_s=connect_s, answer_s=answer_s)
        self._bot = Bot(
            token,
            base_url=f"{api_base_url}/bot",
            base_file_url=f"{api_base_url}/file/bot",
            request=self._request,
            get_updates_request=self._poll_request,
        )
        self._sender = Sender(self._bot, Pacing(clock))
        self.hook = hook
        """Where Telegram brings updates; None while it is asked for them."""
        self._deliveries = Deliveries()
        patience_s = self._timing.stall_s if hook is None else LOOKS_UNTIL_SILENT * self._timing.check_s
        self._pulse = Pulse(patience_s, time.monotonic)

    async def __aenter__(self) -> Self:
        """Connect to nothing yet: connections open by themselves."""
        await self._poll_request.initialize()
        await self._request.initialize()
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

    def repeats_safely(self, _part: OutboxPart) -> bool:
        """False: Telegram cannot tell a repeated message from a new one."""
        return False

    def health(self) -> PlatformHealth:
        """Whether polls are answered, or Telegram says that its deliveries to the webhook succeed, and why not."""
        return self._pulse.health()

    async def take_delivery(self, body: bytes) -> None:
        """Store an update that Telegram brought to the webhook; it may be acknowledged when this returns.

        Raises:
            Undecodable: There is no update in it; a `ValueError`.
            StorageError: The database did not take it.
            PlatformUnavailable: The bot has not come so far yet.
        """
        await self._deliveries.take(body)

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
        """Show that an answer is being written, unless the chat is at its limit.

        Raises:
            ChatClosed: no answer will be taken here.
        """
        await self._sender.typing(address)

    async def is_chat_admin(self, address: Address, user_id: UserId) -> bool:
        """Ask Telegram whether a person is creator or administrator; in a private chat it is the person's own.

        Raises:
            PlatformError: Telegram did not say.
        """
        return await self._sender.is_chat_admin(address, user_id)

    async def run(self, intake: Intake) -> None:
        """Take messages in until cancelled; Telegram is asked again, too, while it refuses the token."""
        me = await self._until_done(partial(introduce, self._bot))
        await set_menus(self._bot, self._menus, self._faults)
        self._pulse.beat()
        reception = Reception(me, intake, self._ignore)
        if self.hook is None:
            await self._poll(reception)
        else:
            await self._stand_at(self.hook, reception)

    async def _poll(self, reception: Reception) -> None:
        timing = self._timing
        await self._until_done(partial(remove_webhook, self._bot, self._faults))
        fetch = Polls(self._bot, self._poll_request, timing.poll_s, self._faults).fetch
        await Ingest(fetch, reception, self._pulse, timing.backoff, timing.stall_s).run()

    async def _stand_at(self, hook: Hook, reception: Reception) -> None:
        watch = HookWatch(self._bot, hook, self._pulse, self._timing.backoff, self._timing.check_s, faults=self._faults)
        with self._deliveries.open_to(reception):
            await watch.run()

    async def _until_done(self, act: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await act()
            except PlatformError as error:
                failures = self._pulse.miss(str(error))
                pause_s = self._timing.backoff.pause_after_s(error, failures)
                tell = log.warning if failures == 1 else log.error
                tell("Telegram does not let the bot in", error=str(error), failures=failures, next_try_in_s=pause_s)
                await asyncio.sleep(pause_s)
