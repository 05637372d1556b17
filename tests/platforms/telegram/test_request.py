"""How requests travel: through the proxy that is named, each once, and without the token in what goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field

import aiohttp
import pytest
from telegram.error import NetworkError, TimedOut

from botbridge.errors import ConfigError, PlatformUnavailable
from botbridge.platforms.telegram.errors import to_platform_error
from botbridge.platforms.telegram.request import BotRequest, _described

TOKEN = "7000000001:secret-of-the-bot"
PATH = f"/bot{TOKEN}/sendMessage"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"
FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"


@dataclass
class Peer:
    """Whoever is connected to: notes the first line of each request, and answers as it is told.

    Attributes:
        answer: What it says to each request; empty hangs up.
        is_silent: It says nothing at all.
    """

    url: str = ""
    answer: bytes = ANSWER
    is_silent: bool = False
    asked: list[str] = field(default_factory=list)
    was_asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        with closing(writer), suppress(asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.asked.append(head.decode().partition("\r\n")[0])
                self.was_asked.set()
                if self.is_silent:
                    await reader.read()
                if not self.answer:
                    return
                writer.write(self.answer)


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    peer = Peer()
    server = await asyncio.start_server(peer.talk, "127.0.0.1", 0)
    peer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield peer


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine's own proxies are, they are not asked."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@asynccontextmanager
async def requests_to(base_url: str, *, connections: int = 2, answer_s: float = 5.0) -> AsyncIterator[BotRequest]:
    request = BotRequest(base_url, connections=connections, connect_s=0.1, answer_s=answer_s)
    async with request:
        yield request


async def test_a_connection_is_used_again(peer: Peer) -> None:
    async with requests_to(peer.url) as request:
        assert await request.do_request(peer.url + PATH, "GET") == (200, b"OK")
        assert await request.do_request(peer.url + PATH, "GET") == (200, b"OK")
    assert peer.asked == [f"GET {PATH} HTTP/1.1"] * 2


@pytest.mark.parametrize("name", ["http_proxy", "ALL_PROXY"])
async def test_the_proxy_of_the_environment_is_asked(peer: Peer, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, peer.url)
    async with requests_to("http://telegram.invalid") as request:
        assert await request.do_request(f"http://telegram.invalid{PATH}", "GET") == (200, b"OK")
    assert peer.asked == [f"GET http://telegram.invalid{PATH} HTTP/1.1"]


async def test_a_server_that_needs_no_proxy_is_asked_itself(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.invalid:3128")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    async with requests_to(peer.url) as request:
        assert await request.do_request(peer.url + PATH, "GET") == (200, b"OK")


async def test_a_proxy_that_does_not_let_us_through_may_be_tried_again(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It saw where we wanted to go, and nothing of the message."""
    monkeypatch.setenv("https_proxy", peer.url)
    peer.answer = FORBIDDEN
    async with requests_to("https://telegram.invalid") as request:
        with pytest.raises(NetworkError) as caught:
            await request.do_request(f"https://telegram.invalid{PATH}", "POST")
    assert peer.asked == ["CONNECT telegram.invalid:443 HTTP/1.1"]
    assert type(to_platform_error(caught.value, repeatable=False)) is PlatformUnavailable
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    ("number", "described"), [(None, "ClientOSError"), (104, "ClientOSError: Connection reset by peer")]
)
def test_a_body_that_could_not_be_written_names_no_address(number: int | None, described: str) -> None:
    """Here the library spells the whole address, of which the token is a part; what we say is kept with the reply."""
    error = aiohttp.ClientOSError(number, f"Can not write request body for http://127.0.0.1:1{PATH}")
    assert _described(error) == described


def test_a_proxy_that_speaks_no_http_is_refused_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "socks5://localhost:1080")
    with pytest.raises(ConfigError, match="socks5"):
        BotRequest("https://telegram.invalid", connections=1, connect_s=1, answer_s=1)


async def test_a_message_whose_connection_ends_is_not_sent_again(peer: Peer) -> None:
    """Not on another connection either, as the library does with a GET."""
    async with requests_to(peer.url) as request:
        await request.do_request(peer.url + PATH, "GET")
        peer.answer = b""
        with pytest.raises(NetworkError):
            await request.do_request(peer.url + PATH, "POST")
    assert peer.asked == [f"GET {PATH} HTTP/1.1", f"POST {PATH} HTTP/1.1"]


async def test_who_finds_no_free_connection_has_sent_nothing(peer: Peer) -> None:
    peer.is_silent = True
    async with requests_to(peer.url, connections=1, answer_s=2.0) as request:
        first = asyncio.create_task(request.do_request(peer.url + PATH, "POST"))
        await peer.was_asked.wait()
        with pytest.raises(TimedOut) as caught:
            await request.do_request(peer.url + PATH, "POST")
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
    assert len(peer.asked) == 1
    assert type(to_platform_error(caught.value, repeatable=False)) is PlatformUnavailable
    assert TOKEN not in str(caught.value)


async def test_a_request_outside_its_time_is_a_bug_that_shows(peer: Peer) -> None:
    request = BotRequest(peer.url, connections=1, connect_s=1, answer_s=1)
    await request.initialize()
    await request.shutdown()
    with pytest.raises(RuntimeError, match="shutdown"):
        await request.do_request(peer.url + PATH, "GET")
    assert peer.asked == []
