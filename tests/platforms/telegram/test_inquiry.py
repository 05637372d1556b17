"""Who the bot is, by Telegram's own word."""

from __future__ import annotations

import asyncio

import pytest

from botbridge.errors import BadToken, PlatformUnavailable
from botbridge.platforms.telegram.inquiry import inquire
from tests.fakes.telegram.client import FakeTelegram

PATIENCE_S = 10.0


async def test_telegram_says_who_the_bot_is_what_it_reads_and_what_time_it_is(telegram: FakeTelegram) -> None:
    account = await inquire(telegram.token, telegram.url, PATIENCE_S)
    assert account.name.startswith("@")
    assert (account.reads_everything, account.joins_groups) == (False, True)
    assert account.clock_ahead_s is not None
    assert -5 < account.clock_ahead_s < 60


async def test_privacy_mode_can_be_off(telegram: FakeTelegram) -> None:
    await telegram.change(sees_all=True)
    assert (await inquire(telegram.token, telegram.url, PATIENCE_S)).reads_everything


async def test_a_token_that_telegram_does_not_know_is_told(telegram: FakeTelegram) -> None:
    with pytest.raises(BadToken):
        await inquire("123:another", telegram.url, PATIENCE_S)


async def test_a_page_of_somebody_else_is_no_word_on_the_token(telegram: FakeTelegram) -> None:
    """Such as a server at `TELEGRAM__API_BASE_URL` that is no Bot API at all."""
    await telegram.break_calls("getMe", "page", status=404)
    with pytest.raises(PlatformUnavailable, match="not by Telegram"):
        await inquire(telegram.token, telegram.url, PATIENCE_S)


async def test_nobody_there_is_not_a_wrong_token(telegram: FakeTelegram, unused_tcp_port: int) -> None:
    with pytest.raises(PlatformUnavailable) as told:
        await inquire(telegram.token, f"http://127.0.0.1:{unused_tcp_port}", PATIENCE_S)
    assert telegram.token not in str(told.value)


@pytest.mark.parametrize("kind", ["hang", "trickle"])
async def test_a_server_that_never_finishes_is_given_up(telegram: FakeTelegram, kind: str) -> None:
    await telegram.break_calls("getMe", kind)
    async with asyncio.timeout(20):
        with pytest.raises(PlatformUnavailable):
            await inquire(telegram.token, telegram.url, 0.3)
