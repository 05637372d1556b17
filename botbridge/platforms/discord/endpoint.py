"""Where discord.py finds Discord."""

from __future__ import annotations

import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route


def point_at(api_base_url: str | None, gateway_url: str | None) -> None:
    """Let discord.py speak to a compatible server, for the whole process.

    discord.py has no argument for this; the two class attributes are the way in.

    Args:
        api_base_url: As `http://host:3001/api/v10`; None leaves Discord's own.
        gateway_url: As `ws://host:3001/gateway`; None leaves Discord's own.
    """
    if api_base_url is not None:
        Route.BASE = api_base_url.rstrip("/")
    if gateway_url is not None:
        DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway_url)
