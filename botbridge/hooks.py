"""Turns settings into where Telegram brings updates, and into what listens there."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from botbridge.platforms.telegram.adapter import TelegramPlatform
from botbridge.platforms.telegram.webhook import Hook
from botbridge.ports import Platform
from botbridge.setting_groups import TelegramSettings
from botbridge.settings import Settings

if TYPE_CHECKING:
    from botbridge.web.server import WebServer


def telegram_hook(telegram: TelegramSettings) -> Hook | None:
    """Tell where Telegram brings updates; None when it is asked for them."""
    if telegram.mode == "polling" or telegram.webhook_url is None or telegram.webhook_secret is None:
        return None
    return Hook(telegram.webhook_url.get_secret_value(), telegram.webhook_secret.get_secret_value())


def web_server(settings: Settings, telegram: Platform | None) -> WebServer | None:
    """Make what listens for Telegram; None when nothing comes to us."""
    hook = telegram_hook(settings.telegram)
    if hook is None or not isinstance(telegram, TelegramPlatform):
        return None
    # FastAPI takes a quarter of a second to import, for which only this mode pays.
    from botbridge.web.server import webhook_server  # noqa: PLC0415

    return webhook_server(
        settings.web.host,
        settings.web.port,
        webhook_path=urlsplit(hook.url).path,
        secret=hook.secret,
        take_update=telegram.take_delivery,
    )
