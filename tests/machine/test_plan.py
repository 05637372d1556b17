"""A plan: which measurement it takes, how many people it promises to serve, what it compares with what."""

from __future__ import annotations

from dataclasses import replace

import pytest

from botbridge.errors import NotMeasured
from botbridge.machine.costs import THIS, BreakEven, Terms, costs
from botbridge.machine.criteria import criteria, when_to_move
from botbridge.machine.figures import EngineFigures, Report
from botbridge.machine.money import Money
from botbridge.machine.plan import (
    Load,
    Measured,
    Plan,
    PlannedMemory,
    known_quantizations,
    make_plan,
    measured_speed,
    serving_limit,
)
from botbridge.machine.plan_report import summary
from botbridge.machine.prices import Kind, Per, Price, PriceTable, load_prices
from botbridge.machine.queueing import Service, Speed, Talk
from botbridge.models.catalogue import load_catalogue
from botbridge.models.facts import Source
from botbridge.models.fitting import Judgement, MemoryNeed

GB = 10**9
SLOW = EngineFigures("transformers", "5", 900.0, {1: 40.0, 8: 120.0}, 2.0, 0.1, 2000, 10**9, 2 * 10**8, 0.7)
FAST = replace(SLOW, engine="llamacpp", decode_tokens_s={1: 200.0, 8: 500.0}, resident_bytes=0)
MISSING = EngineFigures("openvino", failure="not installed")
REPORT = Report("org/model", "abc", 2, 3e10, (SLOW, MISSING, FAST))

SPEED = Speed({1: 44.0, 4: 80.0}, 218.0)
SERVICE = Service(SPEED, Talk(40.0, 150.0), slots=4)
LOAD = Load(users=50, messages_per_day=10.0, history_tokens=400.0)
NO_PRICES = PriceTable()


def planned(load: Load = LOAD, service: Service = SERVICE, terms: Terms | None = None, **more: float) -> Plan:
    return make_plan(
        "m",
        Measured(service.speed, "llamacpp"),
        load,
        service,
        memory=PlannedMemory(),
        prices=load_prices(),
        terms=terms or Terms(),
        **more,
    )


def price(kind: str, per: str, amount: float, currency: str = "USD", name: str = "") -> Price:
    return Price(
        id=name or kind,
        title=kind,
        kind=Kind(kind),
        currency=currency,
        per=Per(per),
        low=amount,
        high=2 * amount,
        source="s",
    )


def table(*prices: Price) -> PriceTable:
    return NO_PRICES.model_copy(update={"prices": prices, "sources": (Source(id="s", title="invoice"),)})


@pytest.mark.parametrize("engine", ["auto", "remote", "echo"])
def test_the_fastest_engine_that_was_measured_is_planned_with(engine: str) -> None:
    found = measured_speed(REPORT, engine, "org/model", 4)
    assert found == Measured(Speed(FAST.decode_tokens_s, 900.0), "llamacpp", None)
    assert measured_speed(REPORT, "transformers", "org/model", 4).resident_bytes == 10**9


def test_the_engine_is_the_fastest_for_so_many_as_are_answered_at_once() -> None:
    """The one that `auto` would take."""
    report = replace(REPORT, engines=(replace(SLOW, decode_tokens_s={1: 40.0, 8: 900.0}), FAST))
    assert [measured_speed(report, "auto", "org/model", slots).engine for slots in (4, 8)] == [
        "llamacpp",
        "transformers",
    ]


@pytest.mark.parametrize("report", [None, replace(REPORT, engines=(MISSING,)), replace(REPORT, engines=())])
def test_without_a_measurement_one_sentence_names_the_command(report: Report | None) -> None:
    with pytest.raises(NotMeasured, match=r"^org/model was not measured .* `botbridge bench`, or say --tokens-per-s N"):
        measured_speed(report, "auto", "org/model", 4)


