"""The fake Discord keeps Discord's rules also against clients that are less careful than discord.py."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.fakes.discord import FakeDiscord
from tests.fakes.discord.client import REPOSITORY

MESSAGE_CONTENT = 1 << 15
ALL_MESSAGES = 1 << 9 | 1 << 12


class Caller:
    """A client that speaks to the server by hand."""

    def __init__(self, server: FakeDiscord, http: aiohttp.ClientSession) -> None:
        self.server = server
        self.http = http

    async def call(self, method: str, path: str, body: Any = None, token: str | None = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bot {token or self.server.token}"}
        async with self.http.request(method, self.server.api_url + path, json=body, headers=headers) as response:
            text = await response.text()
            return response.status, json.loads(text) if text else None

    async def direct_channel(self) -> str:
        person = await self.server.person("ana")
        _, channel = await self.call("POST", "/users/@me/channels", {"recipient_id": person})
        return str(channel["id"])

    async def identify(self, intents: int, token: str | None = None) -> aiohttp.ClientWebSocketResponse:
        socket = await self.http.ws_connect(self.server.gateway_url)
        assert (await socket.receive_json())["op"] == 10
        identity = {"token": token or self.server.token, "intents": intents, "properties": {}}
        await socket.send_json({"op": 2, "d": identity})
        return socket


@pytest.fixture
async def caller(server: FakeDiscord) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession() as http:
        yield Caller(server, http)


async def test_a_wrong_token_is_refused_by_rest_and_gateway(caller: Caller) -> None:
    assert (await caller.call("GET", "/users/@me", token="wrong"))[0] == 401
    socket = await caller.identify(ALL_MESSAGES, token="wrong")
    await socket.receive()
    assert socket.close_code == 4004


async def test_an_intent_that_was_not_granted_closes_the_gateway(caller: Caller) -> None:
    socket = await caller.identify(MESSAGE_CONTENT)
    await socket.receive()
    assert socket.close_code == 4014


async def test_content_is_withheld_from_whom_it_is_not_meant_for(caller: Caller) -> None:
    socket = await caller.identify(ALL_MESSAGES)
    await caller.server.wait_until("ready")
    await caller.server.say("among others", mention=False)
    await caller.server.say("to the bot")
    await caller.server.say("in private", direct=True)
    contents: list[str] = []
    while len(contents) < 3:
        event = await socket.receive_json()
        if event["t"] == "MESSAGE_CREATE":
            contents.append(event["d"]["content"])
    assert contents == ["", f"<@{caller.server.bot_id}> to the bot", "in private"]
    await socket.close()


async def test_a_history_is_read_from_where_it_is_asked_and_shows_what_a_session_would(caller: Caller) -> None:
    """Behind an id come the oldest, else the newest; the newest is first in each page."""
    first = await caller.server.say("0")
    for number in range(1, 5):
        await caller.server.say(f"{number}", mention=number == 4)
    channel = (await caller.server.wait_until("said"))["channel_id"]

    async def page(query: str) -> list[str]:
        _, messages = await caller.call("GET", f"/channels/{channel}/messages?{query}")
        return [one["content"].split()[-1] if one["content"] else "" for one in messages]

    assert await page(f"after={first}&limit=2") == ["", ""]
    assert await page(f"after={first}") == ["4", "", "", ""]
    assert await page("limit=2") == ["4", ""]
    assert await page(f"after={first}&limit=100&before={first}") == []
    assert (await caller.call("GET", f"/channels/{channel}/messages?limit=101"))[0] == 400


async def test_an_unknown_session_cannot_be_resumed(caller: Caller) -> None:
    socket = await caller.http.ws_connect(caller.server.gateway_url)
    await socket.receive_json()
    await socket.send_json({"op": 6, "d": {"token": caller.server.token, "session_id": "nobody's", "seq": 0}})
    assert await socket.receive_json() == {"op": 9, "d": False, "s": None, "t": None}
    await socket.close()


@pytest.mark.parametrize(
    ("content", "code"), [("x" * 2001, 50035), ("😀" * 1001, 50035), ("  ", 50006), ("x" * 2000, None)]
)
async def test_a_message_has_one_to_two_thousand_characters(caller: Caller, content: str, code: int | None) -> None:
    channel = await caller.direct_channel()
    status, body = await caller.call("POST", f"/channels/{channel}/messages", {"content": content})
    assert (status, body.get("code")) == ((200, None) if code is None else (400, code))


async def test_the_sixth_message_within_five_seconds_is_limited(caller: Caller) -> None:
    channel = await caller.direct_channel()
    answers = [await caller.call("POST", f"/channels/{channel}/messages", {"content": "hi"}) for _ in range(6)]
    assert [status for status, _ in answers] == [200] * 5 + [429]
    assert 0 < answers[-1][1]["retry_after"] <= 5
    await caller.server.advance(5)
    assert (await caller.call("POST", f"/channels/{channel}/messages", {"content": "hi"}))[0] == 200


async def test_without_allowed_mentions_everybody_is_rung(caller: Caller) -> None:
    """Else a test that nobody is rung would prove nothing."""
    ana = await caller.server.person("ana")
    channel = await caller.direct_channel()
    await caller.call("POST", f"/channels/{channel}/messages", {"content": f"@everyone <@{ana}> <@&5>"})
    assert (await caller.server.wait_until("sent"))["pings"] == ["@everyone", ana, "role:5"]


async def test_a_nonce_without_enforcement_makes_two_messages(caller: Caller) -> None:
    channel = await caller.direct_channel()
    for _ in range(2):
        await caller.call("POST", f"/channels/{channel}/messages", {"content": "hi", "nonce": "1"})
    assert len(await caller.server.ledger("sent")) == 2


async def test_the_first_response_has_three_seconds(caller: Caller) -> None:
    socket = await caller.identify(ALL_MESSAGES)
    await caller.server.wait_until("ready")
    await caller.call("PUT", "/applications/1/commands", [{"name": "help", "description": "Help"}])
    tokens = []
    for _ in range(2):
        await caller.server.slash("help", direct=True)
    while len(tokens) < 2:
        event = await socket.receive_json()
        if event["t"] == "INTERACTION_CREATE":
            tokens.append(event["d"]["token"])
    deferral = {"type": 5, "data": {"flags": 64}}
    assert (await caller.call("POST", f"/interactions/1/{tokens[0]}/callback", deferral))[0] == 200
    status, body = await caller.call("POST", f"/interactions/1/{tokens[0]}/callback", deferral)
    assert (status, body["code"]) == (400, 40060)
    await caller.server.advance(3.1)
    status, body = await caller.call("POST", f"/interactions/1/{tokens[1]}/callback", deferral)
    assert (status, body["code"]) == (404, 10062)
    await socket.close()


async def test_a_command_that_was_not_registered_cannot_be_chosen(server: FakeDiscord) -> None:
    with pytest.raises(RuntimeError, match="not registered"):
        await server.slash("help")


async def test_a_taken_port_is_one_clear_sentence(server: FakeDiscord) -> None:
    port = server.api_url.split(":")[2].split("/")[0]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.fakes.discord", "--port", port), stderr=asyncio.subprocess.PIPE, cwd=REPOSITORY
    )
    _, complaint = await process.communicate()
    assert process.returncode == 1
    assert complaint.decode() == f"Port {port} of 127.0.0.1 cannot be used: Address already in use.\n"
