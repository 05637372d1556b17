"""How a service is started that kills itself at a fault point, and what shows that the next one is done."""

from __future__ import annotations

import signal
from pathlib import Path

from botbridge.faults import Point
from tests.journey.bridge import Bridge

SERVE = str(Path(__file__).with_name("serve.py"))
OPEN = """
SELECT (SELECT count(*) FROM inbox WHERE finished_at IS NULL)
    + (SELECT count(*) FROM outbox WHERE settled_at IS NULL) AS open
"""


def dying_at(point: Point, *, after: int = 0) -> tuple[str, ...]:
    """The program that dies at a point, when it was there so many times."""
    return (SERVE, "--die-at", point, "--after", str(after))


async def died(bridge: Bridge) -> None:
    """Return when the service has killed itself and left nothing behind.

    Raises:
        TimeoutError: It lives, or its worker does.
    """
    assert await bridge.exited() == -signal.SIGKILL, bridge.log
    await bridge.until(lambda: bridge.processes() == [], timeout_s=5)


def nothing_open(bridge: Bridge) -> bool:
    """Whether every message has ended and nothing is owed for any."""
    return bridge.rows(OPEN) == [{"open": 0}]
