"""`botbridge run` at a webhook, from outside: answered once, also across a kill; nothing starts that is half set up."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import aiohttp
import pytest

from tests.fakes.telegram.client import FakeTelegram
from tests.journey.bridge import Bridge
from tests.journey.conftest import NewBridge
from tests.journey.town import SARA, says

SECRET = "the-secret-of-this-test"
PATH = "/hook-of-this-test"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


def at_webhook(new_bridge: NewBridge, port: int, **changes: str) -> Bridge:
    settings = {
        "DISCORD__TOKEN": "",
        "TELEGRAM__MODE": "webhook",
        "TELEGRAM__WEBHOOK_URL": f"http://127.0.0.1:{port}{PATH}",
        "TELEGRAM__WEBHOOK_SECRET": SECRET,
        "WEB__PORT": str(port),
        "LOG__LEVEL": "DEBUG",  # so that it has much to say in which the secret could stand
    }
    return new_bridge(**settings | changes)


async def bring(port: int, update: dict[str, Any]) -> int:
    headers = {"X-Telegram-Bot-Api-Secret-Token": SECRET}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"http://127.0.0.1:{port}{PATH}", json=update, headers=headers) as answer,
    ):
        return answer.status


@pytest.mark.slow
async def test_messages_are_answered_once_across_a_kill_and_a_stop(
    new_bridge: NewBridge, telegram: FakeTelegram
) -> None:
    bridge = at_webhook(new_bridge, free_port())
    await bridge.start()
    first = await telegram.say(SARA, "first")
    await telegram.wait_for_reply(SARA, after=first.message_id, until=says("first"))
    assert (await bridge.ask("health"))["platforms"]["telegram"] == "on"
    await bridge.kill_tree()
    second = await telegram.say(SARA, "second")
    await bridge.start()
    await telegram.wait_for_reply(SARA, after=second.message_id, until=says("second"))
    record = await telegram.wait_until(lambda record: not record.unconfirmed)
    assert [sent.text for sent in record.to(SARA)] == ["first", "second"]
    assert await bridge.terminate() == 0


async def test_a_message_that_comes_twice_at_once_and_later_again_is_answered_once(
    new_bridge: NewBridge, telegram: FakeTelegram
) -> None:
    """The key is the message, whatever the ids of the updates before and after it."""
    port = free_port()
    bridge = at_webhook(new_bridge, port)
    await bridge.start()
    said = await telegram.say(SARA, "once")
    await telegram.wait_for_reply(SARA, after=said.message_id, until=says("once"))
    message = {"message_id": 900, "date": 1, "chat": SARA.chat.as_json, "from": SARA.as_json, "text": "doubled"}
    statuses = await asyncio.gather(*(bring(port, {"update_id": 77, "message": message}) for _ in range(8)))
    assert statuses == [200] * 8
    await telegram.wait_for_reply(SARA, until=says("doubled"))
    for update_id in (1_000_077, 3):
        assert await bring(port, {"update_id": update_id, "message": message}) == 200
    after = await telegram.say(SARA, "after")
    await telegram.wait_for_reply(SARA, after=after.message_id, until=says("after"))
    assert [sent.text for sent in (await telegram.ledger()).to(SARA)] == ["once", "doubled", "after"]
    assert len(bridge.rows("SELECT id FROM inbox WHERE message_id = ?", "900")) == 1


@pytest.mark.parametrize("missing", ["TELEGRAM__WEBHOOK_SECRET", "TELEGRAM__WEBHOOK_URL"])
async def test_a_webhook_without_a_secret_or_an_address_is_refused_at_the_start(
    new_bridge: NewBridge, telegram: FakeTelegram, missing: str
) -> None:
    bridge = at_webhook(new_bridge, free_port(), **{missing: ""})
    await bridge.start()
    assert await bridge.exited() == 2
    assert f"botbridge: BOTBRIDGE_TELEGRAM__MODE=webhook needs BOTBRIDGE_{missing}" in bridge.log
    assert (await telegram.ledger()).events == ()


async def test_a_port_that_is_taken_is_refused_at_the_start_and_nothing_is_left(new_bridge: NewBridge) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        bridge = at_webhook(new_bridge, port)
        await bridge.start()
        assert await bridge.exited() == 2
    assert f"127.0.0.1, port {port} cannot be listened on" in bridge.log
    assert "Traceback" not in bridge.log
    assert bridge.processes() == []
