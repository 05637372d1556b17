"""Every error of the library becomes one of ours, and the cause decides what may be repeated."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import aiohttp
import pytest
import telegram.error
from aiohttp.client_reqrep import ConnectionKey
from multidict import CIMultiDict, CIMultiDictProxy
from telegram.error import TelegramError
from yarl import URL

from botbridge.errors import (
    BadToken,
    ChatClosed,
    DeliveryUnknown,
    MessageGone,
    PlatformError,
    PlatformUnavailable,
    RateLimited,
    ReplyRejected,
)
from botbridge.platforms.telegram.errors import FloodWait, GatewayTimeout, platform_errors, to_platform_error


def caused_by(error: TelegramError, cause: Exception) -> TelegramError:
    """An error as the library raises it."""
    error.__cause__ = cause
    return error


SERVER = ConnectionKey("localhost", 443, is_ssl=True, ssl=True, proxy=None, proxy_auth=None, proxy_headers_hash=None)
REFUSED = aiohttp.ClientConnectorError(SERVER, OSError("x"))
REFUSED_BY_PROXY = aiohttp.ClientHttpProxyError(
    aiohttp.RequestInfo(URL("https://localhost"), "CONNECT", CIMultiDictProxy(CIMultiDict())), (), status=403
)
CASES = [
    (telegram.error.InvalidToken("Unauthorized"), BadToken, BadToken),
    (FloodWait(7), RateLimited, RateLimited),
    (telegram.error.Forbidden("bot was blocked by the user"), ChatClosed, ChatClosed),
    (telegram.error.Conflict("two pollers"), PlatformUnavailable, PlatformUnavailable),
    (telegram.error.BadRequest("Chat not found"), ChatClosed, ChatClosed),
    (telegram.error.BadRequest("Not enough rights to send text messages to the chat"), ChatClosed, ChatClosed),
    (telegram.error.BadRequest("Have no rights to send a message"), ChatClosed, ChatClosed),
    (telegram.error.BadRequest("Message is too long"), ReplyRejected, ReplyRejected),
    (telegram.error.BadRequest("Message to edit not found"), MessageGone, MessageGone),
    (telegram.error.BadRequest("Message can't be edited"), MessageGone, MessageGone),
    (telegram.error.ChatMigrated(-5), ReplyRejected, ReplyRejected),
    (telegram.error.NetworkError("Bad Gateway"), PlatformUnavailable, PlatformUnavailable),
    (GatewayTimeout("504"), DeliveryUnknown, PlatformUnavailable),
    (caused_by(telegram.error.NetworkError("x"), REFUSED), PlatformUnavailable, PlatformUnavailable),
    (caused_by(telegram.error.TimedOut(), aiohttp.ConnectionTimeoutError()), PlatformUnavailable, PlatformUnavailable),
    (caused_by(telegram.error.NetworkError("x"), REFUSED_BY_PROXY), PlatformUnavailable, PlatformUnavailable),
    (caused_by(telegram.error.TimedOut(), aiohttp.SocketTimeoutError()), DeliveryUnknown, PlatformUnavailable),
    (caused_by(telegram.error.NetworkError("x"), aiohttp.ClientOSError("x")), DeliveryUnknown, PlatformUnavailable),
    (
        caused_by(telegram.error.NetworkError("x"), aiohttp.ServerDisconnectedError()),
        DeliveryUnknown,
        PlatformUnavailable,
    ),
    (
        caused_by(telegram.error.NetworkError("x"), aiohttp.ClientPayloadError("x")),
        DeliveryUnknown,
        PlatformUnavailable,
    ),
    (TelegramError("Invalid server response"), DeliveryUnknown, PlatformUnavailable),
]


@pytest.mark.parametrize(
    ("error", "sending", "editing"), CASES, ids=[repr(case[0]) + repr(case[0].__cause__) for case in CASES]
)
def test_what_may_have_been_delivered_is_never_called_unavailable(
    error: TelegramError, sending: type[PlatformError], editing: type[PlatformError]
) -> None:
    assert type(to_platform_error(error, repeatable=False)) is sending
    assert type(to_platform_error(error, repeatable=True)) is editing


def all_errors(kind: type[TelegramError] = TelegramError) -> Iterator[type[TelegramError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from all_errors(child)


def test_an_error_that_the_library_gains_is_mapped_too() -> None:
    """The last row of the table is the root of the tree."""
    for kind in all_errors():
        error = kind.__new__(kind)
        error.message = "x"
        assert isinstance(to_platform_error(error, repeatable=False), PlatformError)


def test_the_cause_is_kept() -> None:
    original = telegram.error.Forbidden("bot was kicked")
    with pytest.raises(ReplyRejected) as caught, platform_errors(repeatable=False):
        raise original
    assert caught.value.__cause__ is original


def test_a_pause_survives_pickling() -> None:
    assert pickle.loads(pickle.dumps(FloodWait(2.5))).retry_after_s == 2.5
