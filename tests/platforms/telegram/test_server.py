"""The test server keeps Telegram's rules, so that a bot that passes here passes there."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import aiohttp
import pytest

from tests.fakes.telegram.client import ROOT, Chat, FakeTelegram, Person, server_command

Call = Callable[..., Coroutine[Any, Any, dict[str, Any]]]
SARA = Person(42)
TEAM = Chat(-1001)
BOLD = {"type": "bold", "offset": 0, "length": 1}


@pytest.fixture
async def call(telegram: FakeTelegram) -> AsyncIterator[Call]:
    """Ask the Bot API by hand."""
    async with aiohttp.ClientSession() as http:

        async def ask(method: str, token: str = telegram.token, **parameters: Any) -> dict[str, Any]:
            async with http.post(f"{telegram.url}/bot{token}/{method}", json=parameters) as answer:
                body: dict[str, Any] = await answer.json()
                return body

        yield ask


async def test_updates_come_again_until_an_offset_confirms_them(telegram: FakeTelegram, call: Call) -> None:
    first = await telegram.say(SARA, "one")
    await telegram.say(SARA, "two")
    for _ in range(2):
        assert len((await call("getUpdates"))["result"]) == 2
    (left,) = (await call("getUpdates", offset=first.update_id + 1))["result"]
    assert left["message"]["text"] == "two"
    assert len((await telegram.ledger()).unconfirmed) == 1


async def test_a_long_poll_ends_with_the_first_update(telegram: FakeTelegram, call: Call) -> None:
    poll = asyncio.create_task(call("getUpdates", timeout=30))
    await telegram.say(SARA, "hi")
    async with asyncio.timeout(10):
        assert len((await poll)["result"]) == 1


async def test_the_newer_of_two_polls_ends_the_older_with_409(telegram: FakeTelegram, call: Call) -> None:
    async def until_conflict() -> dict[str, Any]:
        while (answer := await call("getUpdates", timeout=30)).get("error_code") != 409:
            pass
        return answer

    async with asyncio.timeout(10):
        polls = [asyncio.create_task(until_conflict()) for _ in range(2)]
        done, pending = await asyncio.wait(polls, return_when=asyncio.FIRST_COMPLETED)
    for poll in pending:
        poll.cancel()
    assert done.pop().result()["description"].startswith("Conflict: terminated by other getUpdates request")


async def test_polling_is_refused_while_a_webhook_is_set(call: Call) -> None:
    await call("setWebhook", url="https://example.org")
    assert (await call("getUpdates"))["error_code"] == 409
    await call("deleteWebhook")
    assert (await call("getUpdates"))["ok"]


async def test_a_wrong_token_is_401_and_an_unknown_method_404(call: Call) -> None:
    assert (await call("getMe", token="1:x"))["error_code"] == 401
    assert (await call("fly"))["error_code"] == 404


@pytest.mark.parametrize(
    ("parameters", "description"),
    [
        ({"text": "*bold _x", "parse_mode": "MarkdownV2"}, "can't parse entities: Can't find end of Italic entity"),
        ({"text": "<b>x", "parse_mode": "HTML"}, "can't parse entities: Can't find end tag corresponding to start tag"),
        ({"text": "x", "entities": [BOLD | {"length": 5}]}, "entity beginning at UTF-16 offset 0 ends after"),
        ({"text": "😀", "entities": [BOLD | {"offset": 1}]}, "entity begins in a middle of a UTF-16 symbol"),
        ({"text": "  "}, "message text is empty"),
        ({"text": "😀" * 2049}, "message is too long"),
        ({"text": "x", "reply_parameters": {"message_id": 9999}}, "message to be replied not found"),
        ({"text": "x", "message_thread_id": 9999}, "message thread not found"),
        ({"text": "x", "chat_id": 77}, "chat not found"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_telegram_refuses_is_refused_in_its_words(
    telegram: FakeTelegram, call: Call, parameters: dict[str, Any], description: str
) -> None:
    await telegram.say(SARA, "hi")
    answer = await call("sendMessage", **({"chat_id": 42} | parameters))
    assert answer["error_code"] == 400
    assert answer["description"].startswith(f"Bad Request: {description}")
    assert (await telegram.ledger()).sent == ()


async def test_the_limit_is_of_the_text_without_its_marks(telegram: FakeTelegram, call: Call) -> None:
    await telegram.say(SARA, "hi")
    assert (await call("sendMessage", chat_id=42, text="*" + "x" * 4096 + "*", parse_mode="MarkdownV2"))["ok"]


async def test_the_twenty_first_message_in_a_minute_is_too_much_for_a_group(telegram: FakeTelegram, call: Call) -> None:
    """And one is too much for the second: 429 says how long to wait."""
    await telegram.say(SARA, "hi", chat=TEAM)
    refused = None
    for number in range(21):
        answer = await call("sendMessage", chat_id=TEAM.id, text=str(number))
        refused = None if answer["ok"] else answer
        if refused:
            break
    assert refused is not None
    assert refused["error_code"] == 429
    assert refused["parameters"]["retry_after"] >= 1
    again = await call("sendMessage", chat_id=TEAM.id, text="impatient")
    assert again["error_code"] == 429
    assert (await telegram.ledger()).early_calls == 1


async def test_limits_can_be_switched_off(telegram: FakeTelegram, call: Call) -> None:
    await telegram.change(limits=False)
    await telegram.say(SARA, "hi", chat=TEAM)
    answers = [await call("sendMessage", chat_id=TEAM.id, text=str(number)) for number in range(40)]
    assert all(answer["ok"] for answer in answers)


async def test_an_edit_that_changes_nothing_and_one_of_a_strangers_message_are_refused(
    telegram: FakeTelegram, call: Call
) -> None:
    said = await telegram.say(SARA, "mine")
    sent = (await call("sendMessage", chat_id=42, text="same"))["result"]
    equal = await call("editMessageText", chat_id=42, message_id=sent["message_id"], text="same")
    assert equal["description"].startswith("Bad Request: message is not modified")
    foreign = await call("editMessageText", chat_id=42, message_id=said.message_id, text="hers")
    assert foreign["description"] == "Bad Request: message can't be edited"


async def test_a_message_of_a_topic_carries_what_telegrams_do(telegram: FakeTelegram, call: Call) -> None:
    await telegram.say(SARA, "/reset@OurBot", chat=TEAM, thread=9)
    message = (await call("getUpdates"))["result"][0]["message"]
    assert (message["is_topic_message"], message["message_thread_id"]) == (True, 9)
    assert "forum_topic_created" in message["reply_to_message"]
    assert message["entities"] == [{"type": "bot_command", "offset": 0, "length": 13}]


async def test_waiting_for_a_reply_returns_it_and_tells_what_came_instead(telegram: FakeTelegram, call: Call) -> None:
    said = await telegram.say(SARA, "hi")
    waiting = asyncio.create_task(
        telegram.wait_for_reply(SARA, after=said.message_id, until=lambda sent: "2" in sent.text)
    )
    sent = (await call("sendMessage", chat_id=42, text="1"))["result"]
    await call("editMessageText", chat_id=42, message_id=sent["message_id"], text="1, 2")
    reply = await waiting
    assert (reply.text, reply.edits) == ("1, 2", ("1",))
    with pytest.raises(TimeoutError, match="1, 2"):
        await telegram.wait_for_reply(SARA, after=reply.message_id, timeout_s=0.1)


def test_a_port_that_is_taken_is_one_sentence_and_exit_code_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = subprocess.run(
            server_command(port=port), capture_output=True, text=True, cwd=ROOT, timeout=30, check=False
        )
    assert result.returncode == 1
    assert result.stderr == f"port {port} cannot be opened: it is taken\n"
    assert result.stdout == ""


def test_the_server_ends_with_its_stdin() -> None:
    """So that a test run that is killed leaves no server behind."""
    with subprocess.Popen(server_command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        assert json.loads(server.stdout.readline())["url"].startswith("http://127.0.0.1:")
        server.stdin.close()
        assert server.wait(timeout=20) == 0