def test_an_engine_that_was_not_measured_is_told_with_those_that_were() -> None:
    with pytest.raises(
        NotMeasured, match="the engine openvino was not measured .* --engine transformers or --engine llamacpp$"
    ):
        measured_speed(REPORT, "openvino", "org/model", 4)


def test_as_many_people_as_the_limit_says_are_served_in_time_and_a_tenth_more_are_not() -> None:
    limit = serving_limit(SERVICE, LOAD, 10.0)
    assert limit.messages_a_day == pytest.approx(10 * limit.users, abs=10)
    for users, is_served in ((limit.users, True), (round(1.1 * limit.users), False)):
        waits = SERVICE.waits(replace(LOAD, users=users).peak_messages_s)
        assert waits is not None
        assert (waits.first_word_p95_s <= 10.0) is is_served


def test_a_load_beyond_the_limit_takes_more_machines() -> None:
    limit = serving_limit(SERVICE, LOAD, 10.0)
    assert limit.machines == 1
    assert serving_limit(SERVICE, replace(LOAD, users=3 * limit.users - 1), 10.0).machines == 3


def test_nobody_is_served_where_a_prompt_alone_takes_longer_than_the_bound() -> None:
    plan = planned(service=replace(SERVICE, talk=Talk(4000.0, 150.0)))
    assert (plan.limit.users, plan.limit.machines) == (0, None)
    assert next(when_to_move(plan)).startswith("Move to another machine or to the engine remote: even one person")


def test_a_load_without_an_end_says_so_everywhere() -> None:
    plan = planned(replace(LOAD, users=5000))
    assert plan.waits is None
    assert any("without end" in line for line in summary(plan))
    assert "without end" in criteria(plan)[1].here
    assert any(f"takes {plan.limit.machines} machines like this one" in line for line in when_to_move(plan))


def test_a_month_is_730_hours_of_a_machine_and_all_tokens_of_an_api() -> None:
    """Ten messages a day of a thousand tokens each are 304,167 tokens a month."""
    prices = table(price("gpu", "hour", 1.0), price("vps", "month", 5.0, "EUR"), price("api", "million tokens", 2.0))
    found = costs(prices, Terms(), messages_a_day=10.0, tokens_a_message=1000.0)
    months = {offer.price.id: offer.month for offer in found.offers}
    assert months["gpu"] == Money("USD", 730.0, 1460.0)
    assert months["vps"] == Money("EUR", 5.0, 10.0)
    assert months["api"].low == pytest.approx(2.0 * 10 * 1000 * 730 / 24 / 1e6)
    assert [offer.converted for offer in found.offers] == [None, None, None]


def test_break_even_is_where_both_cost_the_same() -> None:
    prices = table(price("gpu", "hour", 1.0), price("api", "million tokens", 2.0))
    (even,) = costs(prices, Terms(), messages_a_day=10.0, tokens_a_message=1000.0).break_evens
    assert even.messages_a_day is not None
    low, high = even.messages_a_day
    at_low = costs(prices, Terms(), messages_a_day=low, tokens_a_message=1000.0)
    at_high = costs(prices, Terms(), messages_a_day=high, tokens_a_message=1000.0)
    assert at_low.offers[1].month.high == pytest.approx(730.0)  # the dear API and the cheap machine
    assert at_high.offers[1].month.low == pytest.approx(1460.0)  # the cheap API and the dear machine


def test_currencies_are_not_compared_without_a_rate() -> None:
    prices = table(price("vps", "month", 5.0, "EUR"), price("api", "million tokens", 2.0))
    without = costs(prices, Terms(), messages_a_day=10.0, tokens_a_message=1000.0)
    assert without.break_evens == (BreakEven("api", "vps", None),)
    given = costs(prices, Terms(usd_for_eur=1.2), messages_a_day=10.0, tokens_a_message=1000.0)
    assert given.break_evens[0].messages_a_day is not None
    assert given.offers[0].converted == Money("USD", 6.0, 12.0)
    assert given.offers[0].month == Money("EUR", 5.0, 10.0)


