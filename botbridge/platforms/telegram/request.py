"""python-telegram-bot's requests, carried by aiohttp.

Its own carrier, httpx, looks at each of its connections whenever it takes or
gives one back: with 24 answers under way a `sendMessage` took 2.4 ms of CPU
time there and 0.24 ms here. Limits, proxies and trust are as they were.

Covered: a connection is never reused for a POST that failed, so no message is
sent twice behind our back; a 429 becomes `FloodWait`, a gateway that gave up
waiting `GatewayTimeout`; a refusal that is not in Telegram's own words, such as
the page of a proxy, counts as an outage; no address gets into an error, because
the token stands in it.

Not covered: files, which this bot never sends.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx
from telegram.error import NetworkError, TimedOut
from telegram.request import BaseRequest, RequestData

from botbridge.errors import ConfigError
from botbridge.platforms.telegram.errors import DEFAULT_RETRY_AFTER_S, FloodWait, GatewayTimeout

GAVE_UP_WAITING: Final = frozenset({504, 522, 524})
"""By these a gateway says that it passed a request on and heard nothing in time.

Source: https://www.rfc-editor.org/rfc/rfc9110#name-504-gateway-timeout and, for Cloudflare's own two,
https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-5xx-errors/
"""
IDLE_CONNECTION_S: Final = 5.0
_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}


class BotRequest(BaseRequest):
    """A pool of connections to one server, for as long as it is initialized."""

    def __init__(
        self,
        base_url: str,
        *,
        connections: int,
        connect_s: float,
        answer_s: float,
        is_bounded: bool = True,
        read_headers: Callable[[Mapping[str, str]], None] | None = None,
    ) -> None:
        """Note how to connect; nothing is opened yet.

        Args:
            base_url: The server; whether a proxy of the environment leads there is asked once.
            connections: The most that are open at one time; who needs one more waits for `connect_s`.
            connect_s: How long a connection may take, with TLS, in seconds.
            answer_s: How long nothing may come of an answer, in seconds.
            is_bounded: A whole request may take as long as getting a connection and `answer_s` together, however
                steadily its answer trickles in; False where whoever asks looks after that.
            read_headers: Hears the headers of every answer.

        Raises:
            ConfigError: The environment names a proxy that is not spoken to by HTTP.
        """
        self._is_secure = base_url.startswith("https:")
        self._proxy = _proxy_for(base_url)
        self._connections = connections
        pool_s = 2 * connect_s
        self._timeout = aiohttp.ClientTimeout(
            total=pool_s + answer_s if is_bounded else None,
            connect=pool_s,
            sock_connect=connect_s,
            sock_read=answer_s,
        )
        self._read_headers = read_headers
        self._session: aiohttp.ClientSession | None = None

    @property
    def read_timeout(self) -> float | None:
        """How long nothing may come of an answer, in seconds."""
        return self._timeout.sock_read

    async def initialize(self) -> None:
        """Make requests possible."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._connections,
                    keepalive_timeout=IDLE_CONNECTION_S,
                    ssl=httpx.create_ssl_context() if self._is_secure else True,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": self.USER_AGENT},
                proxy=self._proxy,
                timeout=self._timeout,
            )

    async def shutdown(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def do_request(
        self,
        url: str,
        method: str,
        request_data: RequestData | None = None,
        *_timeouts: Any,  # noqa: ANN401 - this bot asks for none but those of the constructor
        **_named_timeouts: Any,  # noqa: ANN401 - as above
    ) -> tuple[int, bytes]:
        """Send a request; the status and body of its answer.

        Raises:
            FloodWait: The answer was 429.
            GatewayTimeout: Nobody knows what became of it.
            NetworkError: No answer, and its cause tells whether anything was sent; or a refusal that is not Telegram's.
        """
        if self._session is None:
            raise RuntimeError("a request before `initialize` or after `shutdown`")
        body = None if request_data is None else request_data.url_encoded_parameters().encode()
        headers = None if body is None else _FORM
        try:
            async with self._session.request(method, url, data=body, headers=headers, allow_redirects=False) as answer:
                status, payload = answer.status, await answer.read()
                if self._read_headers is not None:
                    self._read_headers(answer.headers)
        except TimeoutError as error:
            raise TimedOut(type(error).__name__) from error
        except aiohttp.ClientError as error:
            raise NetworkError(_described(error)) from error
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            raise FloodWait(_retry_after_s(payload))
        if status in GAVE_UP_WAITING:
            raise GatewayTimeout(f"a gateway gave up waiting for Telegram ({status})")
        if status >= HTTPStatus.MULTIPLE_CHOICES and not is_telegrams_refusal(status, payload):
            raise NetworkError(f"answered with {status}, and not by Telegram")
        return status, payload


def is_telegrams_refusal(status: int, payload: bytes) -> bool:
    """True for the words in which the Bot API refuses, which nothing on the way to it has.

    >>> is_telegrams_refusal(404, b'{"ok": false, "error_code": 404, "description": "Not Found"}')
    True
    >>> is_telegrams_refusal(404, b"<html>404 Not Found</html>")
    False

    Source: https://core.telegram.org/bots/api#making-requests
    """
    try:
        said = json.loads(payload)
    except (ValueError, RecursionError):
        return False
    return isinstance(said, dict) and said.get("ok") is False and said.get("error_code") == status


def _proxy_for(base_url: str) -> str | None:
    """The proxy that the environment names for a server.

    Raises:
        ConfigError: It is not spoken to by HTTP.
    """
    address = urlsplit(base_url)
    if proxy_bypass(address.netloc):
        return None
    proxies = getproxies()
    proxy = proxies.get(address.scheme) or proxies.get("all")
    if proxy is None or proxy.startswith(("http:", "https:")):
        return proxy
    kind = proxy.partition(":")[0]
    raise ConfigError(
        f"a proxy of the kind {kind} cannot be used for Telegram; set HTTPS_PROXY to one of http or https"
    )


def _described(error: aiohttp.ClientError) -> str:
    """Name an error, with its reason where that holds no address of ours; of a failed write the library tells it."""
    name = type(error).__name__
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"{name}: {error.strerror}"
    if isinstance(error, aiohttp.ClientOSError) and error.errno is not None:
        return f"{name}: {os.strerror(error.errno)}"
    return name


def _retry_after_s(payload: bytes) -> float:
    try:
        return float(json.loads(payload)["parameters"]["retry_after"])
    except (ValueError, LookupError, TypeError):
        return DEFAULT_RETRY_AFTER_S
