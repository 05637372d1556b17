"""The control socket: how a command on this machine asks the running service.

One connection carries one request and what is answered to it, as JSON lines::

    {"verb": "health"}                       {"result": {...}}
    {"verb": "chat", "text": "hello"}        {"item": {...}} ... {"result": {}}
    anything else                            {"error": "one sentence"}

Covered: only the user of the service can connect (mode 0600); lines are
bounded; whatever is sent, the answer is a line and the service goes on; a
client that stops reading or goes away costs nothing but its own connection; an
act that was begun is finished even if its client is gone.

Not covered: which verbs there are and what they do. They come in as handlers,
so that nothing here knows storage or models.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import stat
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import structlog

from botbridge.errors import BotBridgeError, ControlError

SOCKET_NAME: Final = "control.sock"
"""In the home; a command finds the service of the same home there."""

LONGEST_PATH_BYTES = 100
"""A socket's address has room for 104 bytes on macOS and 108 on Linux, the closing zero included.

Source: https://man7.org/linux/man-pages/man7/unix.7.html
"""

REQUEST_LIMIT_BYTES = 16 * 1024 * 1024
"""The longest message that can be configured, a million characters, at 12 bytes a character of escaped JSON."""

RESULT_LIMIT_BYTES = 1024 * 1024 * 1024
CONNECT_PATIENCE_S = 1.0
REQUEST_PATIENCE_S = 10.0
WRITE_PATIENCE_S = 10.0
STOP_PATIENCE_S = 5.0

Json = Mapping[str, Any]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Act:
    """A verb with one result; it is finished even if nobody waits for the result any more."""

    do: Callable[[Json], Awaitable[Json]]


@dataclass(frozen=True, slots=True)
class Feed:
    """A verb with any number of items; it is closed when its client goes away."""

    items: Callable[[Json], AsyncGenerator[Json, None]]


class ControlServer:
    """Answers on the socket as long as the `async with` block runs.

    Enter it only while holding the database's lock: a socket file that nobody
    answers on is then known to be a dead process's, and is replaced.
    """

    def __init__(self, path: Path, handlers: Mapping[str, Act | Feed]) -> None:
        self._path = path
        self._handlers = dict(handlers)
        self._identity = (0, 0)
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._acts: set[asyncio.Future[Json]] = set()

    async def __aenter__(self) -> Self:
        """Listen.

        Raises:
            ControlError: the path is too long or taken, or the file cannot be made.
        """
        listening = _listening(self._path)
        self._identity = _identity(self._path)
        self._server = await asyncio.start_unix_server(self._connected, sock=listening, limit=REQUEST_LIMIT_BYTES)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop listening, give acts that have begun a moment to end, and remove the file if it is still ours."""
        if self._server is not None:
            self._server.close()
        with contextlib.suppress(FileNotFoundError):
            if _identity(self._path) == self._identity:
                self._path.unlink()
        if self._acts:
            await asyncio.wait(self._acts, timeout=STOP_PATIENCE_S)
        left: list[asyncio.Future[Any]] = [*self._connections, *self._acts]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer), name="control")
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            try:
                async with asyncio.timeout(REQUEST_PATIENCE_S):
                    request = await _request(reader)
                handler = self._handlers.get(str(request.get("verb")))
                if handler is None:
                    raise ControlError(f"there is no verb {str(request.get('verb'))[:40]!r}")
                if isinstance(handler, Act):
                    await _send(writer, {"result": await self._carry_out(handler, request)})
                else:
                    await _while_connected(reader, _feed(writer, handler, request))
            except BotBridgeError as error:
                await _send(writer, {"error": str(error) or type(error).__name__})
            except TimeoutError:
                await _send(writer, {"error": "the request did not come in time"})
            except OSError:
                pass  # the client is gone
            except Exception as error:
                log.exception("control request failed")
                await _send(writer, {"error": f"the service failed on it: {type(error).__name__}"})
        except OSError:
            pass  # the client is gone
        finally:
            await _hang_up(writer)

    async def _carry_out(self, act: Act, request: Json) -> Json:
        work = asyncio.ensure_future(act.do(request))
        self._acts.add(work)
        work.add_done_callback(self._acts.discard)
        return await work


