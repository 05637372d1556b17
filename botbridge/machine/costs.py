"""What a load costs a month, here and elsewhere, and where one becomes cheaper than the other: pure arithmetic.

Currencies are never mixed: what is quoted in dollars stays so, and what would
take a rate that nobody gave is absent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from botbridge.machine.money import Money
from botbridge.machine.prices import DAYS_A_MONTH, HOURS_A_MONTH, WATT_HOURS, Kind, Power, Price, PriceTable
from botbridge.models.facts import Source
from botbridge.sentences import Sentence

THIS: Final = "this"
"""This machine's id among others'."""


@dataclass(frozen=True, slots=True)
class Draw:
    """What a machine draws all month.

    Attributes:
        id: Of the price table; `THIS` for this machine.
        kwh_month: From, to.
        cost: At the operator's price of electricity; None without one.
        source: None where the operator said it.
    """

    id: str
    title: str
    kwh_month: tuple[float, float]
    cost: Money | None
    source: Source | None


@dataclass(frozen=True, slots=True)
class PricedOffer:
    """A price, and what it comes to a month at this load.

    Attributes:
        converted: The same in the other of euros and dollars; None without a rate.
    """

    price: Price
    month: Money
    converted: Money | None
    source: Source


@dataclass(frozen=True, slots=True)
class BreakEven:
    """Where paying by the token costs as much as a machine that is paid by the month.

    Attributes:
        api: Id of the one.
        machine: Id of the other; `THIS` for this machine.
        messages_a_day: From, to: below, the API costs less, above, the machine; None where the currencies differ and
            no rate was given, or the API costs nothing.
    """

    api: str
    machine: str
    messages_a_day: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Costs:
    """All that is about money and electricity.

    Attributes:
        this_month: What this machine costs a month; None where nobody said what it draws or what electricity costs.
    """

    draws: tuple[Draw, ...]
    this_month: Money | None
    offers: tuple[PricedOffer, ...]
    break_evens: tuple[BreakEven, ...]


@dataclass(frozen=True, slots=True)
class Terms:
    """What the operator says of money and electricity.

    Attributes:
        watts: What this machine draws, from and to; None shows the classes of the table.
        kwh_price: Of a kilowatt-hour.
        usd_for_eur: Dollars for a euro; None converts nothing.
    """

    watts: tuple[float, float] | None = None
    kwh_price: Money | None = None
    usd_for_eur: float | None = None


def costs(prices: PriceTable, terms: Terms, *, messages_a_day: float, tokens_a_message: float) -> Costs:
    """Return what this machine and others cost a month.

    Args:
        messages_a_day: Of all people together.
        tokens_a_message: All that is sent and written, as an API counts.
    """
    message_tokens = DAYS_A_MONTH * tokens_a_message
    offers = tuple(
        PricedOffer(price, month, _other_currency(month, terms.usd_for_eur), prices.source(price.source))
        for price in prices.prices
        if price.kind is not Kind.OWN
        for month in [price.month(messages_a_day * message_tokens)]
    )
    draws = _draws(prices, terms)
    own = [price.month(0.0) for price in prices.prices if price.kind is Kind.OWN]
    this_month = None if terms.watts is None else _sum([draws[0].cost, *own], terms.usd_for_eur)
    machines = [(offer.price.id, offer.month) for offer in offers if offer.price.kind is not Kind.API]
    if this_month is not None:
        machines.insert(0, (THIS, this_month))
    break_evens = tuple(
        BreakEven(api.id, machine, _break_even(month, api.month(message_tokens), terms.usd_for_eur))
        for api in (offer.price for offer in offers if offer.price.kind is Kind.API)
        for machine, month in machines
    )
    return Costs(draws, this_month, offers, break_evens)


def _draws(prices: PriceTable, terms: Terms) -> tuple[Draw, ...]:
    if terms.watts is not None:
        kwh = _kwh(*terms.watts)
        return (Draw(THIS, Sentence("this machine"), kwh, _electricity(kwh, terms.kwh_price), None),)
    return tuple(_draw(power, prices.source(power.source), terms.kwh_price) for power in prices.powers)


def _draw(power: Power, source: Source, kwh_price: Money | None) -> Draw:
    kwh = _kwh(power.low_w, power.high_w)
    return Draw(power.id, power.title, kwh, _electricity(kwh, kwh_price), source)


def _kwh(low_w: float, high_w: float) -> tuple[float, float]:
    return low_w * HOURS_A_MONTH / WATT_HOURS, high_w * HOURS_A_MONTH / WATT_HOURS


def _electricity(kwh: tuple[float, float], kwh_price: Money | None) -> Money | None:
    return None if kwh_price is None else Money(kwh_price.currency, kwh_price.low * kwh[0], kwh_price.high * kwh[1])


def _sum(parts: Sequence[Money | None], usd_for_eur: float | None) -> Money | None:
    """Return the sum in the first part's currency; None where a part is unknown or of a currency without a rate."""
    first = parts[0]
    if first is None:
        return None
    total = Money(first.currency, 0.0, 0.0)
    for part in parts:
        converted = None if part is None else part.converted(total.currency, usd_for_eur)
        if converted is None:
            return None
        total = total.plus(converted)
    return total


def _other_currency(month: Money, usd_for_eur: float | None) -> Money | None:
    return month.converted("USD" if month.currency == "EUR" else "EUR", usd_for_eur)


def _break_even(machine_month: Money, message: Money, usd_for_eur: float | None) -> tuple[float, float] | None:
    """Return how many messages a day cost as much as the machine does.

    Args:
        message: What one message a day costs in a month.
    """
    fixed = machine_month.converted(message.currency, usd_for_eur)
    if fixed is None or message.low <= 0.0:
        return None
    return fixed.low / message.high, fixed.high / message.low
