"""The pace is kept for each chat apart, and a pause exactly as long as asked for."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest

from botbridge.errors import RateLimited
from botbridge.messages import Address, BotId, ChatId, ChatKind, ThreadId
from botbridge.platforms.telegram.pacing import GROUP, OVERALL, PRIVATE, Pacing
from botbridge.platforms.telegram.translate import TELEGRAM

SARA = Address(TELEGRAM, BotId("7"), ChatId("42"), ChatKind.PRIVATE)
OMAR = replace(SARA, chat_id=ChatId("43"))
TEAM = Address(TELEGRAM, BotId("7"), ChatId("-100"), ChatKind.GROUP)


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pacing(clock: Clock) -> Pacing:
    return Pacing(clock)


def sent_within(pacing: Pacing, clock: Clock, address: Address, span_s: float) -> int:
    """Send as fast as allowed for a while; how many went out."""
    end_s, count = clock.now_s + span_s, 0
    while clock.now_s < end_s:
        try:
            pacing.take(address)
            count += 1
        except RateLimited as wait:
            clock.now_s += wait.retry_after_s
    return count


def test_a_group_gets_no_more_than_twenty_in_any_minute(pacing: Pacing, clock: Clock) -> None:
    assert sent_within(pacing, clock, TEAM, 60) <= 20
    assert sent_within(pacing, clock, TEAM, 60) == pytest.approx(60 * GROUP.per_s, abs=1)


def test_a_private_chat_gets_one_a_second_after_a_short_burst(pacing: Pacing, clock: Clock) -> None:
    assert sent_within(pacing, clock, SARA, 60) == pytest.approx(60 * PRIVATE.per_s + PRIVATE.burst, abs=1)


def test_all_chats_together_get_no_more_than_thirty_in_a_second(pacing: Pacing, clock: Clock) -> None:
    chats = [replace(SARA, chat_id=ChatId(str(number))) for number in range(100)]
    sent, end_s = 0, clock.now_s + 1
    for chat in chats:
        try:
            pacing.take(chat)
        except RateLimited as wait:
            clock.now_s += wait.retry_after_s
            if clock.now_s >= end_s:
                break
            pacing.take(chat)
        sent += 1
    assert sent <= 30


def test_a_crowd_is_served_one_after_the_other_and_nobody_is_asked_to_come_a_third_time(
    pacing: Pacing, clock: Clock
) -> None:
    """At twenty a second after the first ten; else all would come back at the same moment, again and again."""
    waiting: list[tuple[float, Address]] = []
    sent_s: list[float] = []
    begin_s = clock.now_s
    for chat in [replace(SARA, chat_id=ChatId(str(number))) for number in range(200)]:
        try:
            pacing.take(chat)
            sent_s.append(clock.now_s)
        except RateLimited as wait:
            waiting.append((clock.now_s + wait.retry_after_s, chat))
    for turn_s, chat in waiting:
        clock.now_s = turn_s
        pacing.take(chat)
        sent_s.append(clock.now_s)
    assert [turn_s for turn_s, _ in waiting] == sorted({turn_s for turn_s, _ in waiting})
    assert sent_s[-1] - begin_s == pytest.approx((200 - OVERALL.burst) / OVERALL.per_s)
    assert max(sum(1 for other in sent_s if 0 <= other - one < 1) for one in sent_s) <= 30


def test_whoever_asks_often_is_not_served_before_who_waits(pacing: Pacing, clock: Clock) -> None:
    for number in range(int(OVERALL.burst)):
        pacing.take(replace(SARA, chat_id=ChatId(str(number))))
    with pytest.raises(RateLimited) as first:
        pacing.take(SARA)
    for _ in range(5):
        with pytest.raises(RateLimited) as second:
            pacing.take(OMAR)
    assert second.value.retry_after_s == pytest.approx(first.value.retry_after_s + 1 / OVERALL.per_s)
    clock.now_s += first.value.retry_after_s
    pacing.take(SARA)


def test_a_chat_in_a_pause_takes_no_turn_from_the_others(pacing: Pacing) -> None:
    pacing.pause(SARA, 30)
    for _ in range(100):
        with pytest.raises(RateLimited):
            pacing.take(SARA)
    pacing.take(OMAR)


def test_a_turn_that_was_not_used_is_lost(pacing: Pacing, clock: Clock) -> None:
    """Else a hundred old turns could be used in one second."""
    chats = [replace(SARA, chat_id=ChatId(str(number))) for number in range(100)]
    for chat in chats:
        with suppress(RateLimited):
            pacing.take(chat)
    clock.now_s += 60
    sent = 0
    for chat in chats:
        with suppress(RateLimited):
            pacing.take(chat)
            sent += 1
    assert sent == OVERALL.burst


def test_a_pause_holds_its_chat_to_the_second_and_no_other(pacing: Pacing, clock: Clock) -> None:
    pacing.pause(SARA, 30)
    with pytest.raises(RateLimited) as told:
        pacing.take(SARA)
    assert told.value.retry_after_s == 30
    pacing.take(OMAR)
    clock.now_s += 29.9
    with pytest.raises(RateLimited) as told:
        pacing.take(SARA)
    assert told.value.retry_after_s == pytest.approx(0.1)
    clock.now_s += 0.1
    pacing.take(SARA)


def test_typing_is_shown_sparingly_and_never_in_a_pause(pacing: Pacing, clock: Clock) -> None:
    assert pacing.take_typing(SARA)
    assert not pacing.take_typing(SARA)
    assert pacing.take_typing(replace(TEAM, thread_id=ThreadId("1")))
    assert pacing.take_typing(replace(TEAM, thread_id=ThreadId("2")))
    clock.now_s += 4
    assert pacing.take_typing(SARA)
    clock.now_s += 4
    pacing.pause(SARA, 60)
    assert not pacing.take_typing(SARA)


def test_a_pause_is_remembered_among_thousands_of_chats(pacing: Pacing, clock: Clock) -> None:
    """Buckets that are full again are forgotten; a closed one is not."""
    pacing.pause(TEAM, 10_000)
    for number in range(3000):
        clock.now_s += 1
        pacing.take(replace(SARA, chat_id=ChatId(str(number))))
    with pytest.raises(RateLimited):
        pacing.take(TEAM)
