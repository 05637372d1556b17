"""The control socket: real sockets, both ends, and what neither end may do to the other."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from botbridge import control
from botbridge.control import Act, ControlClient, ControlServer, Feed, Json
from botbridge.errors import ControlError, StorageUnavailable


@dataclass
class Scripted:
    """Handlers that a test looks into and holds up."""

    free: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    requests: list[Json] = field(default_factory=list)

    async def echo(self, request: Json) -> Json:
        self.requests.append(request)
        return {"heard": request.get("text")}

    async def slow(self, _: Json) -> Json:
        self.begun.set()
        await self.free.wait()
        self.done.set()
        return {}

    async def fail(self, _: Json) -> Json:
        raise StorageUnavailable("the disk is full")

    async def bug(self, _: Json) -> Json:
        raise ZeroDivisionError("secret detail")

    async def count(self, _: Json) -> AsyncGenerator[Json, None]:
        for number in range(3):
            yield {"number": number}

    async def forever(self, _: Json) -> AsyncGenerator[Json, None]:
        try:
            yield {"text": "begun"}
            await self.free.wait()
        finally:
            self.closed.set()

    async def flood(self, _: Json) -> AsyncGenerator[Json, None]:
        try:
            while True:
                yield {"text": "x" * 100_000}
        finally:
            self.closed.set()

    def handlers(self) -> dict[str, Act | Feed]:
        acts = {"echo": self.echo, "slow": self.slow, "fail": self.fail, "bug": self.bug}
        feeds = {"count": self.count, "forever": self.forever, "flood": self.flood}
        return {name: Act(do) for name, do in acts.items()} | {name: Feed(items) for name, items in feeds.items()}


@pytest.fixture
def path() -> Iterator[Path]:
    """Short, because a socket's path has to be."""
    with tempfile.TemporaryDirectory(prefix="bb") as directory:
        yield Path(directory) / "control.sock"


@pytest.fixture
def scripted() -> Scripted:
    return Scripted()


@pytest.fixture
async def client(path: Path, scripted: Scripted) -> AsyncIterator[ControlClient]:
    async with ControlServer(path, scripted.handlers()):
        yield ControlClient(path)


