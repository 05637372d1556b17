"""A request's body within bounds: so many bytes, in so much time.

Covered: a length that is told and too large (nothing is read); a body that tells
no length; one that trickles.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from starlette.requests import Request

MIB_BYTES = 1024 * 1024


class BodyTooLarge(ValueError):
    """The body holds more bytes than are taken."""


class BodyTooSlow(ValueError):
    """The body did not arrive in time."""


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """What a body may be.

    Attributes:
        size_bytes: The longest one.
        arrival_s: From the end of the headers to the end of the body.
    """

    size_bytes: int = MIB_BYTES
    arrival_s: float = 10.0


async def body_of(request: Request, limits: BodyLimits) -> bytes:
    """The whole body.

    Raises:
        BodyTooLarge: It is longer than allowed; the rest was not read.
        BodyTooSlow: It did not arrive in time.
        ClientDisconnect: The connection ended before the body did.
    """
    told = request.headers.get("content-length", "")
    # Asked first, so that a length of thousands of digits is not turned into a number.
    if len(told) > len(str(limits.size_bytes)) or (told and int(told) > limits.size_bytes):
        raise BodyTooLarge
    body = bytearray()
    try:
        async with asyncio.timeout(limits.arrival_s):
            async for piece in request.stream():
                body += piece
                if len(body) > limits.size_bytes:
                    raise BodyTooLarge
    except TimeoutError as error:
        raise BodyTooSlow from error
    return bytes(body)
