"""Turns settings into where Telegram brings updates, and into what listens there."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from botbridge.platforms.telegram.adapter import TelegramPlatform
from botbridge.platforms.telegram.webhook import Hook
from botbridge.ports import Platform
from botbridge.setting_groups import TelegramSettings, WebSettings

if TYPE_CHECKING:
    from botbridge.web.server import WebServer


def telegram_hook(telegram: TelegramSettings) -> Hook | None:
    """Tell where Telegram brings updates; None when it is asked for them."""
    if telegram.mode == "polling" or telegram.webhook_url is None or telegram.webhook_secret is None:
        return None
    return Hook(telegram.webhook_url.get_secret_value(), telegram.webhook_secret.get_secret_value())


def web_server(web: WebSettings, telegram: Platform | None) -> WebServer | None:
    """Make what listens for Telegram; None when nothing comes to us."""
    if not isinstance(telegram, TelegramPlatform) or telegram.hook is None:
        return None
    # FastAPI takes a quarter of a second to import, for which only this mode pays.
    from botbridge.web.app import make_app  # noqa: PLC0415
    from botbridge.web.server import WebServer  # noqa: PLC0415

    hook = telegram.hook
    app = make_app(webhook_path=urlsplit(hook.url).path, secret=hook.secret, take_update=telegram.take_delivery)
    return WebServer(app, web.host, web.port)