async def say(path: Path, line: bytes) -> dict[str, Any]:
    """What is answered to bytes that no client of ours would send."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(line)
    writer.write_eof()
    reply = await asyncio.wait_for(reader.readline(), timeout=10)
    writer.close()
    await writer.wait_closed()
    return dict(json.loads(reply))


async def test_an_act_has_one_result(client: ControlClient, scripted: Scripted) -> None:
    assert await client.ask("echo", text="مرحبا \ud800") == {"heard": "مرحبا \ud800"}
    assert scripted.requests == [{"verb": "echo", "text": "مرحبا \ud800"}]


async def test_a_feed_has_items_and_an_end(client: ControlClient) -> None:
    assert [item async for item in client.follow("count")] == [{"number": 0}, {"number": 1}, {"number": 2}]


async def test_a_long_line_arrives_whole(client: ControlClient) -> None:
    """A million characters, each 12 bytes of escaped JSON, is the longest message that can be configured."""
    text = "🧵" * 1_000_000
    assert (await client.ask("echo", text=text))["heard"] == text


async def test_only_the_user_of_the_service_may_connect(client: ControlClient, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"health\n", "not a line of JSON"),
        (b"[" * 100_000 + b"\n", "not a line of JSON"),
        (b"\xff\xfe\n", "not a line of JSON"),
        (b"[1]\n", "not a JSON object"),
        (b'{"verb": "dance"}\n', "no verb 'dance'"),
        (b'{"verb": ["health"]}\n', "no verb"),
        (b"{}\n", "no verb"),
        (b'{"verb": "echo"}', "ended before its line did"),
        (b"", "ended before its line did"),
    ],
)
async def test_what_is_no_request_is_answered_with_one_sentence(
    client: ControlClient, path: Path, line: bytes, reason: str
) -> None:
    reply = await say(path, line)
    assert reason in reply["error"]
    assert await client.ask("echo", text="still here") == {"heard": "still here"}


async def test_a_line_without_end_is_refused_before_it_fills_the_memory(
    client: ControlClient, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def write(writer: asyncio.StreamWriter, size_bytes: int) -> None:
        for _ in range(size_bytes // 2**20):
            writer.write(b"x" * 2**20)
            await writer.drain()

    _reader, writer = await asyncio.open_unix_connection(path)
    with pytest.raises(OSError, match=r"."):  # the server hangs up in the middle of it
        await write(writer, 3 * control.REQUEST_LIMIT_BYTES)
    writer.transport.abort()
    assert await client.ask("echo", text="still here") == {"heard": "still here"}
    assert "control request failed" not in capsys.readouterr().out


async def test_a_foreseen_failure_reaches_the_client_as_its_sentence(client: ControlClient) -> None:
    with pytest.raises(ControlError, match="^the disk is full$"):
        await client.ask("fail")


async def test_a_bug_is_told_without_its_details_and_the_service_goes_on(client: ControlClient) -> None:
    with pytest.raises(ControlError, match="failed on it: ZeroDivisionError$"):
        await client.ask("bug")
    assert await client.ask("echo") == {"heard": None}


async def test_a_service_that_does_not_answer_in_time_is_one_sentence(client: ControlClient) -> None:
    with pytest.raises(ControlError, match="does not answer"):
        await client.ask("slow", timeout_s=0.05)


async def test_an_act_is_finished_although_its_client_is_gone(client: ControlClient, scripted: Scripted) -> None:
    with pytest.raises(ControlError):
        await client.ask("slow", timeout_s=0.05)
    await asyncio.wait_for(scripted.begun.wait(), timeout=10)
    scripted.free.set()
    await asyncio.wait_for(scripted.done.wait(), timeout=10)


async def test_a_feed_is_closed_when_its_client_goes_away(client: ControlClient, scripted: Scripted) -> None:
    async with aclosing(client.follow("forever")) as items:
        assert await anext(items) == {"text": "begun"}
    await asyncio.wait_for(scripted.closed.wait(), timeout=10)


async def test_a_client_that_does_not_read_blocks_nobody_else(
    client: ControlClient, path: Path, scripted: Scripted
) -> None:
    reader, writer = await asyncio.open_unix_connection(path, limit=1024)
    writer.write(b'{"verb": "flood"}\n')
    await reader.readexactly(10)  # the flood has begun, and is not read any further
    assert await client.ask("echo", text="hello") == {"heard": "hello"}
    writer.transport.abort()
    await asyncio.wait_for(scripted.closed.wait(), timeout=10)


async def test_a_stopping_service_lets_an_act_end_and_cuts_feeds(path: Path, scripted: Scripted) -> None:
    async with ControlServer(path, scripted.handlers()):
        client = ControlClient(path)
        acting = asyncio.create_task(client.ask("slow"))
        feed = client.follow("forever")
        await anext(feed)
        await asyncio.wait_for(scripted.begun.wait(), timeout=10)
        scripted.free.set()
    assert scripted.done.is_set()
    assert scripted.closed.is_set()
    await asyncio.gather(acting, return_exceptions=True)
    await feed.aclose()
    assert not path.exists()


async def test_without_a_service_the_client_says_so(path: Path) -> None:
    assert not await ControlClient(path).is_served()
    with pytest.raises(ControlError, match="no service answers"):
        await ControlClient(path).ask("health")


async def test_the_socket_of_a_dead_process_is_replaced(path: Path, scripted: Scripted) -> None:
    """A real process binds the socket and is killed."""
    script = "import socket, sys, os, signal; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen();"
    subprocess.run(
        [sys.executable, "-c", script + "os.kill(os.getpid(), signal.SIGKILL)", str(path)], check=False, timeout=30
    )
    assert path.exists()
    assert not await ControlClient(path).is_served()
    async with ControlServer(path, scripted.handlers()):
        assert await ControlClient(path).ask("echo", text="new") == {"heard": "new"}


async def test_a_socket_that_is_served_is_left_alone(client: ControlClient, path: Path) -> None:
    with pytest.raises(ControlError, match="served by another process"):
        async with ControlServer(path, {}):
            pass
    assert await client.ask("echo", text="still mine") == {"heard": "still mine"}


async def test_a_file_in_the_way_is_left_alone_and_told(path: Path) -> None:
    path.write_text("mine")
    with pytest.raises(ControlError, match="not a socket"):
        async with ControlServer(path, {}):
            pass
    assert path.read_text() == "mine"


async def test_the_file_of_a_successor_is_not_removed(path: Path) -> None:
    async with ControlServer(path, {}):
        path.unlink()
        with socket.socket(socket.AF_UNIX) as successor:
            successor.bind(str(path))
    assert path.exists()


async def test_a_path_that_is_too_long_for_a_socket_is_one_sentence(tmp_path: Path) -> None:
    long = tmp_path / ("x" * control.LONGEST_PATH_BYTES)
    with pytest.raises(ControlError, match="BOTBRIDGE_HOME"):
        await ControlServer(long, {}).__aenter__()
    with pytest.raises(ControlError, match="BOTBRIDGE_HOME"):
        await ControlClient(long).is_served()


async def test_a_directory_that_is_missing_is_one_sentence(path: Path) -> None:
    with pytest.raises(ControlError, match="cannot be made: No such file or directory"):
        await ControlServer(path.parent / "absent" / "control.sock", {}).__aenter__()


@pytest.mark.skipif(os.getuid() == 0, reason="root may connect everywhere")
async def test_a_socket_of_somebody_else_is_one_sentence(client: ControlClient, path: Path) -> None:
    path.chmod(0)
    with pytest.raises(ControlError, match="cannot be used"):
        await client.is_served()
