"""A language model on your own CPU, behind Telegram and Discord."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from botbridge.api import Bot as Bot
    from botbridge.api import ChatBot as ChatBot

__version__ = "0.1.0"
__all__ = ["Bot", "ChatBot", "__version__"]


def __getattr__(name: str) -> object:
    """Import the API when it is first asked for: commands that do not need it start without it."""
    if name in {"Bot", "ChatBot"}:
        from botbridge.api import Bot, ChatBot  # noqa: PLC0415 - the point of this function

        return Bot if name == "Bot" else ChatBot
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