class ControlClient:
    """Asks the running service, if there is one."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def is_served(self) -> bool:
        """Whether somebody listens on the socket.

        Raises:
            ControlError: the path is too long, or this user may not connect.
        """
        try:
            _, writer = await self._connect()
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        writer.transport.abort()
        return True

    async def ask(self, verb: str, *, timeout_s: float = 600.0, **arguments: object) -> dict[str, Any]:
        """Have a verb carried out and return its result.

        Args:
            timeout_s: How long the whole may take; the act goes on when it takes longer.

        Raises:
            ControlError: nobody listens, answers in time or understands; or what the service says.
        """
        try:
            async with asyncio.timeout(timeout_s), aclosing(self._exchange(verb, arguments)) as replies:
                async for reply in replies:
                    if "result" in reply:
                        return dict(reply["result"])
        except TimeoutError as error:
            raise ControlError(f"the service at {self._path} does not answer") from error
        raise ControlError(f"the service at {self._path} stopped before it had answered")

    async def follow(self, verb: str, **arguments: object) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the items of a verb as they come.

        Raises:
            ControlError: as for `ask`, but for the time.
        """
        async with aclosing(self._exchange(verb, arguments)) as replies:
            async for reply in replies:
                if "result" in reply:
                    return
                yield dict(reply["item"])
        raise ControlError(f"the service at {self._path} stopped before it had answered")

    async def _exchange(self, verb: str, arguments: Json) -> AsyncGenerator[dict[str, Any], None]:
        try:
            reader, writer = await self._connect()
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise ControlError(f"no service answers at {self._path}") from error
        try:
            writer.write(_line({**arguments, "verb": verb}))
            await writer.drain()
            while line := await reader.readline():
                reply = json.loads(line)
                if "error" in reply:
                    raise ControlError(str(reply["error"]))
                yield reply
        except (OSError, ValueError) as error:
            raise ControlError(f"the service at {self._path} broke off") from error
        finally:
            writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        _check_length(self._path)
        try:
            return await asyncio.open_unix_connection(self._path, limit=RESULT_LIMIT_BYTES)
        except (FileNotFoundError, ConnectionRefusedError):
            raise
        except OSError as error:
            raise ControlError(f"control socket {self._path} cannot be used: {error.strerror}") from error


async def _request(reader: asyncio.StreamReader) -> dict[str, Any]:
    try:
        line = await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        raise ControlError("the request ended before its line did") from error
    except asyncio.LimitOverrunError as error:
        raise ControlError(f"the request is longer than {REQUEST_LIMIT_BYTES} bytes") from error
    try:
        request = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ControlError("the request is not a line of JSON") from error
    if not isinstance(request, dict):
        raise ControlError("the request is not a JSON object")
    return request


async def _feed(writer: asyncio.StreamWriter, feed: Feed, request: Json) -> None:
    async with aclosing(feed.items(request)) as items:
        async for item in items:
            await _send(writer, {"item": item})
    await _send(writer, {"result": {}})


async def _while_connected(reader: asyncio.StreamReader, work: Awaitable[None]) -> None:
    """Do the work, but drop it when the client hangs up."""
    working = asyncio.ensure_future(work)
    hang_up = asyncio.ensure_future(_until_hang_up(reader))
    try:
        await asyncio.wait({working, hang_up}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        hang_up.cancel()
        if not working.done():
            working.cancel()
        await asyncio.gather(working, hang_up, return_exceptions=True)
    if not working.cancelled():
        working.result()


async def _until_hang_up(reader: asyncio.StreamReader) -> None:
    while await reader.read(1024):
        pass


async def _send(writer: asyncio.StreamWriter, reply: Json) -> None:
    writer.write(_line(reply))
    try:
        async with asyncio.timeout(WRITE_PATIENCE_S):
            await writer.drain()
    except TimeoutError as error:
        raise ConnectionAbortedError("the client does not read") from error


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    """Close the connection once what was written is read, or without that when it takes too long."""
    writer.close()
    try:
        async with asyncio.timeout(WRITE_PATIENCE_S):
            await writer.wait_closed()
    except (OSError, TimeoutError):
        writer.transport.abort()


def _line(message: Json) -> bytes:
    # ASCII only: a lone surrogate has no UTF-8, but it has a JSON escape.
    return json.dumps(message, default=str).encode("ascii") + b"\n"


def _listening(path: Path) -> socket.socket:
    _check_length(path)
    _remove_stale(path)
    listening = socket.socket(socket.AF_UNIX)
    try:
        listening.bind(str(path))
        # Nobody can connect before `listen`, which comes later.
        path.chmod(stat.S_IRUSR | stat.S_IWUSR)
        listening.setblocking(False)  # noqa: FBT003 - the library's signature
    except OSError as error:
        listening.close()
        raise ControlError(f"control socket {path} cannot be made: {error.strerror}") from error
    return listening


def _remove_stale(path: Path) -> None:
    """Remove the socket of a process that is gone.

    Raises:
        ControlError: somebody answers there, or it is no socket.
    """
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ControlError(f"{path} is in the way of the control socket: it is not a socket")
        with socket.socket(socket.AF_UNIX) as caller:
            caller.settimeout(CONNECT_PATIENCE_S)
            caller.connect(str(path))
        raise ControlError(f"control socket {path} is served by another process")
    except FileNotFoundError:
        return
    except ConnectionRefusedError:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise ControlError(f"control socket {path} cannot be made: {error.strerror or error}") from error


def _check_length(path: Path) -> None:
    if len(os.fsencode(path)) > LONGEST_PATH_BYTES:
        raise ControlError(
            f"control socket {path} has a path of more than {LONGEST_PATH_BYTES} bytes; set a shorter BOTBRIDGE_HOME"
        )


def _identity(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino
