"""Who comes to the webhook without the secret, or with too much, gets nothing; raw bytes over real sockets (F1)."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from botbridge.errors import ConfigError, PlatformUnavailable, StorageError, StorageUnavailable
from botbridge.web.app import make_app
from botbridge.web.body import BodyLimits
from botbridge.web.server import MOST_CONNECTIONS, WebServer

SECRET = "the-secret-of-this-test"
PATH = "/hook/of-this-test"
MIB_BYTES = 1024 * 1024
GOOD = (f"X-Telegram-Bot-Api-Secret-Token: {SECRET}", "Content-Type: application/json")


@dataclass
class Store:
    """Where updates go; it can refuse, and it can be held up."""

    bodies: list[bytes] = field(default_factory=list)
    error: Exception | None = None
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    open: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, body: bytes) -> None:
        """Store an update."""
        self.asked.set()
        await self.open.wait()
        if self.error is not None:
            raise self.error
        self.bodies.append(body)


@dataclass(frozen=True)
class Site:
    """A running server and what is behind it."""

    port: int
    store: Store

    async def answer(self, head: Iterable[str], body: bytes = b"", *, method: str = "POST", path: str = PATH) -> int:
        """Send one request as it stands; the status of the answer, or 0 when the connection ended without one."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        lines = (f"{method} {path} HTTP/1.1", "Host: bot", *head, "", "")
        writer.write("\r\n".join(lines).encode("latin-1") + body)
        try:
            async with asyncio.timeout(10):
                first = await reader.readline()
        finally:
            writer.close()
        return int(first.split()[1]) if first else 0


@asynccontextmanager
async def serving(*, arrival_s: float = 10.0, request_s: float = 10.0) -> AsyncIterator[Site]:
    store = Store()
    store.open.set()
    limits = BodyLimits(arrival_s=arrival_s)
    app = make_app(webhook_path=PATH, secret=SECRET, take_update=store.take, limits=limits)
    async with WebServer(app, "127.0.0.1", 0, request_s=request_s) as server:
        running = asyncio.create_task(server.run())
        yield Site(server.port, store)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serving() as site:
        yield site


def sized(body: bytes) -> tuple[str, ...]:
    return (*GOOD, f"Content-Length: {len(body)}")


async def test_an_update_with_the_secret_is_stored_and_then_acknowledged(site: Site) -> None:
    body = b'{"update_id": 1}'
    site.store.open.clear()
    asking = asyncio.create_task(site.answer(sized(body), body))
    await site.store.asked.wait()
    acknowledged, _ = await asyncio.wait({asking}, timeout=0.3)
    assert not acknowledged
    site.store.open.set()
    assert await asking == 200
    assert site.store.bodies == [body]


@pytest.mark.parametrize(
    ("offered", "status"),
    [
        ((), 401),
        (("X-Telegram-Bot-Api-Secret-Token:",), 403),
        (("X-Telegram-Bot-Api-Secret-Token: wrong",), 403),
        ((f"X-Telegram-Bot-Api-Secret-Token: {SECRET[:-1]}",), 403),
        ((f"X-Telegram-Bot-Api-Secret-Token: {SECRET}x",), 403),
        ((f"X-Telegram-Bot-Api-Secret-Token: {SECRET.upper()}",), 403),
        (("X-Telegram-Bot-Api-Secret-Token: secr\xe9t",), 403),
        ((f"X-Telegram-Bot-Api-Secret-Token: {SECRET}",) * 2, 403),
        ((f"X-Telegram-Bot-Api-Secret-Token: {SECRET}", "x-telegram-bot-api-secret-token: other"), 403),
        ((f"Authorization: {SECRET}",), 401),
    ],
    ids=["none", "empty", "wrong", "prefix", "longer", "case", "not ASCII", "twice", "two", "elsewhere"],
)
async def test_who_does_not_know_the_secret_is_refused_unread(
    site: Site, offered: tuple[str, ...], status: int
) -> None:
    head = (*offered, "Content-Type: application/json", f"Content-Length: {200 * MIB_BYTES}")
    assert await site.answer(head, b'{"update_id": 1}') == status
    assert not site.store.asked.is_set()


@pytest.mark.parametrize("path", [PATH, "/elsewhere"])
async def test_a_refusal_ends_the_connection_so_that_nothing_more_is_sent(site: Site, path: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(f"POST {path} HTTP/1.1\r\nHost: bot\r\nContent-Length: {200 * MIB_BYTES}\r\n\r\n".encode())
    async with asyncio.timeout(10):
        answer = (await reader.read()).lower()
    assert answer.split()[1] in (b"401", b"404")
    assert b"connection: close" in answer
    writer.close()


@pytest.mark.parametrize("path", ["/", "/hook", PATH + "/", PATH + "/more", "/docs", "/openapi.json", "/%2e%2e/etc"])
async def test_other_paths_are_not_found(site: Site, path: str) -> None:
    assert await site.answer(sized(b"{}"), b"{}", path=path) == 404


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"])
async def test_other_methods_are_not_allowed(site: Site, method: str) -> None:
    assert await site.answer(sized(b"{}"), b"{}", method=method) == 405


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""])
async def test_other_types_than_json_are_refused(site: Site, kind: str) -> None:
    head = (GOOD[0], *([f"Content-Type: {kind}"] if kind else []), "Content-Length: 2")
    assert await site.answer(head, b"{}") == 415
    assert not site.store.asked.is_set()


