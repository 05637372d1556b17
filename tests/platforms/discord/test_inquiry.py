"""Who the bot is and what it may read, by Discord's own word."""

from __future__ import annotations

import asyncio

import pytest

from botbridge.errors import BadToken, PlatformUnavailable
from botbridge.platforms.discord.inquiry import inquire
from tests.fakes.discord import FakeDiscord

PATIENCE_S = 10.0


async def test_discord_says_who_the_bot_is_and_what_time_it_is(server: FakeDiscord) -> None:
    account = await inquire(server.token, server.api_url, PATIENCE_S)
    assert account.name.startswith("botbridge")
    assert not account.reads_everything
    assert account.clock_ahead_s is not None
    assert -5 < account.clock_ahead_s < 60


async def test_the_message_content_intent_can_be_granted(discord_process: str) -> None:
    async with FakeDiscord(running=discord_process, grant_message_content=True) as server:
        assert (await inquire(server.token, server.api_url, PATIENCE_S)).reads_everything


async def test_the_bot_does_not_go_on_line_for_it(server: FakeDiscord) -> None:
    await inquire(server.token, server.api_url, PATIENCE_S)
    assert [entry["kind"] for entry in await server.ledger() if entry["kind"] == "identified"] == []


async def test_a_token_that_discord_does_not_know_is_told(server: FakeDiscord) -> None:
    with pytest.raises(BadToken):
        await inquire("another", server.api_url, PATIENCE_S)


async def test_nobody_there_is_not_a_wrong_token(unused_tcp_port: int) -> None:
    """discord.py itself would go on trying for half a minute."""
    async with asyncio.timeout(20):
        with pytest.raises(PlatformUnavailable):
            await inquire("a token", f"http://127.0.0.1:{unused_tcp_port}", 0.5)


async def test_a_server_that_never_answers_is_given_up() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        async with asyncio.timeout(20):
            with pytest.raises(PlatformUnavailable):
                await inquire("a token", f"http://127.0.0.1:{port}", 0.3)
