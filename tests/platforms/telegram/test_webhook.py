"""Updates that Telegram brings are stored as those that a poll fetches, and acknowledged when they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from structlog.testing import capture_logs
from telegram import WebhookInfo

from botbridge.errors import PlatformUnavailable
from botbridge.platforms.telegram.adapter import TelegramPlatform
from botbridge.platforms.telegram.batch import Undecodable
from botbridge.platforms.telegram.webhook import Deliveries, Hook, is_stuck
from botbridge.web.app import make_app
from botbridge.web.server import WebServer
from tests.fakes.telegram.client import Chat, FakeTelegram, Person
from tests.platforms.telegram.conftest import QUICK, Taken, listening, platform_on

SARA, OMAR = Person(42, "Sara"), Person(43, "Omar")
SECRET = "the-secret-of-this-test"
PATH = "/hook/of-this-test"
WATCHFUL = replace(QUICK, check_s=0.05)


@asynccontextmanager
async def reachable(
    telegram: FakeTelegram, taken: Taken, *, secret: str = SECRET, **options: Any
) -> AsyncIterator[TelegramPlatform]:
    """A bot at a webhook."""
    serving: TelegramPlatform

    async def take(body: bytes) -> None:
        await serving.take_delivery(body)

    app = make_app(webhook_path=PATH, secret=SECRET, take_update=take)
    async with WebServer(app, "127.0.0.1", 0) as server:
        hook = Hook(f"http://127.0.0.1:{server.port}{PATH}", secret)
        async with platform_on(telegram, taken, hook=hook, **options) as serving:
            running = asyncio.create_task(server.run())
            async with listening(serving, taken):
                yield serving
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_a_message_is_brought_stored_and_acknowledged(telegram: FakeTelegram, taken: Taken) -> None:
    async with reachable(telegram, taken) as platform:
        await telegram.say(SARA, "hello")
        record = await telegram.wait_until(lambda record: not record.unconfirmed)
        assert platform.health().is_on
    assert [message.text for message in taken.accepted] == ["hello"]
    assert record.count("webhook", has_secret=True, allowed_updates=["message"], drops=False) == 1
    assert record.count("polled") == 0


async def test_what_came_before_the_webhook_was_set_is_brought(telegram: FakeTelegram, taken: Taken) -> None:
    await telegram.say(SARA, "early")
    async with reachable(telegram, taken):
        await taken.until(lambda taken: len(taken.accepted) == 1)


async def test_while_the_database_is_away_nothing_is_acknowledged_and_nothing_lost(
    telegram: FakeTelegram, taken: Taken
) -> None:
    taken.is_away = True
    async with reachable(telegram, taken):
        await telegram.say(SARA, "keep me")
        record = await telegram.wait_until(lambda record: record.count("delivery", status=503) >= 3)
        assert len(record.unconfirmed) == 1
        assert taken.accepted == []
        taken.is_away = False
        await telegram.wait_until(lambda record: not record.unconfirmed)
    assert [message.text for message in taken.accepted] == ["keep me"]


async def test_health_knows_that_deliveries_fail_and_that_they_succeed_again(
    telegram: FakeTelegram, taken: Taken
) -> None:
    async with reachable(telegram, taken, timing=WATCHFUL) as platform:
        await telegram.say(SARA, "fine")
        await taken.until(lambda taken: len(taken.accepted) == 1)
        taken.is_away = True
        await telegram.say(SARA, "stuck")
        await telegram.wait_until(lambda record: record.count("delivery", status=503) >= 1)
        with capture_logs() as lines:
            await looked_at(telegram, 3)
        assert not platform.health().is_on
        assert "Telegram cannot bring updates to the webhook: Wrong response" in platform.health().detail
        assert [line["log_level"] for line in lines if line["event"] == "the webhook is in doubt"][:1] == ["error"]
        taken.is_away = False
        await telegram.wait_until(lambda record: not record.unconfirmed)
        await looked_at(telegram, 2)
        assert platform.health().is_on
        assert platform.health().detail == ""


async def looked_at(telegram: FakeTelegram, times: int) -> None:
    """Return when the bot looked after its webhook so often; what the look before the last one found is known then."""
    goal = (await telegram.ledger()).count("webhook_looked_at") + times
    await telegram.wait_until(lambda record: record.count("webhook_looked_at") >= goal)


async def test_a_webhook_that_somebody_moved_is_set_again(telegram: FakeTelegram, taken: Taken) -> None:
    async with reachable(telegram, taken, timing=WATCHFUL):
        await telegram.wait_until(lambda record: record.count("webhook") == 1)
        for url in ("", "https://example.org/elsewhere"):
            await telegram.change(webhook_url=url)
            await telegram.wait_until(lambda record: bool(record.webhook_secret))
        await telegram.say(SARA, "found")
        await taken.until(lambda taken: len(taken.accepted) == 1)


async def test_an_answer_that_gets_lost_brings_the_update_again(telegram: FakeTelegram, taken: Taken) -> None:
    """The inbox knows the message by its key, so that a repetition is success."""
    await telegram.break_calls("webhook", "accept_and_hang")
    async with reachable(telegram, taken):
        await telegram.say(SARA, "once")
        record = await telegram.wait_until(lambda record: not record.unconfirmed)
    assert record.count("delivery", status=200) == 2
    assert len({(message.address.chat_id, message.message_id) for message in taken.accepted}) == 1


async def test_an_update_that_comes_twice_at_once_is_acknowledged_twice(telegram: FakeTelegram, taken: Taken) -> None:
    await telegram.break_calls("webhook", "twice")
    async with reachable(telegram, taken):
        await telegram.say(SARA, "once")
        record = await telegram.wait_until(lambda record: not record.unconfirmed)
    assert record.count("delivery", status=200) == 2


async def test_a_bot_with_another_secret_takes_nothing(telegram: FakeTelegram, taken: Taken) -> None:
    async with reachable(telegram, taken, secret="another-secret-altogether"):
        await telegram.say(SARA, "who are you?")
        await telegram.wait_until(lambda record: record.count("delivery", status=403) >= 2)
    assert taken.accepted == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"message": []}', "malformed"),
        ('{"message": ' + "9" * 5000 + "}", "no readable JSON"),
        ('{"message": ' + "[" * 100_000 + "]" * 100_000 + "}", "no readable JSON"),
        ('{"message": oops}', "no readable JSON"),
    ],
    ids=["malformed", "number", "depth", "no JSON"],
)
async def test_an_update_that_cannot_be_read_is_put_aside_and_holds_up_nothing(
    telegram: FakeTelegram, taken: Taken, content: str, reason: str
) -> None:
    async with reachable(telegram, taken):
        update_id = await telegram.offer_raw(content)
        await telegram.say(SARA, "after")
        await telegram.wait_until(lambda record: not record.unconfirmed)
    assert [message.text for message in taken.accepted] == ["after"]
    ((_, message_id, raw, told),) = taken.ignored
    assert message_id == f"update-{update_id}"
    assert str(update_id).encode() in raw
    assert told.startswith(reason)


async def test_order_is_kept_within_a_chat(telegram: FakeTelegram, taken: Taken) -> None:
    async with reachable(telegram, taken):
        for number in range(10):
            await telegram.say(SARA, f"/help {number}", chat=Chat(-100))
            await telegram.say(OMAR, f"{number}")
        await taken.until(lambda taken: len(taken.accepted) == 20)
    for chat_id in ("-100", "43"):
        texts = [message.text.split()[-1] for message in taken.accepted if message.address.chat_id == chat_id]
        assert texts == [str(number) for number in range(10)]


async def test_a_bot_that_goes_back_to_polling_loses_nothing(telegram: FakeTelegram, taken: Taken) -> None:
    async with reachable(telegram, taken):
        await telegram.say(SARA, "brought")
        await telegram.wait_until(lambda record: not record.unconfirmed)
    await telegram.say(SARA, "left")
    async with platform_on(telegram, taken) as platform, listening(platform, taken):
        await taken.until(lambda taken: len(taken.accepted) >= 2)
    assert [message.text for message in taken.accepted] == ["brought", "left"]


async def test_a_token_that_is_refused_is_asked_about_again(telegram: FakeTelegram, taken: Taken) -> None:
    await telegram.break_calls("setWebhook", "status", times=3, status=401, description="Unauthorized")
    async with reachable(telegram, taken):
        await telegram.say(SARA, "hello")
        await taken.until(lambda taken: len(taken.accepted) == 1)


async def test_a_webhook_that_telegram_refuses_is_tried_again_aloud(telegram: FakeTelegram, taken: Taken) -> None:
    refusal = "Bad Request: bad webhook: failed to resolve host"
    await telegram.break_calls("setWebhook", "status", times=3, status=400, description=refusal)
    with capture_logs() as lines:
        async with reachable(telegram, taken):
            await telegram.say(SARA, "hello")
            await taken.until(lambda taken: len(taken.accepted) == 1)
    assert any("failed to resolve host" in str(line.get("error")) for line in lines)


async def test_before_the_bot_knows_who_it_is_nothing_is_acknowledged() -> None:
    with pytest.raises(PlatformUnavailable):
        await Deliveries().take(b'{"update_id": 1}')


async def test_what_holds_no_update_at_all_is_refused(telegram: FakeTelegram, taken: Taken) -> None:
    async with reachable(telegram, taken) as platform:
        await telegram.say(SARA, "hello")
        await taken.until(lambda taken: len(taken.accepted) == 1)
        for body in (b"", b"[]", b"{}", b'{"update_id": "7"}', b'{"update_id": true}', b"\xff"):
            with pytest.raises(Undecodable):
                await platform.take_delivery(body)


async def test_neither_log_nor_representation_shows_address_or_secret(telegram: FakeTelegram, taken: Taken) -> None:
    await telegram.break_calls("setWebhook", "status", times=2, status=500)
    with capture_logs() as lines:
        async with reachable(telegram, taken, timing=WATCHFUL) as platform:
            await telegram.say(SARA, "hello")
            await taken.until(lambda taken: len(taken.accepted) == 1)
            await telegram.change(webhook_url="")
            await telegram.wait_until(lambda record: bool(record.webhook_secret))
    assert len(lines) >= 3
    for secret in (SECRET, PATH, telegram.token):
        assert secret not in repr(lines) + repr(platform) + repr(Hook(PATH, SECRET))


THEN, NOW = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("pending", "last_error", "known", "stuck"),
    [(0, NOW, THEN, False), (3, None, None, False), (3, THEN, THEN, False), (3, NOW, THEN, True), (3, NOW, None, True)],
)
def test_updates_are_stuck_when_they_wait_and_a_delivery_failed_lately(
    pending: int, last_error: datetime | None, known: datetime | None, stuck: bool
) -> None:
    info = WebhookInfo("https://h/x", False, pending, last_error_date=last_error, last_error_message="x")
    assert is_stuck(info, known) is stuck