async def test_the_type_may_name_its_character_set(site: Site) -> None:
    head = (GOOD[0], "Content-Type: Application/JSON; charset=utf-8", "Content-Length: 2")
    assert await site.answer(head, b"{}") == 200


@pytest.mark.parametrize("length", [str(MIB_BYTES + 1), str(200 * MIB_BYTES), "9" * 20])
async def test_a_length_beyond_a_mebibyte_is_refused_before_the_body_comes(site: Site, length: str) -> None:
    assert await site.answer((*GOOD, f"Content-Length: {length}")) == 413


async def test_a_body_of_a_mebibyte_is_taken(site: Site) -> None:
    body = b"x" * MIB_BYTES
    assert await site.answer(sized(body), body) == 200
    assert site.store.bodies == [body]


async def test_a_body_that_tells_no_length_has_the_same_limit(site: Site) -> None:
    chunk = f"{MIB_BYTES + 1:x}\r\n".encode() + b"x" * (MIB_BYTES + 1)
    assert await site.answer((*GOOD, "Transfer-Encoding: chunked"), chunk) == 413
    assert not site.store.asked.is_set()


async def test_a_body_that_tells_no_length_is_taken_when_it_ends(site: Site) -> None:
    assert await site.answer((*GOOD, "Transfer-Encoding: chunked"), b"2\r\n{}\r\n0\r\n\r\n") == 200
    assert site.store.bodies == [b"{}"]


@pytest.mark.parametrize("framing", ["Content-Length: 100", "Transfer-Encoding: chunked"])
async def test_a_body_that_does_not_come_to_its_end_is_given_up(framing: str) -> None:
    async with serving(arrival_s=0.05) as site:
        assert await site.answer((*GOOD, framing), b"5\r\n{") == 408
        assert not site.store.asked.is_set()


async def test_headers_that_do_not_come_to_their_end_are_given_up() -> None:
    async with serving(request_s=0.05) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost:")
        async with asyncio.timeout(10):
            assert await reader.read() == b""
        writer.close()


async def test_beyond_so_many_connections_requests_are_turned_away_until_some_have_ended(site: Site) -> None:
    """Whoever opens them and says nothing keeps others out only as long as he is waited for."""
    idle = [await asyncio.open_connection("127.0.0.1", site.port) for _ in range(MOST_CONNECTIONS - 2)]
    assert await site.answer(sized(b"{}"), b"{}") == 200
    idle += [await asyncio.open_connection("127.0.0.1", site.port) for _ in range(2)]
    assert await site.answer(sized(b"{}"), b"{}") == 503
    assert site.store.bodies == [b"{}"], "what was turned away was not stored"
    for _, writer in idle:
        writer.close()
    async with asyncio.timeout(10):
        while await site.answer(sized(b"{}"), b"{}") == 503:
            pass


async def test_a_request_that_takes_long_to_store_is_not_cut_off() -> None:
    async with serving(request_s=0.05) as site:
        site.store.open.clear()
        asking = asyncio.create_task(site.answer(sized(b"{}"), b"{}"))
        await site.store.asked.wait()
        await asyncio.wait({asking}, timeout=0.2)
        site.store.open.set()
        assert await asking == 200


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StorageUnavailable("database is locked"), 503),
        (StorageError("locking protocol"), 503),
        (PlatformUnavailable("not introduced yet"), 503),
        (ValueError("no update"), 400),
        (ZeroDivisionError(), 500),
    ],
    ids=repr,
)
async def test_what_cannot_be_stored_is_not_acknowledged(site: Site, error: Exception, status: int) -> None:
    site.store.error = error
    assert await site.answer(sized(b"{}"), b"{}") == status


async def test_no_http_at_all_is_refused_and_the_next_request_is_answered(site: Site) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
    assert (await reader.readline()).split()[1] == b"400"
    writer.close()
    assert await site.answer(sized(b"{}"), b"{}") == 200


async def test_signals_stay_with_whoever_had_them() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    async with serving() as site:
        assert await site.answer(sized(b"{}"), b"{}") == 200
        assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


async def test_a_request_in_hand_is_finished_when_the_server_stops() -> None:
    store = Store()
    app = make_app(webhook_path=PATH, secret=SECRET, take_update=store.take)
    async with WebServer(app, "127.0.0.1", 0) as server:
        running = asyncio.create_task(server.run())
        asking = asyncio.create_task(Site(server.port, store).answer(sized(b"{}"), b"{}"))
        await store.asked.wait()
        running.cancel()
        await asyncio.wait({running}, timeout=0.3)
        assert not running.done()
        store.open.set()
        assert await asking == 200
        await asyncio.gather(running, return_exceptions=True)
    assert store.bodies == [b"{}"]


async def test_a_port_that_is_taken_is_one_sentence(site: Site) -> None:
    app = make_app(webhook_path=PATH, secret=SECRET, take_update=site.store.take)
    with pytest.raises(ConfigError, match=f"WEB__PORT: 127.0.0.1, port {site.port} cannot be listened on"):
        async with WebServer(app, "127.0.0.1", site.port):
            pass
