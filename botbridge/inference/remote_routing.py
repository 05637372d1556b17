"""Which server gets which conversation, and under what name: pure but for the one fact that is kept.

A server, or a router before it, answers sooner where it has seen the
conversation before. So each conversation has a name that stays the same over
restarts, and a server of its own as long as that one lives.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Final

from botbridge.ports import State

SALT_NAME: Final = "remote_conversation_salt"
SALT_BYTES: Final = 32
KEY_HEX_DIGITS: Final = 32
"""128 bits: no two conversations meet, and every server takes a name of this length."""


async def conversation_salt(state: State) -> bytes:
    """Return the secret that hides conversations' names from servers; drawn once for each database.

    Raises:
        StorageUnavailable: It cannot be read or kept.
    """
    kept = await state.get(SALT_NAME)
    if kept is None:
        kept = secrets.token_hex(SALT_BYTES)
        await state.put(SALT_NAME, kept)
    return bytes.fromhex(kept)


def conversation_key(salt: bytes, conversation: str) -> str:
    """Return the name under which servers know a conversation; no id of a platform can be read from it.

    >>> conversation_key(b"salt", "telegram/7/42/-/=42")
    'e39539b80578317f5051b0b43333e972'
    """
    return hmac.new(salt, conversation.encode(), hashlib.sha256).hexdigest()[:KEY_HEX_DIGITS]


def in_order(key: str, urls: Sequence[str]) -> list[str]:
    """Return the servers in the order in which a conversation asks them.

    By highest random weight: when a server goes or comes, only conversations
    that it had or gets move.

    Source: Thaler and Ravishankar 1998, "Using name-based mappings to increase
    hit rates", IEEE/ACM Transactions on Networking 6(1).

    >>> both = in_order("key", ["http://a/v1", "http://b/v1"])
    >>> in_order("key", both[1:]) == both[1:]
    True
    """
    return sorted(urls, key=lambda url: hashlib.sha256(f"{key} {url}".encode()).digest(), reverse=True)
