"""One person with ten long answers beside seven with one short answer each, on a machine whose clock is a number.

The machine shares its tokens among the answers that run; the line knows only
what answers cost before, as the service does.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pytest

from botbridge.conversation import line as lines
from botbridge.conversation.estimates import Estimates
from botbridge.conversation.line import Line, PersonKey, person_of
from botbridge.conversation.rates import Observation, Rates
from botbridge.messages import InboxId, InboxRow
from botbridge.storage.memory import InMemoryState
from botbridge.storage.memory_store import InMemoryStore
from tests.conversation.test_line import row

LONG, SHORT = 512, 64
RATES = Rates(prefill_tokens_s=1000.0, decode_tokens_s={1: 40.0, 2: 65.0, 4: 105.0, 8: 125.0}, tokens_per_char=0.25)


@dataclass(frozen=True)
class Question:
    """A message and how long its answer will be, which nobody knows before."""

    row: InboxRow
    tokens: int
    asked_at_s: float = 0.0


@dataclass(frozen=True)
class Waited:
    """How long somebody waited for the first and for the last word, in seconds."""

    first_s: float
    last_s: float


def ten_long(first_id: int = 1) -> list[Question]:
    """One person's ten messages, each in another chat: the worst case, since one conversation has one answer."""
    return [Question(row(first_id + n, "heavy", f"chat {n}", shared=False), LONG) for n in range(10)]


def seven_short(first_id: int = 100, asked_at_s: float = 0.0) -> list[Question]:
    return [Question(row(first_id + n, f"light {n}"), SHORT, asked_at_s) for n in range(7)]


async def known(people: Mapping[PersonKey, int]) -> Estimates:
    """What the service knows when each of these people had one answer of so many tokens."""
    estimates = Estimates(InMemoryState(InMemoryStore()))
    for person, tokens in people.items():
        await estimates.learn(person, Observation(20, 5, 5, 0.0, tokens, 0, 0.0, 1))
    return estimates


def simulate(questions: Iterable[Question], slots: int, estimates: Estimates) -> dict[InboxId, Waited]:
    """Answer all questions on a machine with `RATES`."""
    coming = sorted(questions, key=lambda question: (question.asked_at_s, question.row.id))
    asked = {question.row.id: question for question in coming}
    line, now_s = Line(), 0.0
    left: dict[InboxId, float] = {}
    begun: dict[InboxId, float] = {}
    waited: dict[InboxId, Waited] = {}
    while coming or line.waiting or line.running:
        while coming and coming[0].asked_at_s <= now_s:
            question = coming.pop(0)
            cost = estimates.cost(question.row.incoming.text, person_of(question.row), max_new_tokens=LONG)
            line = lines.join(line, question.row, cost)
        while (entry := lines.next_entry(line, slots)) is not None:
            line = lines.start(line, entry)
            left[entry.row.id], begun[entry.row.id] = float(asked[entry.row.id].tokens), now_s
        speed = RATES.together_tokens_s(len(left)) / len(left) if left else 0.0
        first = min(left, key=left.__getitem__, default=None)
        end_s = now_s + left[first] / speed if first is not None else float("inf")
        then_s = min(end_s, coming[0].asked_at_s) if coming else end_s
        for inbox_id in left:
            left[inbox_id] -= (then_s - now_s) * speed
        now_s = then_s
        if first is not None and now_s == end_s:
            del left[first]
            question = asked[first]
            line = lines.leave(line, first, spent=float(question.tokens))
            waited[first] = Waited(begun[first] - question.asked_at_s, now_s - question.asked_at_s)
    return waited


def p95(waits: Iterable[float]) -> float:
    """The 95th percentile, between neighbours in proportion."""
    return statistics.quantiles(waits, n=20, method="inclusive")[-1]


def of_the_seven(waited: Mapping[InboxId, Waited]) -> list[Waited]:
    return [waited[question.row.id] for question in seven_short()]


@pytest.mark.parametrize("slots", [1, 4, 8])
async def test_a_person_known_for_long_answers_delays_the_others_by_less_than_half(slots: int) -> None:
    """Goal P9. All ask at one moment, the ten long ones first; the lengths of earlier answers are known."""
    people = {person_of(question.row): question.tokens for question in (*ten_long(), *seven_short())}
    without = of_the_seven(simulate(seven_short(), slots, await known(people)))
    beside = of_the_seven(simulate([*ten_long(), *seven_short()], slots, await known(people)))
    for part in ("first_s", "last_s"):
        alone_s, together_s = (p95(getattr(waited, part) for waited in waits) for waits in (without, beside))
        assert together_s <= 1.5 * alone_s


@pytest.mark.parametrize("slots", [2, 4, 8])
@pytest.mark.parametrize("asked_at_s", [0.0, 3.0], ids=["at once", "while it is written"])
async def test_a_stranger_with_ten_long_answers_takes_one_slot_and_no_more(slots: int, asked_at_s: float) -> None:
    """Even when nobody else was there as the first was begun."""
    nothing = await known({})
    without = of_the_seven(simulate(seven_short(), slots - 1, nothing))
    beside = of_the_seven(simulate([*ten_long(), *seven_short(asked_at_s=asked_at_s)], slots, nothing))
    slowed = (RATES.together_tokens_s(slots - 1) / (slots - 1)) / (RATES.together_tokens_s(slots) / slots)
    for waited, fewer in zip(beside, without, strict=True):
        assert waited.first_s <= fewer.first_s * slowed + 1e-9


async def test_with_eight_slots_nobody_waits_for_a_stranger() -> None:
    """The goal's own case, whatever is known and whoever came first."""
    nothing = await known({})
    beside = of_the_seven(simulate([*ten_long(), *seven_short(asked_at_s=3.0)], 8, nothing))
    without = of_the_seven(simulate(seven_short(), 8, nothing))
    assert [waited.first_s for waited in beside] == [0.0] * 7
    assert p95(waited.last_s for waited in beside) <= 1.5 * p95(waited.last_s for waited in without)


async def test_with_one_slot_a_stranger_costs_the_others_the_one_answer_that_is_being_written() -> None:
    """Answers are not interrupted: this is what one slot cannot do."""
    nothing = await known({})
    without = of_the_seven(simulate(seven_short(), 1, nothing))
    beside = of_the_seven(simulate([*ten_long(), *seven_short(asked_at_s=0.1)], 1, nothing))
    one_long_s = LONG / RATES.together_tokens_s(1)
    assert [waited.first_s for waited in beside] == pytest.approx([w.first_s + one_long_s - 0.1 for w in without])


async def test_the_long_answers_come_to_their_end_at_their_own_share() -> None:
    """Seven people who ask for one short answer after another do not push the tenth aside."""
    chatty = [
        Question(row(100 + 7 * turn + n, f"light {n}"), SHORT, asked_at_s=0.0) for turn in range(20) for n in range(7)
    ]
    people = {person_of(question.row): question.tokens for question in (*ten_long(), *chatty)}
    waited = simulate([*ten_long(), *chatty], 1, await known(people))
    first_s, second_s = (waited[InboxId(number)].last_s for number in (1, 2))
    fair_s = 8 * LONG / RATES.together_tokens_s(1)
    assert first_s <= 1.2 * fair_s
    assert second_s - first_s <= 1.2 * fair_s
