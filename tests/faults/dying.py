"""How a service is started that kills itself at a fault point, and what shows that the next one is done."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Literal

from botbridge.faults import Boundary
from tests.journey.bridge import STOP_TIMEOUT_S, Bridge

Side = Literal["before", "after"]

SERVE = str(Path(__file__).with_name("serve.py"))
SIDES: tuple[Side, ...] = ("before", "after")

OPEN = """
SELECT (SELECT count(*) FROM inbox WHERE finished_at IS NULL)
    + (SELECT count(*) FROM outbox WHERE settled_at IS NULL) AS open
"""


def dying(side: Side, boundary: Boundary, *, times_let_past: int = 0) -> tuple[str, ...]:
    """The program that dies on one side of a boundary, when it was there so many times."""
    return (SERVE, f"--die-{side}", boundary, "--let-past", str(times_let_past))


async def died(bridge: Bridge, *, timeout_s: float = STOP_TIMEOUT_S) -> None:
    """Return when the service has killed itself and left nothing behind.

    Raises:
        TimeoutError: It lives, or its worker does; its log is the message.
    """
    try:
        code = await bridge.exited(timeout_s)
    except TimeoutError as error:
        raise TimeoutError(f"it lives after {timeout_s:g} s:\n{bridge.log}") from error
    assert code == -signal.SIGKILL, bridge.log
    await bridge.until(lambda: bridge.processes() == [], timeout_s=5)


def nothing_open(bridge: Bridge) -> bool:
    """Whether every message has ended and nothing is owed for any."""
    return bridge.rows(OPEN) == [{"open": 0}]
