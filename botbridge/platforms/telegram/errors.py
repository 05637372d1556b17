"""What python-telegram-bot raises, told in our own errors.

The library's tree misleads: `TimedOut` and `BadRequest` are both `NetworkError`,
and a connection that was never made looks like an answer that never came. Only
the cause tells them apart, and on that hangs whether a message may be sent again.

Covered: every `TelegramError`. Not covered: errors that are no `TelegramError`;
those are our own bugs and pass through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import aiohttp
from telegram.error import BadRequest, ChatMigrated, Conflict, Forbidden, InvalidToken, NetworkError, TelegramError

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
from botbridge.sentences import Sentence

DEFAULT_RETRY_AFTER_S = 5.0

_NOTHING_WAS_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError)
_GONE = ("message to edit not found", "message can't be edited", "message_id_invalid")
_CLOSED = ("chat not found", "not enough rights to send", "have no rights to send")
"""Source: eternnoir/pyTelegramBotAPI#2068 and TediCross/TediCross#200 for a bot that was silenced in a group."""


class FloodWait(TelegramError):
    """Telegram wants a pause of so many seconds, taken from its answer as it stands.

    The library's own `RetryAfter` warns of its own deprecation whenever one is made.
    """

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"retry after {retry_after_s:g} s")
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[type, tuple[float]]:  # type: ignore[override]
        """Pickle by the number; the library's own way keeps only the message."""
        return type(self), (self.retry_after_s,)


class GatewayTimeout(NetworkError):
    """Something between Telegram and us passed a request on and gave up waiting for what became of it."""


def is_not_modified(error: BadRequest) -> bool:
    """True when an edit changed nothing, which is what was wanted."""
    return "message is not modified" in error.message.lower()


def is_about_entities(error: BadRequest) -> bool:
    """True when Telegram objects to the formatting and not to the text."""
    return "entit" in error.message.lower()


def _from_bad_request(error: TelegramError) -> PlatformError:
    text = error.message
    for signs, kind in ((_GONE, MessageGone), (_CLOSED, ChatClosed)):
        if any(sign in text.lower() for sign in signs):
            return kind(text)
    return ReplyRejected(text)


def _from_network_error(error: TelegramError) -> PlatformError:
    cause = error.__cause__
    # Without a cause it was an answer: a status of 500 or above, or a page of somebody's who is not Telegram. It counts
    # as a refusal: to hold it for an unknown outcome would lose more replies than it doubles.
    if cause is None or isinstance(cause, _NOTHING_WAS_SENT):
        return PlatformUnavailable(error.message)
    return DeliveryUnknown(error.message)


_TABLE: tuple[tuple[type[TelegramError], Callable[[TelegramError], PlatformError]], ...] = (
    (InvalidToken, lambda _error: BadToken(Sentence("Telegram does not know this token"))),
    (FloodWait, lambda error: RateLimited(getattr(error, "retry_after_s", DEFAULT_RETRY_AFTER_S))),
    (Forbidden, lambda error: ChatClosed(error.message)),
    (ChatMigrated, lambda error: ReplyRejected(error.message)),
    (Conflict, lambda error: PlatformUnavailable(error.message)),
    (BadRequest, _from_bad_request),
    (GatewayTimeout, lambda error: DeliveryUnknown(error.message)),
    (NetworkError, _from_network_error),
    (TelegramError, lambda error: DeliveryUnknown(error.message)),
)


def to_platform_error(error: TelegramError, *, repeatable: bool) -> PlatformError:
    """Our error for one of the library's; the first row of the table that fits counts.

    Args:
        repeatable: Doing it twice does no harm, so that an unknown outcome is
            no reason to stop.
    """
    found = next(make(error) for kind, make in _TABLE if isinstance(error, kind))
    if repeatable and isinstance(found, DeliveryUnknown):
        return PlatformUnavailable(str(found))
    return found


@contextmanager
def platform_errors(*, repeatable: bool) -> Iterator[None]:
    """Raise the library's errors as ours.

    Raises:
        PlatformError: as `to_platform_error` says.
    """
    try:
        yield
    except TelegramError as error:
        raise to_platform_error(error, repeatable=repeatable) from error
