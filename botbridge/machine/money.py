"""Ranges of money that stay in the currency in which they were quoted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from botbridge.sentences import Sentence

WHOLE_UNITS: Final = 100.0
CENTS: Final = 0.1
"""From the one on amounts are written without cents, below the other with hundredths of them."""


@dataclass(frozen=True, slots=True)
class Money:
    """A range of amounts in one currency; never added to another currency's.

    Attributes:
        currency: As ISO 4217 names it.
        low: At most `high`; equal where there is one price.
    """

    currency: str
    low: float
    high: float

    def times(self, number: float) -> Money:
        """Return so many of it."""
        return Money(self.currency, self.low * number, self.high * number)

    def plus(self, other: Money) -> Money:
        """Return the sum with an amount of the same currency."""
        assert self.currency == other.currency
        return Money(self.currency, self.low + other.low, self.high + other.high)

    def converted(self, currency: str, usd_for_eur: float | None) -> Money | None:
        """Return it in another currency; None where nobody said at which rate.

        >>> Money("EUR", 5.0, 10.0).converted("USD", 1.2)
        Money(currency='USD', low=6.0, high=12.0)
        >>> Money("EUR", 5.0, 10.0).converted("USD", None)
        """
        if currency == self.currency:
            return self
        if usd_for_eur is None or {currency, self.currency} != {"EUR", "USD"}:
            return None
        rate = usd_for_eur if currency == "USD" else 1.0 / usd_for_eur
        return Money(currency, self.low * rate, self.high * rate)

    @property
    def sentence(self) -> Sentence:
        """The amount, rounded as prices are."""
        amount = ranged(self.low, self.high, _decimals(self.high))
        return Sentence("{amount} {currency}", amount=amount, currency=self.currency)

    def __str__(self) -> str:
        return self.sentence


def ranged(low: float, high: float, decimals: int) -> str:
    """Write a range, or one number where both ends look alike.

    >>> ranged(3.0, 10.0, 0), ranged(5.49, 5.49, 2)
    ('3 to 10', '5.49')
    """
    first, last = f"{low:,.{decimals}f}", f"{high:,.{decimals}f}"
    return first if first == last else Sentence("{first} to {last}", first=first, last=last)


def _decimals(amount: float) -> int:
    if amount >= WHOLE_UNITS:
        return 0
    return 2 if amount >= CENTS or amount == 0 else 4
