"""`botbridge plan`: how long people will wait, how many this machine serves, and what it costs here and elsewhere."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from botbridge.cli.plotting import Plot, check_plot, draw_plot
from botbridge.cli.tongue import Lang, Tongue

if TYPE_CHECKING:
    from botbridge.machine.money import Money
    from botbridge.machine.plan import Plan
    from botbridge.settings import Settings


PlannedEngine = Literal["auto", "transformers", "llamacpp", "openvino", "remote", "echo"]


def plan(
    *,
    users: Annotated[int, typer.Option(min=1, max=10**8, help="People.")] = 50,
    messages_per_day: Annotated[float, typer.Option(min=0.001, max=10**5, help="Of each of them.")] = 10.0,
    peak_share: Annotated[
        float, typer.Option(min=0.001, max=1.0, help="Of a day's messages, in its busiest hour.")
    ] = 0.125,
    reply_tokens: Annotated[float, typer.Option(min=1, max=10**6, help="Of an answer, in the mean.")] = 150.0,
    reply_variation: Annotated[
        float, typer.Option(min=0, max=5, help="Standard deviation of that, in means; 0: all answers alike.")
    ] = 1.0,
    prompt_tokens: Annotated[float, typer.Option(min=1, max=10**6, help="New ones in a message.")] = 40.0,
    history_tokens: Annotated[
        float, typer.Option(min=0, max=10**6, help="Turns before it: known here, sent and paid elsewhere.")
    ] = 400.0,
    wait_s: Annotated[
        float, typer.Option(min=0.001, max=86_400, help="95 of 100 shall have their first word by then.")
    ] = 10.0,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Another model than the settings'.")] = None,
    engine: Annotated[PlannedEngine | None, typer.Option(help="Another than the fastest that was measured.")] = None,
    slots: Annotated[int | None, typer.Option(min=1, max=256, help="Answers at once; else the settings'.")] = None,
    tokens_per_s: Annotated[
        float | None, typer.Option(min=0.01, max=10**6, help="Of one answer alone: plan without a measurement.")
    ] = None,
    quantization: Annotated[
        str | None, typer.Option(metavar="NAME", help="Another form of the weights than the one here, for the memory.")
    ] = None,
    watts: Annotated[
        str | None, typer.Option(metavar="W[-W]", help="What this machine draws, such as 15 or 10-25.")
    ] = None,
    kwh_price: Annotated[
        str | None, typer.Option(metavar="PRICE", help="Of a kWh, with its currency, such as 0.30EUR.")
    ] = None,
    eur_usd: Annotated[
        float | None, typer.Option(min=0.001, max=1000, help="Dollars for a euro; else nothing is converted.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    plot: Plot = None,
    lang: Lang = Tongue.EN,
) -> None:
    """Tell what a load means: waits, people served, memory, electricity, and what it would cost elsewhere."""
    from dataclasses import replace

    from botbridge.cli.model_words import language_of
    from botbridge.cli.printing import note, prepare
    from botbridge.engine_at_hand import NO_CUDA, computes_on_cuda
    from botbridge.inference.choice import CUDA
    from botbridge.machine.charts import wait_chart
    from botbridge.machine.costs import Terms
    from botbridge.machine.plan import Load, make_plan
    from botbridge.machine.plan_report import as_facts
    from botbridge.machine.prices import load_prices
    from botbridge.machine.probe import LocalProbe
    from botbridge.machine.queueing import Service, Talk
    from botbridge.planning import measure_of, planned_memory
    from botbridge.sentences import said

    check_plot(plot, as_json=as_json)
    terms = Terms(_watts(watts), _money(kwh_price), eur_usd)
    options = {"INFERENCE__MODEL": model, "INFERENCE__SLOTS": None if slots is None else str(slots)}
    settings = prepare(options, quiet=True)
    prices = load_prices(settings.home)
    machine = LocalProbe().look(settings.home)
    if settings.inference.device == CUDA and not computes_on_cuda(machine):
        note(said(NO_CUDA, language_of(lang)))
    # First the memory: a model that nothing computes, or that is not there, need not be measured.
    try:
        memory = planned_memory(settings, machine, engine=engine, quantization=quantization)
    except KeyError as error:
        raise typer.BadParameter(f"no size is known of {quantization}{_known(settings)}") from error
    measured = measure_of(settings, machine, engine=engine, tokens_per_s=tokens_per_s)
    memory = replace(memory, resident_bytes=measured.resident_bytes)
    load = Load(users, messages_per_day, peak_share, history_tokens)
    talk = Talk(prompt_tokens, reply_tokens, reply_variation)
    service = Service(measured.speed, talk, settings.inference.slots)
    made = make_plan(
        settings.inference.model, measured, load, service, memory=memory, prices=prices, terms=terms, wait_s=wait_s
    )
    if as_json:
        typer.echo(json.dumps(as_facts(made), indent=2))
    else:
        _print(made, lang)
    if plot is not None:
        draw_plot(wait_chart(made), plot)


def _known(settings: Settings) -> str:
    """Say of which forms of the chosen model a size is known."""
    from botbridge.chosen import named_model
    from botbridge.machine.plan import known_quantizations
    from botbridge.models.catalogue import load_catalogue
    from botbridge.models.clearance import entry_of

    entry = entry_of(load_catalogue(home=settings.home), named_model(settings))
    return "" if entry is None else f"; of these it is: {', '.join(known_quantizations(entry))}"


def _watts(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(?:-(\d+(?:\.\d+)?))?", text)
    if found is None or float(found[1]) > float(found[2] or found[1]):
        raise typer.BadParameter(f"--watts {text}: watts are a number or a range, such as 15 or 10-25")
    return float(found[1]), float(found[2] or found[1])


def _money(text: str | None) -> Money | None:
    from botbridge.machine.money import Money

    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([A-Z]{3})", text)
    if found is None:
        raise typer.BadParameter(f"--kwh-price {text}: a price is a number and a currency, such as 0.30EUR")
    return Money(found[2], float(found[1]), float(found[1]))


def _print(made: Plan, tongue: Tongue) -> None:
    from botbridge.cli.model_words import language_of
    from botbridge.cli.plan_page import plan_page
    from botbridge.cli.tables import print_page

    words = language_of(tongue)
    print_page(tuple(plan_page(made, words)), words)
