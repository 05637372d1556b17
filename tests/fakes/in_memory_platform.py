"""A platform without a network: it keeps a ledger and fails on demand."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from botbridge.errors import ChatClosed, MessageGone, PlatformError
from botbridge.health import PlatformHealth
from botbridge.messages import (
    Address,
    BotId,
    ChatId,
    ChatKind,
    IncomingMessage,
    MessageId,
    MessageKind,
    OutboxPart,
    Part,
    Person,
    PlatformName,
    UserId,
)
from botbridge.ports import Intake

LIMIT_CHARS = 200


@dataclass(slots=True)
class Shown:
    """One message in a chat, with everything it ever said."""

    message_id: MessageId
    address: Address
    texts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return self.texts[-1]


class InMemoryPlatform:
    """Implements `Platform`; messages are cut every 200 characters.

    Attributes:
        faults: What the next sends raise; None lets one pass.
        unrenderable: Texts at which rendering has a bug.
        sending: Set once a send has begun.
        takes: While it is cleared, sends take for ever.
        stuck: Chats in which sends take for ever.
        closed: Chats that take nothing.
        tries: What was to be sent, each time.
    """

    def __init__(self, name: str = "telegram", *, edit_interval_s: float = 0.0, repeats_safely: bool = False) -> None:
        self.name = PlatformName(name)
        self._repeats_safely = repeats_safely
        self.ledger: list[Shown] = []
        self.admins: set[tuple[ChatId, UserId]] = set()
        self.faults: deque[PlatformError | None] = deque()
        self.unrenderable: set[str] = set()
        self.sending = asyncio.Event()
        self.takes = asyncio.Event()
        self.takes.set()
        self.stuck: set[ChatId] = set()
        self.closed: set[ChatId] = set()
        self.tries: list[OutboxPart] = []
        self.typed = 0
        self._edit_interval_s = edit_interval_s
        self._ids = itertools.count(1000)
        self._changed = asyncio.Condition()

    def message(
        self,
        text: str,
        *,
        user: str = "1",
        chat: str | None = None,
        thread: str | None = None,
        kind: MessageKind = MessageKind.TEXT,
        message_id: str | None = None,
        language: str = "en",
        target: str | None = None,
        has_attachment: bool = False,
    ) -> IncomingMessage:
        """What a person says here; without a chat it is their private one."""
        message_id = message_id or str(next(self._ids))
        return IncomingMessage(
            address=Address(
                platform=self.name,
                bot_id=BotId("7"),
                chat_id=ChatId(chat or user),
                chat_kind=ChatKind.PRIVATE if chat is None else ChatKind.GROUP,
                thread_id=None if thread is None else thread,  # type: ignore[arg-type]
                reply_to=MessageId(message_id),
            ),
            message_id=MessageId(message_id),
            kind=kind,
            sender=Person(UserId(user), display_name=f"User {user}", username=f"user{user}", language=language),
            text=text,
            sent_at=datetime(2026, 1, 1, tzinfo=UTC),
            target=None if target is None else Person(UserId(target)),
            has_attachment=has_attachment,
        )

    def texts(self, chat: str) -> list[str]:
        """What a chat shows now, oldest first."""
        return [shown.text for shown in self.ledger if shown.address.chat_id == chat]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once the ledger satisfies a condition."""
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(condition), timeout=10)

    def repeats_safely(self, _part: OutboxPart) -> bool:
        return self._repeats_safely

    def health(self) -> PlatformHealth:
        return PlatformHealth(is_on=True)

    def render(self, text: str) -> tuple[Part, ...]:
        if text in self.unrenderable:
            raise ValueError("a bug of the renderer")
        return tuple(Part(text[i : i + LIMIT_CHARS]) for i in range(0, len(text), LIMIT_CHARS)) or (Part(""),)

    def edit_interval_s(self, address: Address) -> float:
        return self._edit_interval_s

    async def send(self, part: OutboxPart) -> MessageId:
        self.tries.append(part)
        self.sending.set()
        await self.takes.wait()
        if part.address.chat_id in self.stuck:
            await asyncio.Event().wait()
        self._require_open(part.address)
        if self.faults and (fault := self.faults.popleft()) is not None:
            await self._tell()
            raise fault
        if part.edits is not None:
            await self.edit(part.address, part.edits, part.part.text)
            return part.edits
        shown = Shown(MessageId(str(next(self._ids))), part.address, [part.part.text])
        self.ledger.append(shown)
        await self._tell()
        return shown.message_id

    async def edit(self, address: Address, message_id: MessageId, text: str) -> None:
        self._require_open(address)
        shown = next((shown for shown in self.ledger if shown.message_id == message_id), None)
        if shown is None:
            raise MessageGone(f"there is no message {message_id}")
        shown.texts.append(text)
        await self._tell()

    async def typing(self, address: Address) -> None:
        self._require_open(address)
        self.typed += 1
        await self._tell()

    async def is_chat_admin(self, address: Address, user_id: UserId) -> bool:
        return (address.chat_id, user_id) in self.admins

    async def run(self, intake: Intake) -> None:
        await asyncio.Event().wait()

    def _require_open(self, address: Address) -> None:
        if address.chat_id in self.closed:
            raise ChatClosed("bot was blocked by the user")

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()
