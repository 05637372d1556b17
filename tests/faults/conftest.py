"""Both platforms, and a botbridge that can be told where to die."""

from __future__ import annotations

from tests.journey.conftest import discord, discord_process, new_bridge, telegram, telegram_process

__all__ = ["discord", "discord_process", "new_bridge", "telegram", "telegram_process"]
