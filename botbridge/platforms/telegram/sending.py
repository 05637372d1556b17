"""What the bot says and asks, in the pace and the errors of one place.

Covered: 429 holds one chat for exactly as long as Telegram says; formatting
that is refused is left out; an edit that changes nothing is done; a group that
became a supergroup is followed.

Not covered: waiting. What would break Telegram's limits is refused with
`RateLimited` before anything is sent, and its sender waits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import structlog
from telegram import Bot, LinkPreviewOptions, MessageEntity, ReplyParameters
from telegram.constants import ChatAction, ChatMemberStatus
from telegram.error import BadRequest, ChatMigrated

from botbridge.errors import ChatClosed, MessageGone, PlatformError, RateLimited, ReplyRejected
from botbridge.messages import Address, ChatKind, MessageId, Part, UserId
from botbridge.platforms.telegram.errors import is_about_entities, is_not_modified, platform_errors
from botbridge.platforms.telegram.pacing import Pacing
from botbridge.platforms.telegram.render import unformatted

_ADMINS = (ChatMemberStatus.OWNER, ChatMemberStatus.ADMINISTRATOR)
_NO_PREVIEW = LinkPreviewOptions(is_disabled=True)

log = structlog.get_logger(__name__)


class Sender:
    """Speaks for one bot."""

    def __init__(self, bot: Bot, pacing: Pacing) -> None:
        self._bot = bot
        self._pacing = pacing

    async def send(self, address: Address, part: Part) -> MessageId:
        """Send a message; its id.

        Raises:
            PlatformError: `DeliveryUnknown` when the answer never came.
        """
        self._pacing.take(address)
        entities = self._entities(part)
        with self._pauses_kept(address), platform_errors(repeatable=False):
            try:
                return await self._send(int(address.chat_id), address, part.text, entities)
            except BadRequest as error:
                if not entities or not is_about_entities(error):
                    raise
                log.warning("formatting refused, text sent plain", error=error.message)
                return await self._send(int(address.chat_id), address, unformatted(part.text), ())

    async def _send(self, chat_id: int, address: Address, text: str, entities: Sequence[MessageEntity]) -> MessageId:
        reply = None
        if address.reply_to is not None:
            reply = ReplyParameters(int(address.reply_to), allow_sending_without_reply=True)
        try:
            message = await self._bot.send_message(
                chat_id,
                text,
                entities=entities or None,
                message_thread_id=_thread(address),
                reply_parameters=reply,
                link_preview_options=_NO_PREVIEW,
            )
        except ChatMigrated as moved:
            if moved.new_chat_id == chat_id:
                raise
            # There the numbers of messages begin anew, and the question's may be another's.
            return await self._send(moved.new_chat_id, replace(address, reply_to=None), text, entities)
        return MessageId(str(message.message_id))

    async def edit(self, address: Address, message_id: MessageId, part: Part) -> None:
        """Replace a message's text; an equal one is success.

        Raises:
            PlatformError: `MessageGone` when it was deleted, or left behind by a group that became a supergroup;
                never `DeliveryUnknown`.
        """
        self._pacing.take(address)
        entities = self._entities(part)
        with self._pauses_kept(address), platform_errors(repeatable=True):
            try:
                await self._edit(address, message_id, part.text, entities)
            except BadRequest as error:
                if not entities or not is_about_entities(error):
                    raise
                log.warning("formatting refused, text sent plain", error=error.message)
                await self._edit(address, message_id, unformatted(part.text), ())

    async def _edit(
        self, address: Address, message_id: MessageId, text: str, entities: Sequence[MessageEntity]
    ) -> None:
        try:
            await self._bot.edit_message_text(
                text,
                chat_id=int(address.chat_id),
                message_id=int(message_id),
                entities=entities or None,
                link_preview_options=_NO_PREVIEW,
            )
        except ChatMigrated as moved:
            # What stands in the old group stays there as it is; a message of its own follows the group.
            raise MessageGone(moved.message) from moved
        except BadRequest as error:
            if not is_not_modified(error):
                raise

    async def typing(self, address: Address) -> None:
        """Show for five seconds that an answer is being written, unless the chat is at its limit.

        Raises:
            ChatClosed: no answer will be taken here.
        """
        if not self._pacing.take_typing(address):
            return
        try:
            with self._pauses_kept(address), platform_errors(repeatable=True):
                await self._bot.send_chat_action(
                    int(address.chat_id), ChatAction.TYPING, message_thread_id=_thread(address)
                )
        except ChatClosed:
            raise
        except PlatformError as error:
            log.debug("typing not shown", error=str(error))

    async def is_chat_admin(self, address: Address, user_id: UserId) -> bool:
        """Ask Telegram whether a person is the chat's creator or administrator.

        A private chat has the id of its person, who alone administers it.

        Raises:
            PlatformError: Telegram did not say.
        """
        if address.chat_kind is ChatKind.PRIVATE:
            return str(user_id) == str(address.chat_id)
        try:
            with self._pauses_kept(address), platform_errors(repeatable=True):
                member = await self._bot.get_chat_member(int(address.chat_id), int(user_id))
        except ReplyRejected as error:
            log.info("no rights: Telegram does not know the person in this chat", error=str(error))
            return False
        return member.status in _ADMINS

    def _entities(self, part: Part) -> tuple[MessageEntity, ...]:
        return tuple(MessageEntity.de_list(json.loads(part.markup), self._bot)) if part.markup else ()

    @contextmanager
    def _pauses_kept(self, address: Address) -> Iterator[None]:
        """Remember the pause that Telegram asks for, for this chat alone."""
        try:
            yield
        except RateLimited as error:
            self._pacing.pause(address, error.retry_after_s)
            raise


def _thread(address: Address) -> int | None:
    return None if address.thread_id is None else int(address.thread_id)