def test_an_api_for_nothing_is_compared_with_nothing() -> None:
    prices = table(price("vps", "month", 5.0), price("api", "million tokens", 0.0))
    assert costs(prices, Terms(), messages_a_day=1.0, tokens_a_message=1.0).break_evens[0].messages_a_day is None


def test_this_machine_costs_its_electricity_and_what_the_operator_adds() -> None:
    own = price("own", "month", 25.0, "EUR")
    terms = Terms(watts=(10.0, 20.0), kwh_price=Money("EUR", 0.3, 0.3))
    found = costs(table(own), terms, messages_a_day=1.0, tokens_a_message=1.0)
    assert found.draws[0].id == THIS
    assert found.draws[0].kwh_month == (pytest.approx(7.3), pytest.approx(14.6))
    assert found.this_month == Money("EUR", pytest.approx(2.19 + 25), pytest.approx(4.38 + 50))  # type: ignore[arg-type]
    assert found.offers == ()


@pytest.mark.parametrize(
    "terms",
    [
        Terms(),
        Terms(watts=(10.0, 20.0)),
        Terms(kwh_price=Money("EUR", 0.3, 0.3)),
        Terms(watts=(10.0, 20.0), kwh_price=Money("USD", 0.3, 0.3)),
    ],
)
def test_what_this_machine_costs_is_not_guessed(terms: Terms) -> None:
    """Without watts, without a price, and where the operator's own price is of another currency."""
    own = price("own", "month", 25.0, "EUR")
    assert costs(table(own), terms, messages_a_day=1.0, tokens_a_message=1.0).this_month is None


def test_power_costs_nothing_where_no_price_was_named() -> None:
    draws = costs(load_prices(), Terms(), messages_a_day=1.0, tokens_a_message=1.0).draws
    assert {draw.cost for draw in draws} == {None}
    assert all(draw.kwh_month[0] > 0 and draw.source is not None for draw in draws)


def test_the_five_criteria_are_side_by_side() -> None:
    rows = criteria(planned())
    assert [row.criterion for row in rows] == ["cost a month", "latency", "control", "set-up", "scale and upkeep"]
    assert rows[0].vps == "5.49 EUR; 65 to 931 USD"
    assert "first word" in rows[1].here


def test_price_sentences_appear_only_for_what_was_compared() -> None:
    lines = list(when_to_move(planned()))
    assert not any("Hetzner" in line for line in lines)
    assert any(line.startswith("Llama-3.2-3B by API costs less than GPU L4") for line in lines)
    assert lines[-1] == "Euros and dollars are not compared with each other; --eur-usd RATE does."
    lines = list(when_to_move(planned(terms=Terms(usd_for_eur=1.1))))
    assert any("Hetzner" in line for line in lines)
    assert not any("--eur-usd" in line for line in lines)


def test_memory_is_told_as_doctor_tells_it() -> None:
    """What fits, what does not, and what nobody knows."""
    need = MemoryNeed("llamacpp", "Q4_K_M", 4 * GB, GB, GB, GB // 2, 4, 2048)
    told = [memory_told(PlannedMemory(Judgement(need, has_gb * GB), 2 * GB, has_gb * GB)) for has_gb in (8, 6)]
    assert told[0].startswith("memory: fits: needs 6.5 GB, has 8.0 GB (weights 4.0 GB (Q4_K_M), cache 1.0 GB for ")
    assert told[1].startswith("memory: does not fit: needs 6.5 GB, has 6.0 GB (weights")
    assert told[1].endswith("; the worker took 2.0 GB when it was measured")
    assert memory_told(PlannedMemory(has_bytes=8 * GB)) == "memory: what the model needs is not known; has 8.0 GB"


def memory_told(memory: PlannedMemory) -> str:
    return list(summary(replace(planned(), memory=memory)))[-1]


def test_forms_of_known_size_are_those_published_and_those_that_can_be_computed() -> None:
    entry = load_catalogue().find("smollm2-135m-instruct")
    assert {"Q8_0", "Q4_1"} <= {*known_quantizations(entry)}
