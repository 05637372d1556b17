"""Serves the application inside our own event loop.

Covered: a port that is taken is one sentence at the start; signals stay with
whoever runs the loop; whoever connects and sends no request is cut off; on
cancellation the requests in hand are finished, for some seconds.

Not covered: TLS and compression; a proxy stands before us.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from functools import partial
from types import TracebackType
from typing import Self, cast

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from botbridge.errors import ConfigError

MOST_CONNECTIONS = 256
LAST_REQUESTS_S = 5
REQUEST_S = 10.0
"""From the connection, or the end of the request before, to the end of a request's headers."""

_BACKLOG = 128


class PatientProtocol(H11Protocol):
    """HTTP that waits for a request only so long; uvicorn itself waits for ever.

    Args:
        request_s: How long it waits, in seconds.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        request_s: float = REQUEST_S,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._request_s = request_s
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Stop waiting once the headers of a request are here; its body has a limit of its own."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        super().connection_lost(exc)
        self._expect_nothing()

    def _watch(self) -> None:
        is_busy = self.cycle is not None and not self.cycle.response_complete
        if is_busy or self.transport.is_closing():
            self._expect_nothing()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self._request_s, self.transport.close)

    def _expect_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _protocol(request_s: float) -> type[asyncio.Protocol]:
    """The protocol with a wait of its own; uvicorn only ever calls it."""
    return cast(type[asyncio.Protocol], partial(PatientProtocol, request_s=request_s))


class _Server(uvicorn.Server):
    """A server that leaves SIGTERM and SIGINT to the command that runs the loop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


class WebServer:
    """One listening port; `async with` it to hold the port, and `run` it to answer."""

    def __init__(self, app: FastAPI, host: str, port: int, *, request_s: float = REQUEST_S) -> None:
        """Set up; nothing is opened before it is entered.

        Args:
            app: What answers.
            host: A name or an address of this machine.
            port: 0 takes a free one.
            request_s: How long a connection may take to send a request's headers, in seconds.
        """
        self._host = host
        self._wanted_port = port
        self._socket: socket.socket | None = None
        self._config = uvicorn.Config(
            app,
            http=_protocol(request_s),
            ws="none",
            lifespan="off",
            log_config=None,  # its records go where all others go
            access_log=False,  # the paths it would log are secret
            proxy_headers=False,
            server_header=False,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=LAST_REQUESTS_S,
        )

    @property
    def port(self) -> int:
        """The port it listens on, while it is entered."""
        assert self._socket is not None, "not entered"
        return int(self._socket.getsockname()[1])

    async def __aenter__(self) -> Self:
        """Take the port.

        Raises:
            ConfigError: It cannot be had.
        """
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            self._socket = socket.create_server((self._host, self._wanted_port), family=family, backlog=_BACKLOG)
        except OSError as error:
            where = f"{self._host}, port {self._wanted_port}"
            raise ConfigError(
                f"BOTBRIDGE_WEB__HOST and BOTBRIDGE_WEB__PORT: {where} cannot be listened on: {error.strerror}"
            ) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the port go."""
        if self._socket is not None:
            self._socket.close()

    async def run(self) -> None:
        """Answer until cancelled.

        Cancellation: No connection is taken any more, and requests in hand are
        finished, for some seconds.
        """
        assert self._socket is not None, "not entered"
        server = _Server(self._config)
        serving = asyncio.create_task(server.serve(sockets=[self._socket]))
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            server.should_exit = True
            await serving
            raise
