"""What is said to Telegram once, before the first update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog
from telegram import (
    Bot,
    BotCommand,
    BotCommandScopeAllGroupChats,
    BotCommandScopeAllPrivateChats,
    User,
)

from botbridge.errors import PlatformError
from botbridge.faults import NO_FAULTS, Boundary, Faults, crossing
from botbridge.platforms.telegram.errors import platform_errors
from botbridge.platforms.telegram.translate import Identity

Menus = Mapping[str, Sequence[tuple[str, str]]]
"""For each language (`""` is everybody else's) the commands with what they do, in order."""

log = structlog.get_logger(__name__)


async def introduce(bot: Bot) -> Identity:
    """Learn who the bot is.

    Raises:
        BadToken: Telegram does not know the token.
        PlatformError: It cannot be reached.
    """
    with platform_errors(repeatable=True):
        user = await bot.get_me()
    log.info("Telegram is on", bot=f"@{user.username}", bot_id=user.id, groups=_privacy(user))
    return Identity(user.id, user.username or "")


async def remove_webhook(bot: Bot, faults: Faults = NO_FAULTS) -> bool:
    """Switch a webhook off, so that polls are answered; what waits behind it is kept. False when there was none.

    Raises:
        PlatformError: Telegram cannot be reached.
    """
    with platform_errors(repeatable=True):
        if not (await bot.get_webhook_info()).url:
            return False
        with crossing(faults, Boundary.REMOVE_WEBHOOK):
            await bot.delete_webhook(drop_pending_updates=False)
    log.warning("a webhook stood in the way of polling and was removed; what waits behind it comes by polling")
    return True


def _privacy(user: User) -> str:
    if not user.can_join_groups:
        return "the bot cannot be added to groups (BotFather: /setjoingroups)"
    if user.can_read_all_group_messages:
        return "privacy mode is off: Telegram sends every group message, only those meant for the bot are read"
    return (
        "privacy mode is on: Telegram sends only commands, replies to the bot and mentions of it; "
        "after a change in BotFather (/setprivacy) the bot must be removed from a group and added again"
    )


async def set_menus(bot: Bot, menus: Menus, faults: Faults = NO_FAULTS) -> None:
    """Put the commands into the menus of private chats and groups; a failure is logged, the bot works without."""
    try:
        with platform_errors(repeatable=True):
            for language, commands in menus.items():
                described = [BotCommand(name, description) for name, description in commands]
                for scope in (BotCommandScopeAllPrivateChats(), BotCommandScopeAllGroupChats()):
                    with crossing(faults, Boundary.SET_MENU):
                        await bot.set_my_commands(described, scope=scope, language_code=language or None)
    except PlatformError as error:
        log.warning("the command menu could not be set", error=str(error))
