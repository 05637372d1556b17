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
from botbridge.sentences import Sentence, clauses

NOT_MEASURED_THERE: Final = Sentence("not known before `botbridge bench` has run there")
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
        Criterion(Sentence("cost a month"), _cost_here(plan), months[Kind.VPS], months[Kind.GPU], months[Kind.API]),
        Criterion(
            Sentence("latency"),
            _latency_here(plan),
            NOT_MEASURED_THERE,
            Sentence("not known before a server there was asked"),
            Sentence("not known before it was asked"),
        ),
        Criterion(
            Sentence("control"),
            Sentence("what people write stays here"),
            Sentence("it lies on a provider's machine, in your system"),
            Sentence("it is sent to your server on a provider's machine"),
            Sentence("it is sent to the provider, whose terms and choice of models hold"),
        ),
        Criterion(
            Sentence("set-up"),
            "make run",
            Sentence("rent it; then make run, or the container"),
            Sentence("rent it, start a server with the model there; INFERENCE__ENGINE=remote"),
            Sentence("an account and a key; INFERENCE__ENGINE=remote"),
        ),
        Criterion(
            Sentence("scale and upkeep"),
            Sentence(
                "{users} people within {wait}; power, updates, backups are yours",
                users=f"{plan.limit.users:,}",
                wait=seconds(plan.limit.wait_s),
            ),
            Sentence("a larger one after a move; updates and backups are yours"),
            Sentence("several servers by INFERENCE__REMOTE_URL; updates of bot and servers are yours"),
            Sentence("up to the provider's limits; only the bot is yours to keep"),
        ),
    )


def when_to_move(plan: Plan) -> Iterator[str]:
    """Yield sentences: from which load on this machine is too slow, and where another way is cheaper."""
    limit = plan.limit
    if limit.users == 0:
        yield Sentence(
            "Move to another machine or to the engine remote: even one person alone waits longer than {wait} for the "
            "first word, 5 times of 100.",
            wait=seconds(limit.wait_s),
        )
    else:
        yield Sentence(
            "Move to the engine remote, or add a machine, beyond {users} people or {messages} messages a day: more "
            "than 5 of 100 would wait longer than {wait} for their first word.",
            users=f"{limit.users:,}",
            messages=f"{limit.messages_a_day:,}",
            wait=seconds(limit.wait_s),
        )
    if limit.machines is not None and limit.machines > 1:
        machines = f"{limit.machines:,}"
        yield Sentence("The load that you plan for takes {machines} machines like this one.", machines=machines)
    titles = {offer.price.id: Sentence.of(offer.price.title) for offer in plan.costs.offers}
    titles[THIS] = Sentence("this machine")
    compared = [even for even in plan.costs.break_evens if even.messages_a_day is not None]
    for even in compared:
        yield _break_even(even, titles)
    if compared:
        yield Sentence("By price alone, that is: as if each machine could answer so many, and the models were as good.")
    if len(compared) < len(plan.costs.break_evens):
        yield Sentence("Euros and dollars are not compared with each other; --eur-usd RATE does.")


def _break_even(even: BreakEven, titles: Mapping[str, str]) -> str:
    assert even.messages_a_day is not None
    return Sentence(
        "{api} costs less than {machine} below {messages} messages a day.",
        api=titles[even.api],
        machine=titles[even.machine],
        messages=ranged(*even.messages_a_day, 0),
    )


def _cost_here(plan: Plan) -> str:
    if plan.costs.this_month is not None:
        return plan.costs.this_month.sentence
    draw = next((draw for draw in plan.costs.draws if draw.id == THIS), None)
    if draw is None:
        return Sentence("electricity (--watts, --kwh-price)")
    return Sentence("{amount} kWh (--kwh-price)", amount=ranged(*draw.kwh_month, 1))


def _latency_here(plan: Plan) -> str:
    waits = plan.waits
    if waits is None:
        return Sentence("without end: more is asked than this machine can answer")
    return Sentence(
        "first word {first}, 95 of 100 within {first_p95}; whole answer {answer}, 95 of 100 within {answer_p95}",
        first=seconds(waits.first_word_s),
        first_p95=seconds(waits.first_word_p95_s),
        answer=seconds(waits.answer_s),
        answer_p95=seconds(waits.answer_p95_s),
    )


def _months(offers: Iterable[PricedOffer]) -> str:
    """Return the cheapest and the dearest of each currency."""
    found: dict[str, Money] = {}
    for offer in offers:
        month = offer.month
        known = found.get(month.currency, month)
        found[month.currency] = Money(month.currency, min(known.low, month.low), max(known.high, month.high))
    return clauses(month.sentence for month in found.values()) if found else Sentence("no price is known")


def seconds(time_s: float) -> str:
    """Write a time as people say it.

    >>> seconds(0.034), seconds(2.25), seconds(75.4), seconds(600)
    ('0.03 s', '2.2 s', '75 s', '10 min')
    """
    if time_s >= 2 * MINUTE_S:
        return f"{time_s / MINUTE_S:,.0f} min"
    digits = 0 if time_s >= 10.0 else 1 if time_s >= 1.0 else 2  # noqa: PLR2004 - two digits that count
    return f"{time_s:.{digits}f} s"
