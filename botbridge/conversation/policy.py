"""What the operator decided about conversations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from botbridge.answers import Sampling
from botbridge.conversation.access import Access
from botbridge.conversation.limits import Limits
from botbridge.conversation.scope import Scope
from botbridge.messages import PlatformName


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator decided about conversations.

    Attributes:
        system: The system text, the same for everybody and for ever: caches depend on it.
    """

    system: str
    sampling: Sampling
    access: Access
    limits: Limits
    scopes: Mapping[PlatformName, Scope]
