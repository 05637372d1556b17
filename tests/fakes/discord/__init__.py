"""A Discord on loopback: REST and gateway in a process of their own, with Discord's rules and a ledger."""

from __future__ import annotations

from tests.fakes.discord.client import FakeDiscord, Reply

__all__ = ["FakeDiscord", "Reply"]
