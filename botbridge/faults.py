"""The moments at which a process can die with the most to lose, by name; in the product nothing happens there.

A test builds the app with its own `Faults` and ends the process at one of them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Protocol


class Point(StrEnum):
    """A moment on one side of a commit or of a send."""

    INGEST_PRE_COMMIT = "ingest.pre_commit"
    """A message is written, its transaction still open."""
    INGEST_POST_COMMIT = "ingest.post_commit"
    """It is committed, and the platform does not know it yet."""
    REPLY_PRE_COMMIT = "reply.pre_commit"
    """State, turn and parts are written, their transaction still open."""
    REPLY_POST_COMMIT = "reply.post_commit"
    """They are committed, and nothing is sent yet."""
    SEND_PRE = "send.pre"
    """A part is marked `sending`, and none of its bytes has left."""
    SEND_POST = "send.post"
    """The platform has taken a part, and that is not noted yet."""
    MIGRATE = "migrate"
    """One more migration is carried out, the transaction of them all still open."""


class Faults(Protocol):
    """What happens at these moments."""

    def reached(self, point: Point) -> None:
        """Learn that the process is there; it may not return."""
        ...


class NoFaults:
    """Nothing happens."""

    def reached(self, point: Point) -> None:
        """Go on."""


NO_FAULTS: Final = NoFaults()
