"""A machine here against one elsewhere, by what people decide on: cost, latency, control, set-up, scale and upkeep.

Figures come from the plan; what no figure says is our own judgement, in a few words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from botbridge.machine.costs import THIS, BreakEven, PricedOffer
from botbridge.machine.money import Money, ranged
from botbridge.machine.plan import Plan
from botbridge.machine.prices import Kind

NOT_MEASURED_THERE: Final = "not known before `botbridge bench` has run there"
MINUTE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Criterion:
    """One row of the comparison.

    Attributes:
        here: This machine.
        vps: A rented one like it.
        gpu: A rented one with a GPU, with a server behind the engine `remote`.
        api: Somebody's model, paid by the token, behind the engine `remote`.
    """

    criterion: str
    here: str
    vps: str
    gpu: str
    api: str


def criteria(plan: Plan) -> tuple[Criterion, ...]:
    """Return the five rows."""
    offers = plan.costs.offers
    months = {kind: _months(offer for offer in offers if offer.price.kind is kind) for kind in Kind}
    return (
        Criterion("cost a month", _cost_here(plan), months[Kind.VPS], months[Kind.GPU], months[Kind.API]),
        Criterion(
            "latency",
            _latency_here(plan),
            NOT_MEASURED_THERE,
            "not known before a server there was asked",
            "not known before it was asked",
        ),
        Criterion(
            "control",
            "what people write stays here",
            "it lies on a provider's machine, in your system",
            "it is sent to your server on a provider's machine",
            "it is sent to the provider, whose terms and choice of models hold",
        ),
        Criterion(
            "set-up",
            "make run",
            "rent it; then make run, or the container",
            "rent it, start a server with the model there; INFERENCE__ENGINE=remote",
            "an account and a key; INFERENCE__ENGINE=remote",
        ),
        Criterion(
            "scale and upkeep",
            f"{plan.limit.users:,} people within {seconds(plan.limit.wait_s)}; power, updates, backups are yours",
            "a larger one after a move; updates and backups are yours",
            "several servers by INFERENCE__REMOTE_URL; updates of bot and servers are yours",
            "up to the provider's limits; only the bot is yours to keep",
        ),
    )


def when_to_move(plan: Plan) -> Iterator[str]:
    """Yield sentences: from which load on this machine is too slow, and where another way is cheaper."""
    limit = plan.limit
    if limit.users == 0:
        yield (
            f"Move to another machine or to the engine remote: even one person alone waits longer than "
            f"{seconds(limit.wait_s)} for the first word, 5 times of 100."
        )
    else:
        yield (
            f"Move to the engine remote, or add a machine, beyond {limit.users:,} people or {limit.messages_a_day:,} "
            f"messages a day: more than 5 of 100 would wait longer than {seconds(limit.wait_s)} for their first word."
        )
    if limit.machines is not None and limit.machines > 1:
        yield f"The load that you plan for takes {limit.machines:,} machines like this one."
    titles = {offer.price.id: offer.price.title for offer in plan.costs.offers} | {THIS: "this machine"}
    compared = [even for even in plan.costs.break_evens if even.messages_a_day is not None]
    for even in compared:
        yield _break_even(even, titles)
    if compared:
        yield "By price alone, that is: as if each machine could answer so many, and the models were as good."
    if len(compared) < len(plan.costs.break_evens):
        yield "Euros and dollars are not compared with each other; --eur-usd RATE does."


def _break_even(even: BreakEven, titles: Mapping[str, str]) -> str:
    assert even.messages_a_day is not None
    return (
        f"{titles[even.api]} costs less than {titles[even.machine]} "
        f"below {ranged(*even.messages_a_day, 0)} messages a day."
    )


def _cost_here(plan: Plan) -> str:
    if plan.costs.this_month is not None:
        return str(plan.costs.this_month)
    draw = next((draw for draw in plan.costs.draws if draw.id == THIS), None)
    if draw is None:
        return "electricity (--watts, --kwh-price)"
    return f"{ranged(*draw.kwh_month, 1)} kWh (--kwh-price)"


def _latency_here(plan: Plan) -> str:
    waits = plan.waits
    if waits is None:
        return "without end: more is asked than this machine can answer"
    return (
        f"first word {seconds(waits.first_word_s)}, 95 of 100 within {seconds(waits.first_word_p95_s)}; "
        f"whole answer {seconds(waits.answer_s)}, 95 of 100 within {seconds(waits.answer_p95_s)}"
    )


def _months(offers: Iterable[PricedOffer]) -> str:
    """Return the cheapest and the dearest of each currency."""
    found: dict[str, Money] = {}
    for offer in offers:
        month = offer.month
        known = found.get(month.currency, month)
        found[month.currency] = Money(month.currency, min(known.low, month.low), max(known.high, month.high))
    return "; ".join(str(month) for month in found.values()) or "no price is known"


def seconds(time_s: float) -> str:
    """Write a time as people say it.

    >>> seconds(0.034), seconds(2.25), seconds(75.4), seconds(600)
    ('0.03 s', '2.2 s', '75 s', '10 min')
    """
    if time_s >= 2 * MINUTE_S:
        return f"{time_s / MINUTE_S:,.0f} min"
    digits = 0 if time_s >= 10.0 else 1 if time_s >= 1.0 else 2  # noqa: PLR2004 - two digits that count
    return f"{time_s:.{digits}f} s"
