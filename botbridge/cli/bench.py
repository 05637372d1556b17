"""`botbridge bench`: how fast each engine runs the chosen model on this machine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from botbridge.cli.plotting import Plot, check_plot, draw_plot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from botbridge.cli.tables import Table
    from botbridge.inference.options import EngineOptions
    from botbridge.machine.figures import EngineFigures, Report
    from botbridge.models.files import ModelFiles

NOTEBOOK_SECONDS = 15
"""What 50 tokens of a 7B model took on a hosted notebook's CPU, in the course that botbridge descends from."""

MEBIBYTE = 2**20


def bench(
    *,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Another model than the settings'.")] = None,
    engine: Annotated[list[str] | None, typer.Option(help="Only this engine; may be given again.")] = None,
    tokens: Annotated[int | None, typer.Option(min=1, max=4096, help="Only the time for so many tokens.")] = None,
    quality: Annotated[bool, typer.Option("--quality", help="Perplexity and agreement with float32, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    plot: Plot = None,
) -> None:
    """Measure every engine that is installed; `engine=auto` then takes the fastest."""
    import asyncio

    from botbridge.chosen import engine_options
    from botbridge.cli.printing import note, prepare
    from botbridge.inference.choice import NEEDED_MODULES
    from botbridge.machine.charts import bench_chart
    from botbridge.machine.figures import write_report
    from botbridge.models.catalogue import load_catalogue
    from botbridge.models.clearance import clear
    from botbridge.models.store import ModelStore

    check_plot(plot, as_json=as_json)
    if unknown := sorted(set(engine or ()) - NEEDED_MODULES.keys()):
        raise typer.BadParameter(f"bench does not measure {unknown[0]!r}: say {', '.join(NEEDED_MODULES)}")
    if plot is not None and tokens is not None:
        raise typer.BadParameter("--plot draws the whole measurement, and --tokens asks for one figure of it")
    if tokens is not None and len(engine or ()) > 1:
        raise typer.BadParameter("--tokens times one engine; give --engine once")
    settings = prepare({"INFERENCE__MODEL": model}, quiet=True)
    catalogue = load_catalogue(home=settings.home)
    named = catalogue.resolve(settings.inference.model)
    clear(named, catalogue=catalogue, home=settings.home, declared=settings.licence.use, likely=settings.likely_use)
    files = ModelStore(settings.home).find(named)
    options = engine_options(settings)
    if tokens is not None:
        seconds, made = asyncio.run(_time_tokens(files, options, tokens, engine))
        facts = {"model": files.model, "tokens": made, "seconds": round(seconds, 3)}
        typer.echo(json.dumps(facts) if as_json else _one_figure(files.model, tokens, made, seconds))
        return
    report = asyncio.run(_measure(files, options, engine, with_quality=quality))
    if as_json:
        from dataclasses import asdict

        typer.echo(json.dumps(asdict(report), indent=2))
    else:
        _print(report)
    if not report.fastest_first:
        raise typer.Exit(1)  # what was measured earlier stays
    if engine is None:
        note(f"kept for engine=auto and plan: {write_report(settings.home, report)}")
    else:
        note("not kept: engine=auto and plan go by a measurement of all engines, `botbridge bench` without --engine")
    if plot is not None:
        draw_plot(bench_chart(report), plot)


async def _measure(
    files: ModelFiles, options: EngineOptions, only: Sequence[str] | None, *, with_quality: bool
) -> Report:
    from dataclasses import replace

    from botbridge.cli.printing import note
    from botbridge.errors import ModelLoadError
    from botbridge.inference.choice import NEEDED_MODULES, adding_engine, engine_order, installed_engines
    from botbridge.machine.bandwidth import read_bandwidth_bytes_s
    from botbridge.machine.bench import Effort, measure
    from botbridge.machine.figures import EngineFigures, Report
    from botbridge.machine.quality import assess, reference
    from botbridge.resources import usable_cores

    installed = installed_engines()
    able = engine_order(
        (), installed, has_gguf=files.gguf is not None, has_safetensors=files.has_safetensors, slots=options.slots
    )
    threads = options.threads or usable_cores()
    note(f"measuring {files.model} ({files.revision[:12]}) with {threads} threads; stop other work for true figures")
    bandwidth = read_bandwidth_bytes_s(threads)
    ideal = None
    if with_quality:
        note("float32: quality")
        try:
            ideal = await reference(files, threads)
        except ModelLoadError as error:
            note(f"float32: {error}")
        if ideal is None:
            note("perplexity is left out: there is nothing to compare with, which takes the model as safetensors")
    found: list[EngineFigures] = []
    for name in only or NEEDED_MODULES:
        if name in able:
            figures = await measure(name, files, options, bandwidth_bytes_s=bandwidth, effort=Effort(), told=note)
            if ideal is not None and not figures.failure:
                note(f"{name}: quality")
                figures = replace(figures, quality=await assess(name, files, options, ideal, threads))
            found.append(figures)
        elif name not in installed:
            found.append(EngineFigures(name, failure=f"not installed; `{adding_engine(name)}` adds it"))
        else:
            found.append(EngineFigures(name, failure="does not read the form in which this model is here"))
    return Report(files.model, files.revision, threads, bandwidth, tuple(found))


async def _time_tokens(
    files: ModelFiles, options: EngineOptions, tokens: int, only: Sequence[str] | None
) -> tuple[float, int]:
    """Return the seconds that an answer took, the reading of its question included, and how many tokens it had."""
    from dataclasses import replace

    from botbridge.inference.choice import AUTO, NEEDED_MODULES
    from botbridge.machine.bench import Stopwatch, loaded

    measurable = options.engine if options.engine in NEEDED_MODULES else AUTO  # echo and remote do not compute a model
    chosen = replace(options, engine=only[0] if only else measurable)
    async with loaded(files, chosen) as generator:
        return await Stopwatch(generator).answer_s(tokens)


def _one_figure(model: str, asked: int, made: int, seconds: float) -> str:
    there = NOTEBOOK_SECONDS * made / 50
    early = "" if made == asked else f", where the answer ended instead of {asked},"
    return (
        f"{made} tokens{early} of {model}: {seconds:.1f} s here ({made / seconds:.1f} tokens/s); "
        f"a 7B on the course's hosted notebook took about {there:.0f} s"
    )


def _print(report: Report) -> None:
    """Print a table, one engine a row, or a column where a line has no room for a row; none if nothing was measured."""
    from botbridge.cli.model_words import language_of
    from botbridge.cli.tables import PIPED_COLUMNS, drawn, fits, is_terminal, turned, width_of_lines
    from botbridge.cli.tongue import Tongue
    from botbridge.machine.figures import history_text

    width = width_of_lines() if is_terminal() else PIPED_COLUMNS
    table = speed_table(report)
    words = language_of(Tongue.EN)
    if table.rows:
        typer.echo(f"{report.model}: tokens per second, {report.threads} threads")
        typer.echo(drawn(table if fits(table, width) else turned(table), words, width))
    for figures in report.engines:
        if figures.failure:
            typer.echo(f"{figures.engine}: {figures.failure}")
    if not table.rows:
        return
    legend = (
        f"first token: seconds after {history_text(report.engines)}, unknown / known from the turn before. limit: "
        f"share of what reading memory allows ({report.bandwidth_bytes_s / 1e9:.0f} GB/s)."
    )
    typer.echo(drawn(legend, words, width))


def speed_table(report: Report) -> Table:
    """Return what was measured of each engine, one a row."""
    from botbridge.cli.tables import Table

    streams = sorted({count for figures in report.engines for count in figures.decode_tokens_s})
    with_quality = any(figures.quality for figures in report.engines)
    columns = (
        "engine",
        "prompt",
        *(f"{count} at once" for count in streams),
        "first token",
        "known",
        "MiB",
        "limit",
        *(("perplexity", "agrees") if with_quality else ()),
    )
    rows = (_row(figures, streams, with_quality=with_quality) for figures in report.engines if not figures.failure)
    return Table(columns, tuple(map(tuple, rows)), frozenset(range(1, len(columns))))


def _row(figures: EngineFigures, streams: Sequence[int], *, with_quality: bool) -> list[str]:
    limit = "" if figures.bandwidth_share is None else f"{figures.bandwidth_share:.2f}"
    cells = [
        figures.engine,
        f"{figures.prefill_tokens_s:.0f}",
        *(f"{figures.decode_tokens_s[count]:.0f}" if count in figures.decode_tokens_s else "" for count in streams),
        f"{figures.first_token_cold_s:.2f} s",
        f"{figures.first_token_warm_s:.2f} s",
        f"{figures.resident_bytes / MEBIBYTE:.0f}",
        limit,
    ]
    if with_quality:
        found = figures.quality
        cells += ["", ""] if found is None else [f"{found.perplexity:.1f}", f"{found.agreement:.1%}"]
    return cells
