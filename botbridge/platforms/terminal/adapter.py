"""The operator's own terminals as a platform: `ask` takes a question in and yields its reply.

Covered: any number of windows at once (the chat inside `run`, those that join
through the control socket, the Python API); every word is shown as it comes; a
reply whose window is gone, after a restart too, waits in the outbox until its
person opens one again, and is then handed to the first that shows late replies.

Not covered: a reply that was handed to a window which died before showing it.
The conversation remembers it all the same.
"""

from __future__ import annotations

import asyncio
import locale
import os
import pwd
import secrets
from collections import defaultdict
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

from botbridge.answers import Sampling
from botbridge.conversation.commands import parse
from botbridge.errors import PlatformUnavailable
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
    PartId,
    Person,
    PlatformName,
    UserId,
)
from botbridge.platforms.terminal.render import plain
from botbridge.platforms.terminal.window import AwaitedReply, Shown, Windows
from botbridge.ports import Intake

TERMINAL = PlatformName("terminal")
BOT_ID = BotId("local")
SENT_PARTS_KNOWN = 256
"""How many delivered parts are recognised when they are sent again."""


class TerminalPlatform:
    """Implements `ports.Platform`; each person has one private chat, whose id is theirs."""

    name = TERMINAL

    def __init__(self) -> None:
        self._intake: Intake | None = None
        self._is_on = asyncio.Event()
        self._is_stopped = False
        self._awaited: dict[MessageId, AwaitedReply] = {}
        self._windows: defaultdict[ChatId, Windows] = defaultdict(Windows)
        self._sent: dict[PartId, MessageId] = {}

    async def ask(self, person: Person, text: str, *, sampling: Sampling | None = None) -> AsyncGenerator[Shown, None]:
        """Say something to the bot; yields what the reply looks like until it is final.

        Steps that come faster than they are read are passed over; the final
        one never is.

        Args:
            sampling: How this one answer is sampled; None takes the operator's settings.

        Raises:
            PlatformUnavailable: the service stopped before the reply was final.
            StorageUnavailable: the question could not be stored, so it will not be answered.

        Cancellation: the question is answered all the same; the reply becomes a late one.
        """
        incoming = _message(person, plain(text), sampling)
        windows, reply = self._windows[incoming.address.chat_id], AwaitedReply()
        with windows.opened():
            await self._is_on.wait()
            if self._intake is None:
                raise PlatformUnavailable("the service has stopped")
            # Known before it is taken in: the reply may be there sooner than the intake returns.
            self._awaited[incoming.message_id] = reply
            try:
                await self._intake(incoming)
                while True:
                    shown = await reply.next()
                    yield shown
                    if shown.is_final:
                        return
            finally:
                del self._awaited[incoming.message_id]
                if reply.untold is not None:
                    windows.keep(reply.untold.text)

    async def late_replies(self, person: Person) -> AsyncGenerator[str, None]:
        """Yield the replies to questions that nobody waits for any more, as they come, until the service stops."""
        windows = self._windows[_chat_id(person)]
        with windows.opened():
            while not self._is_stopped:
                windows.has_news.clear()
                while windows.late:
                    yield windows.late.popleft()
                await windows.has_news.wait()

    def repeats_safely(self, _part: OutboxPart) -> bool:
        """True: what a terminal showed is gone with its process."""
        return True

    def health(self) -> PlatformHealth:
        """Whether questions are taken in."""
        return PlatformHealth(is_on=self._intake is not None)

    def render(self, text: str) -> tuple[Part, ...]:
        """Make one part of it, however long."""
        return (Part(plain(text)),)

    def edit_interval_s(self, address: Address) -> float:
        """Return 0: every word may be shown."""
        del address
        return 0.0

    async def send(self, part: OutboxPart) -> MessageId:
        """Hand a part to whoever asked; a late reply waits until its person has a window open.

        Raises:
            PlatformUnavailable: the platform was stopped meanwhile.
        """
        if (known := self._sent.get(part.id)) is not None:
            return known
        message_id = part.edits or MessageId(secrets.token_hex(8))
        reply = self._awaited.get(part.address.reply_to or message_id)
        if reply is not None:
            reply.show(Shown(part.part.text, not part.is_status, part.is_status, part.ending))
        elif not part.is_status:
            await self._hand_over_late(part)
        self._remember(part.id, message_id)
        return message_id

    async def edit(self, address: Address, message_id: MessageId, text: str) -> None:
        """Show what the reply looks like now."""
        if (reply := self._awaited.get(address.reply_to or message_id)) is not None:
            reply.show(Shown(plain(text), is_status=not reply.is_writing))

    async def typing(self, address: Address) -> None:
        """Note that what is shown from now on are words of the reply."""
        if address.reply_to is not None and (reply := self._awaited.get(address.reply_to)) is not None:
            reply.is_writing = True

    async def is_chat_admin(self, address: Address, user_id: UserId) -> bool:
        """Everybody administers their own private chat and nothing else."""
        return address.chat_kind is ChatKind.PRIVATE and address.chat_id == ChatId(user_id)

    async def run(self, intake: Intake) -> None:
        """Take questions in until cancelled; those without a final reply are then given up."""
        self._intake, self._is_stopped = intake, False
        self._is_on.set()
        try:
            await asyncio.Event().wait()
        finally:
            self._intake, self._is_stopped = None, True
            for reply in self._awaited.values():
                reply.give_up()
            for windows in self._windows.values():
                windows.wake()

    async def _hand_over_late(self, part: OutboxPart) -> None:
        windows = self._windows[part.address.chat_id]
        await windows.until_attended()
        if self._is_stopped:
            raise PlatformUnavailable("nobody is at the terminal")
        windows.keep(part.part.text)

    def _remember(self, part_id: PartId, message_id: MessageId) -> None:
        self._sent[part_id] = message_id
        if len(self._sent) > SENT_PARTS_KNOWN:
            del self._sent[next(iter(self._sent))]


def local_person() -> Person:
    """The user of this process, in the language of their locale."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run under a number that has no name
        name = str(os.getuid())
    language, _ = locale.getlocale()
    return Person(UserId(name), display_name=name, language=language and language.replace("_", "-"))


def _chat_id(person: Person) -> ChatId:
    return ChatId(person.user_id)


def _message(person: Person, text: str, sampling: Sampling | None) -> IncomingMessage:
    message_id = MessageId(secrets.token_hex(8))
    return IncomingMessage(
        address=Address(TERMINAL, BOT_ID, _chat_id(person), ChatKind.PRIVATE, reply_to=message_id),
        message_id=message_id,
        kind=MessageKind.TEXT if parse(text) is None else MessageKind.COMMAND,
        sender=person,
        text=text,
        sent_at=datetime.now(UTC),
        sampling=sampling,
    )
