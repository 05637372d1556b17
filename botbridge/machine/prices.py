"""What machines elsewhere cost and what machines draw: read from `prices.toml` and from the operator's own file."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Protocol, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from botbridge.errors import ConfigError
from botbridge.machine.money import Money
from botbridge.models.facts import Id, Source, Text
from botbridge.sentences import Sentence

PRICES_FILE: Final = Path(__file__).with_name("prices.toml")
OWN_FILE: Final = "prices.toml"
OWN_SOURCE: Final = "own"

HOURS_A_MONTH: Final = 730.0
"""A twelfth of 365 days."""

DAYS_A_MONTH: Final = HOURS_A_MONTH / 24.0
TOKENS: Final = 1_000_000
WATT_HOURS: Final = 1000.0

Currency = Annotated[str, Field(pattern="^[A-Z]{3}$")]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]

_STRICT: Final = ConfigDict(frozen=True, extra="forbid")


class Kind(StrEnum):
    """What is offered: a machine like this one elsewhere, one with a GPU, a model behind an API, this very machine."""

    VPS = "vps"
    GPU = "gpu"
    API = "api"
    OWN = "own"


class Per(StrEnum):
    """What a price is for."""

    MONTH = "month"
    HOUR = "hour"
    TOKENS = "million tokens"


PER_WORDS: Final = {
    Per.MONTH: Sentence("month"),
    Per.HOUR: Sentence("hour"),
    Per.TOKENS: Sentence("million tokens"),
}


class Price(BaseModel):
    """One offer.

    Attributes:
        kind: `own` is what this machine costs beside its electricity: its rent, or its price by the months it serves.
        low: Lowest price that the source names.
        high: Highest; the same where there is one.
        note: What the range is about.
    """

    model_config = _STRICT

    id: Id
    title: Text
    kind: Kind
    currency: Currency
    per: Per
    low: Amount
    high: Amount
    source: Id
    note: Text | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        _check_order(self.low, self.high)
        if (self.per is Per.TOKENS) != (self.kind is Kind.API):
            raise ValueError("an API is paid by the million tokens, and nothing else is")
        return self

    @property
    def quoted(self) -> str:
        """As the source has it, in words."""
        prices = f"{self.low:g}"
        if self.low != self.high:
            prices = Sentence("{first} to {last}", first=f"{self.low:g}", last=f"{self.high:g}")
        amount = Sentence("{amount} {currency}", amount=prices, currency=self.currency)
        quoted = Sentence("{amount} a {unit}", amount=amount, unit=PER_WORDS[self.per])
        return Sentence("{price} ({note})", price=quoted, note=Sentence.of(self.note)) if self.note else quoted

    def month(self, tokens: float) -> Money:
        """Return what it costs a month.

        Args:
            tokens: Read and written in a month, where these are paid for.
        """
        times = {Per.MONTH: 1.0, Per.HOUR: HOURS_A_MONTH, Per.TOKENS: tokens / TOKENS}[self.per]
        return Money(self.currency, self.low, self.high).times(times)


class Power(BaseModel):
    """What one kind of machine draws, in watts."""

    model_config = _STRICT

    id: Id
    title: Text
    low_w: Amount
    high_w: Amount
    source: Id

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        _check_order(self.low_w, self.high_w)
        return self


class PriceTable(BaseModel):
    """Offers and powers with the sources that they cite."""

    model_config = _STRICT

    sources: Annotated[tuple[Source, ...], Field(alias="source")] = ()
    prices: Annotated[tuple[Price, ...], Field(alias="price")] = ()
    powers: Annotated[tuple[Power, ...], Field(alias="power")] = ()

    @model_validator(mode="after")
    def _ids_are_unique_and_sources_listed(self) -> Self:
        for what, named in (("sources", self.sources), ("prices", self.prices), ("powers", self.powers)):
            ids = [each.id for each in named]
            if len(set(ids)) != len(ids):
                raise ValueError(f"two {what} share an id")
        cited = {price.source for price in self.prices} | {power.source for power in self.powers}
        if unknown := sorted(cited - {source.id for source in self.sources}):
            raise ValueError(f"sources that are not listed: {', '.join(unknown)}")
        return self

    def source(self, source_id: str) -> Source:
        """Return a source that is cited here."""
        return next(source for source in self.sources if source.id == source_id)


def load_prices(home: Path | None = None) -> PriceTable:
    """Read the prices that come with botbridge, and over them those of the operator.

    Args:
        home: Where `prices.toml` of the operator may lie; None reads ours only.

    Raises:
        ConfigError: The operator's file cannot be read or is not of this form.
    """
    ours = PriceTable.model_validate(_toml(PRICES_FILE))
    path = None if home is None else home / OWN_FILE
    if path is None or not path.exists():
        return ours
    try:
        theirs = PriceTable.model_validate(_with_own_source(_toml(path)))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}: {place + ': ' if place else ''}{first['msg']}") from error
    return ours.model_copy(
        update={
            "sources": _over(ours.sources, theirs.sources),
            "prices": _over(ours.prices, theirs.prices),
            "powers": _over(ours.powers, theirs.powers),
        }
    )


class _Named(Protocol):
    @property
    def id(self) -> str: ...


_N = TypeVar("_N", bound=_Named)


def _over(ours: Sequence[_N], theirs: Sequence[_N]) -> tuple[_N, ...]:
    """Replace what is named in both, and add the rest."""
    own = {each.id: each for each in theirs}
    return (*(own.pop(each.id, each) for each in ours), *own.values())


def _toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _with_own_source(found: dict[str, Any]) -> dict[str, Any]:
    """Name the file itself as the source of what names none; what is no table is left for the check to refuse."""
    named = {
        group: [{"source": OWN_SOURCE, **each} if isinstance(each, dict) else each for each in found[group]]
        for group in ("price", "power")
        if isinstance(found.get(group), list)
    }
    own = {"id": OWN_SOURCE, "title": f"DATA/{OWN_FILE}"}
    sources = found.get("source", [])
    return {**found, **named, "source": [*sources, own] if isinstance(sources, list) else sources}


def _check_order(low: float, high: float) -> None:
    if low > high:
        raise ValueError(f"the lower end {low:g} is above the higher end {high:g}")
