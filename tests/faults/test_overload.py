"""More than the line holds, again and again: what is refused is told, and leaves nothing in the service's memory."""

from __future__ import annotations

import itertools

import psutil
import pytest

from tests.fakes.telegram.client import FakeTelegram, Person
from tests.faults.dying import SERVE
from tests.journey.bridge import Bridge
from tests.journey.conftest import NewBridge

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

PLACES = 6
BURST = 10 * PLACES
LONG = "word " * 60_000
BURST_BYTES = BURST * len(LONG)
BURSTS = 5
ENDLESS = "!slow:0.5 " + "w " * 2_000
REFUSED = "SELECT count(*) AS told FROM outbox WHERE state = 'sent' AND text LIKE 'Too many people%'"


async def refused(bridge: Bridge, messages: int) -> None:
    """Return once so many have been told that there is no place for them."""
    await bridge.until(lambda: bridge.rows(REFUSED) == [{"told": messages}], timeout_s=120)


def resident_bytes(bridge: Bridge) -> int:
    return int(psutil.Process(bridge.pid).memory_info().rss)


async def test_ten_times_what_the_line_holds_is_refused_visibly_and_not_remembered(
    new_bridge: NewBridge, telegram: FakeTelegram
) -> None:
    """G2: what stays in memory of a burst would stay of each.

    How much one takes while it is handled differs, by more than a burst where others use the processor, too, and the
    heap keeps the most that it ever took: it grows with one burst or another, but not with each.
    """
    limits = {"LIMITS__QUEUE": str(PLACES), "LIMITS__MESSAGE_CHARS": str(2 * len(LONG))}
    bridge = new_bridge(DISCORD__TOKEN="", INFERENCE__SLOTS="1", **limits)
    await bridge.start(program=(SERVE, "--fault-words"))
    await bridge.logged("Worker 1 started", timeout_s=120)
    slow = Person(1)
    await telegram.say(slow, ENDLESS)
    await telegram.wait_for_reply(slow, until=lambda sent: "w w" in sent.text)
    memory_bytes = []
    for number in range(1, BURSTS + 1):
        people = [Person(number * 1000 + each) for each in range(BURST)]
        await telegram.say_each(people, LONG)
        await refused(bridge, number * BURST - PLACES)
        memory_bytes.append(resident_bytes(bridge))
    assert bridge.rows("SELECT count(*) AS waiting FROM inbox WHERE state = 'queued'") == [{"waiting": PLACES}]
    grown_bytes = sorted(after - before for before, after in itertools.pairwise(memory_bytes))
    assert grown_bytes[1] < BURST_BYTES / 2, memory_bytes
