"""The table of prices: each with a source, the operator's own over ours, no currency mixed with another."""

from __future__ import annotations

from pathlib import Path

import pytest

from botbridge.errors import ConfigError
from botbridge.machine.money import Money
from botbridge.machine.prices import Kind, load_prices

OWN = """
[[price]]
id = "hetzner-cx23"
title = "VPS as on my invoice"
kind = "vps"
currency = "EUR"
per = "month"
low = 6.49
high = 6.49

[[price]]
id = "my-computer"
title = "1,200 EUR over four years"
kind = "own"
currency = "EUR"
per = "month"
low = 25
high = 25
"""


def test_every_figure_of_ours_names_a_source_that_is_listed() -> None:
    """Reading the table checks it; and no source is listed that nothing cites."""
    table = load_prices()
    cited = {price.source for price in table.prices} | {power.source for power in table.powers}
    assert cited == {source.id for source in table.sources}
    assert {price.kind for price in table.prices} == {Kind.VPS, Kind.GPU, Kind.API}


def test_the_operators_prices_replace_ours_by_id_and_add_their_own(tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text(OWN)
    ours, both = load_prices(), load_prices(tmp_path)
    assert [price.id for price in both.prices] == [*(price.id for price in ours.prices), "my-computer"]
    changed = next(price for price in both.prices if price.id == "hetzner-cx23")
    assert changed.month(0.0) == Money("EUR", 6.49, 6.49)
    assert both.source(changed.source).title == "DATA/prices.toml"
    assert both.powers == ours.powers


def test_a_home_without_prices_has_ours(tmp_path: Path) -> None:
    assert load_prices(tmp_path) == load_prices()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("price = [", "cannot be read"),
        (OWN.replace("6.49", "-1"), "price.0.low: Input should be greater than or equal to 0"),
        (OWN.replace("high = 25", "high = 24"), "the lower end 25 is above the higher end 24"),
        (OWN.replace('"EUR"', '"euro"'), "price.0.currency"),
        (OWN.replace('per = "month"', 'per = "million tokens"'), "an API is paid by the million tokens"),
        (OWN.replace('"own"', '"api"'), "an API is paid by the million tokens"),
        (OWN.replace('"my-computer"', '"hetzner-cx23"'), "two prices share an id"),
        (OWN.replace('title = "1', 'source = "nobody"\ntitle = "1'), "sources that are not listed: nobody"),
        (OWN.replace("low = 25", "low = nan"), "price.1.low"),
        (OWN.replace("high = 25", "high = inf"), "price.1.high"),
        ("price = 7", "price"),
        ("source = 7", "source"),
        ("price = [7]", "price.0"),
        ('weather = "fine"', "weather: Extra inputs are not permitted"),
    ],
)
def test_a_file_that_says_nonsense_is_refused_by_name_and_place(tmp_path: Path, content: str, expected: str) -> None:
    (tmp_path / "prices.toml").write_text(content)
    with pytest.raises(ConfigError, match="prices.toml") as refused:
        load_prices(tmp_path)
    assert expected in str(refused.value)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "prices.toml").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        load_prices(tmp_path)
    (tmp_path / "prices.toml").rmdir()
    (tmp_path / "prices.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_prices(tmp_path)


def test_money_is_converted_between_euros_and_dollars_by_a_rate_that_was_given() -> None:
    price = Money("USD", 2.2, 4.4)
    assert price.converted("EUR", 1.1) == Money("EUR", pytest.approx(2.0), pytest.approx(4.0))  # type: ignore[arg-type]
    assert price.converted("USD", None) == price
    assert price.converted("EUR", None) is None
    assert Money("GBP", 1.0, 1.0).converted("EUR", 1.1) is None


@pytest.mark.parametrize(
    ("money", "text"),
    [
        (Money("EUR", 5.49, 5.49), "5.49 EUR"),
        (Money("USD", 583.9, 2190.0), "584 to 2,190 USD"),
        (Money("USD", 0.0031, 0.0031), "0.0031 USD"),
        (Money("EUR", 0.0, 0.0), "0.00 EUR"),
    ],
)
def test_money_is_written_with_the_digits_that_count(money: Money, text: str) -> None:
    assert str(money) == text
