"""The route to which Telegram brings its updates.

Covered: whoever does not know the secret is refused before anything of the body
is read; only POST and JSON; 200 only after the update is stored, and 503 when
it cannot be, on which Telegram comes again.

Not covered: TLS, which the proxy before us speaks, and what an update means.

Source: https://core.telegram.org/bots/api#setwebhook (`secret_token`).
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from botbridge.errors import PlatformError, StorageError
from botbridge.web.body import BodyLimits, BodyTooLarge, BodyTooSlow, body_of

SECRET_HEADER = b"x-telegram-bot-api-secret-token"

TakeUpdate = Callable[[bytes], Awaitable[None]]
"""Returns once the update in a body is stored. `ValueError`: there is none in it; a
`StorageError` or `PlatformError`: not now."""

log = structlog.get_logger(__name__)


class Webhook:
    """Lets in what carries the secret.

    Args:
        secret: What `setWebhook` told Telegram; never empty.
    """

    def __init__(self, secret: str, take_update: TakeUpdate, limits: BodyLimits) -> None:
        assert secret, "without a secret everybody could speak as anybody"
        self._secret = secret.encode()
        self._take_update = take_update
        self._limits = limits

    async def receive(self, request: Request) -> Response:
        """Answer one delivery."""
        refusal = self._refusal(request)
        if refusal is not None:
            log.warning("a delivery to the webhook was refused", status=refusal.value, reason=refusal.phrase)
            return refused(refusal)
        try:
            await self._take_update(await body_of(request, self._limits))
        except BodyTooLarge:
            return refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        except BodyTooSlow:
            return refused(HTTPStatus.REQUEST_TIMEOUT)
        except (ClientDisconnect, ValueError):
            return refused(HTTPStatus.BAD_REQUEST)
        except (StorageError, PlatformError) as error:
            log.error("an update cannot be stored, Telegram keeps it", error=str(error))
            return refused(HTTPStatus.SERVICE_UNAVAILABLE)
        return Response(status_code=HTTPStatus.OK)

    def _refusal(self, request: Request) -> HTTPStatus | None:
        # Bytes: comparing texts fails on characters beyond ASCII, and a failure must be a refusal.
        offered = [value for name, value in request.headers.raw if name == SECRET_HEADER]
        if not offered:
            return HTTPStatus.UNAUTHORIZED
        if len(offered) > 1 or not hmac.compare_digest(offered[0], self._secret):
            return HTTPStatus.FORBIDDEN
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return HTTPStatus.UNSUPPORTED_MEDIA_TYPE
        return None


def refused(status: HTTPStatus) -> Response:
    """An answer that also ends the connection, so that nothing more of the body is read.

    >>> int(refused(HTTPStatus.FORBIDDEN).status_code)
    403
    """
    return Response(status.phrase, status, {"connection": "close"}, media_type="text/plain")
