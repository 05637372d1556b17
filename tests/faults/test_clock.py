"""Somebody sets the machine's clock by a day while people wait; nobody waits longer for it, or out of turn."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from botbridge.conversation.delivery import LONGEST_PAUSE_S
from tests.fakes.preloaded import NoCompilerError, SetClock
from tests.fakes.telegram.client import FakeTelegram, Person, Sent
from tests.faults.chaos import PLAIN
from tests.faults.dying import nothing_open
from tests.journey.bridge import Bridge
from tests.journey.conftest import NewBridge
from tests.journey.test_health import until_health
from tests.journey.town import says, telegram_places

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

ANA, BEN, CEM = Person(11), Person(12), Person(13)
DAY_S = 86_400
SLOW = "!slow:0.5 " + " ".join(f"word{number}" for number in range(30))
SECOND, THIRD = "the 2nd", "the 3rd"
"""Of one length: to the line they cost the same."""

LONG_S = 900.0
"""More than anything here takes, and less than the clock is set by."""

IN_ORDER = "SELECT inbox_id FROM outbox WHERE NOT is_status ORDER BY id"

both_ways = pytest.mark.parametrize("jump_s", [DAY_S, -DAY_S], ids=["forward", "back"])


@pytest.fixture
def clock(tmp_path: Path) -> SetClock:
    """A wall clock that is right until it is set."""
    try:
        return SetClock.compiled("set_clock", tmp_path)
    except NoCompilerError as error:
        pytest.skip(f"no clock can be set: {error}")


@pytest.fixture
async def bridge(new_bridge: NewBridge, clock: SetClock) -> Bridge:
    """A service on Telegram by that clock, which answers one person at a time."""
    bridge = new_bridge(DISCORD__TOKEN="", INFERENCE__SLOTS="1")
    await bridge.start(command_prefix=clock.prefix, program=PLAIN)
    await bridge.logged("Worker 1 started")  # by then there are tables
    return bridge


@both_ways
async def test_whoever_waits_while_the_clock_is_set_is_answered_in_turn_and_told_the_true_wait(
    bridge: Bridge, telegram: FakeTelegram, clock: SetClock, jump_s: int
) -> None:
    """C9: what is computed and what waits is thought neither a day old nor of tomorrow."""
    await begin_with(telegram, ANA)
    await telegram.say(BEN, SECOND)
    await telegram.wait_for_reply(BEN, until=tells_a_wait)
    clock.jump(jump_s)
    await telegram.say(CEM, THIRD)
    await telegram.wait_for_reply(CEM, until=tells_a_wait)
    assert bridge.rows("SELECT state FROM inbox ORDER BY id")[0] == {"state": "running"}
    assert days_after_the_first(bridge) == [0, 0, jump_s / DAY_S]
    await telegram.wait_for_reply(CEM, until=says(THIRD), timeout_s=60)
    await bridge.until(lambda: nothing_open(bridge))
    assert bridge.rows("SELECT state, attempts FROM inbox") == [{"state": "answered", "attempts": 1}] * 3
    begun = [json.loads(line) for line in bridge.log.splitlines() if '"wait estimated"' in line]
    assert [line["inbox_id"] for line in begun] == [2, 3]
    assert max(line["actual_s"] for line in begun) < LONG_S
    record = await telegram.ledger()
    answers = [telegram_places(record)[f"telegram:{person.id}"].answers for person in (ANA, BEN, CEM)]
    assert answers == [[SLOW], [SECOND], [THIRD]]
    shown = [text for sent in record.sent for text in (*sent.edits, sent.text)]
    assert max(told_wait_s(text) for text in shown) < LONG_S


@both_ways
async def test_a_reply_that_cannot_be_delivered_while_the_clock_is_set_is_tried_again_and_health_knows_its_age(
    bridge: Bridge, telegram: FakeTelegram, clock: SetClock, jump_s: int
) -> None:
    """C9: neither is the next try a day away, nor is a reply of a few seconds called stuck, nor a stuck one new."""
    await telegram.break_calls("sendMessage", "status", status=502, times=1_000)
    await telegram.say(ANA, "hello")
    await bridge.until(lambda: tries(bridge) >= 2)
    before_s = await owed_s(bridge)
    clock.jump(jump_s)
    await until_health(bridge, lambda found: found["facts"]["outbox_s"] > before_s)
    assert await owed_s(bridge) < LONG_S
    so_far = tries(bridge)
    await bridge.until(lambda: tries(bridge) > so_far, timeout_s=LONGEST_PAUSE_S)
    await telegram.mend()
    await telegram.wait_for_reply(ANA, until=says("hello"), timeout_s=LONGEST_PAUSE_S)
    await bridge.until(lambda: nothing_open(bridge))
    assert [sent.text for sent in (await telegram.ledger()).sent] == ["hello"]
    await until_health(bridge, lambda found: found["ok"])


@both_ways
async def test_what_came_before_and_after_the_clock_was_set_is_answered_by_the_next_start_in_the_order_of_arrival(
    bridge: Bridge, telegram: FakeTelegram, clock: SetClock, jump_s: int
) -> None:
    """C9: by the rows, of which the last says that it came first, or a day after the others."""
    await begin_with(telegram, ANA)
    await telegram.say(ANA, SECOND)
    await bridge.until(lambda: len(days_after_the_first(bridge)) == 2)
    clock.jump(jump_s)
    await telegram.say(ANA, THIRD)
    await bridge.until(lambda: days_after_the_first(bridge) == [0, 0, jump_s / DAY_S])
    await bridge.kill_tree()
    await bridge.start(command_prefix=clock.prefix, program=PLAIN)
    await telegram.wait_for_reply(ANA, until=says(THIRD), timeout_s=90)
    await bridge.until(lambda: nothing_open(bridge))
    assert [row["inbox_id"] for row in bridge.rows(IN_ORDER)] == [1, 2, 3]
    assert telegram_places(await telegram.ledger())[f"telegram:{ANA.id}"].answers == [SLOW, SECOND, THIRD]


async def begin_with(telegram: FakeTelegram, person: Person) -> None:
    """Let somebody ask; return while the answer is being written, which takes seconds."""
    await telegram.say(person, SLOW)
    await telegram.wait_for_reply(person, until=lambda sent: SLOW.startswith(sent.text), timeout_s=60)


def tells_a_wait(sent: Sent) -> bool:
    """Whether a message names a place in the line."""
    return told_wait_s(sent.text) > 0


def told_wait_s(text: str) -> float:
    """How long somebody is told to wait; 0 in a text that tells nothing of it."""
    told = re.search(r"in the line: about (\d+) (second|minute)", text)
    return float(told[1]) * {"second": 1, "minute": 60}[told[2]] if told else 0.0


def days_after_the_first(bridge: Bridge) -> list[float]:
    """How many days after the first message each one came, by the wall clock."""
    days = [row["day"] for row in bridge.rows("SELECT julianday(accepted_at) AS day FROM inbox ORDER BY id")]
    return [round(day - days[0]) for day in days]


def tries(bridge: Bridge) -> int:
    """How often it was tried to deliver the replies."""
    return int(bridge.rows("SELECT sum(attempts) AS tries FROM outbox")[0]["tries"] or 0)


async def owed_s(bridge: Bridge) -> float:
    """For how long, as health says, the oldest reply has been owed."""
    return float((await bridge.ask("health"))["facts"]["outbox_s"])
