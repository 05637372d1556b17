"""`botbridge models list|show|search|compare|openness|add`: what is known of models, before anybody chats."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from botbridge.cli.plotting import Plot, check_plot, draw_plot
from botbridge.cli.tongue import Lang, Tongue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from botbridge.models.catalogue import Catalogue
    from botbridge.models.facts import CatalogueEntry, Level
    from botbridge.models.listing import Listed
    from botbridge.models.manifest import AdapterBase, Manifest
    from botbridge.models.store import ModelStore

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Model = Annotated[str, typer.Argument(metavar="MODEL", help="Id of `models list`, or ORG/NAME of the hub.")]
Task = Annotated[
    str | None, typer.Option(metavar="TASK", help="chat, logic, maths, code, translation…, or a task of the hub.")
]
Text = Annotated[str, typer.Option(metavar="WORDS", help="Words that stand in its name or description.")]
MaxParams = Annotated[
    str | None, typer.Option(metavar="SIZE", help="Largest class, as 7B or 500M: one of 7.24 B is a 7B.")
]


class OpenLevel(StrEnum):
    """What --open takes."""

    FULL = "full"
    WEIGHTS = "weights"
    ARCHITECTURE = "architecture"


class SortFound(StrEnum):
    """What --sort of a search takes."""

    DOWNLOADS = "downloads"
    LIKES = "likes"
    CREATED = "created"


def list_models(
    *,
    task: Task = None,
    language: Annotated[str | None, typer.Option(metavar="CODE", help="That its publisher names, as ar.")] = None,
    licence: Annotated[str | None, typer.Option(metavar="ID", help="As Apache-2.0 or llama3.2.")] = None,
    max_params: MaxParams = None,
    open_level: Annotated[OpenLevel | None, typer.Option("--open", help="At least so open.")] = None,
    arabic: Annotated[bool, typer.Option("--arabic", help="Whose publisher names Arabic.")] = False,
    text: Text = "",
    sort: Annotated[str | None, typer.Option(metavar="COLUMN", help="Best or smallest first.")] = None,
    columns: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Separated by commas; a wrong one names them all.")
    ] = None,
    as_json: AsJson = False,
    lang: Lang = Tongue.EN,
) -> None:
    """Print the models of the catalogue and those on this machine."""
    from botbridge.cli.model_pages import list_page
    from botbridge.cli.model_words import language_of
    from botbridge.cli.printing import note
    from botbridge.cli.tables import is_terminal, print_page, width_of_lines
    from botbridge.models.catalogue import load_catalogue
    from botbridge.models.listing import (
        COLUMNS,
        FIRST_TO_GO,
        USUAL_COLUMNS,
        Filter,
        names_more_languages,
        ordered,
        wanted,
    )
    from botbridge.models.reports import entry_facts, source_facts
    from botbridge.models.store import ModelStore
    from botbridge.settings import load_settings

    names = [_column(name) for name in columns.split(",")] if columns else list(USUAL_COLUMNS)
    asked = Filter(
        kind_of_task=task,
        language=language,
        licence=licence,
        max_b=_class_b(max_params),
        open_level=_level(open_level),
        arabic=arabic,
        text=text,
    )
    home = load_settings().home
    catalogue, installed = load_catalogue(home=home), ModelStore(home).installed()
    everything = _listed(catalogue.entries, home, {manifest.model for manifest, _ in installed})
    found = wanted(everything, asked)
    if sort:
        found = ordered(found, COLUMNS[_column(sort)])
    if as_json:
        facts = {
            "catalogue": [entry_facts(each) for each in found],
            "installed": [_installed_facts(manifest, at) for manifest, at in installed],
            "sources": source_facts(catalogue.cited_by(each.entry for each in found)),
        }
        typer.echo(json.dumps(facts, indent=2))
        return
    words = language_of(lang)
    width = width_of_lines() if is_terminal() else None
    optional = () if columns else FIRST_TO_GO
    print_page(list_page(found, names, len(everything), words, width=width, optional=optional), words)
    for manifest, at in installed:
        typer.echo(_installed_line(manifest, at))
    if language and (more := names_more_languages(everything, language)):
        unlisted = ", ".join(entry.id for entry in more)
        note(f"{language} may be among the languages that the catalogue does not list of: {unlisted}")


def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `models pull` takes it.")],
    *,
    as_json: AsJson = False,
    lang: Lang = Tongue.EN,
) -> None:
    """Print all that is known of a model or adapter, each fact with its sources, and where its files lie."""
    from botbridge.cli.model_pages import show_page
    from botbridge.cli.model_words import language_of
    from botbridge.cli.tables import print_page
    from botbridge.errors import ModelNotFound
    from botbridge.models.catalogue import load_catalogue
    from botbridge.models.reports import entry_facts, source_facts
    from botbridge.models.store import ModelStore
    from botbridge.settings import load_settings

    home = load_settings().home
    catalogue, store = load_catalogue(home=home), ModelStore(home)
    named = catalogue.resolve(name)
    try:
        entry = catalogue.find(name)
    except ModelNotFound:
        entry = None
    files = _files(catalogue, store, name)
    facts: dict[str, Any] = {"model": named.model}
    if entry is not None:
        facts |= {"title": entry.title, "licence": entry.licence, "hub_id": entry.hub_id}
    facts |= files
    if entry is None:
        _print(facts, as_json=as_json)
        return
    (each,) = _listed((entry,), home, {named.model} if files["state"] == "ready" else set())
    sources = catalogue.cited_by((entry,))
    if as_json:
        typer.echo(json.dumps({**facts, "entry": entry_facts(each), "sources": source_facts(sources)}, indent=2))
        return
    words = language_of(lang)
    print_page(show_page(each, sources, {key: str(value) for key, value in files.items()}, words), words)


def search(
    *,
    task: Task = None,
    tag: Annotated[str | None, typer.Option(metavar="TAG", help="As gguf, ar or license:mit.")] = None,
    text: Text = "",
    max_params: MaxParams = None,
    sort: Annotated[SortFound, typer.Option(help="What comes first.")] = SortFound.DOWNLOADS,
    as_json: AsJson = False,
    lang: Lang = Tongue.EN,
) -> None:
    """Look for models on the hub; without a network in the catalogue, with the hub's address to open."""
    from botbridge.cli.model_pages import found_page
    from botbridge.cli.model_words import language_of
    from botbridge.cli.printing import note
    from botbridge.cli.tables import print_page
    from botbridge.errors import DownloadFailed
    from botbridge.models.catalogue import load_catalogue
    from botbridge.models.hub import Hub
    from botbridge.models.hub_search import HubQuery, Sort, address
    from botbridge.models.hub_search import search as search_hub
    from botbridge.models.reports import search_facts
    from botbridge.models.searching import search_catalogue
    from botbridge.settings import load_settings

    settings = load_settings()
    token = settings.hub.token
    query = HubQuery(task=task, tag=tag, text=text, max_b=_class_b(max_params), sort=Sort(sort))
    page = address(query, settings.hub.endpoint)
    why: str | None = None
    try:
        found = search_hub(query, Hub(settings.hub.endpoint, None if token is None else token.get_secret_value()))
    except DownloadFailed as error:
        why = str(error)
        found = search_catalogue(load_catalogue(home=settings.home).entries, query)
        note(f"{why}: the catalogue answers instead; open {page} to ask the hub")
    if as_json:
        by = "hub" if why is None else "catalogue"
        typer.echo(json.dumps(search_facts(found, by=by, address=page, why=why), indent=2))
        return
    words = language_of(lang)
    print_page(found_page(found, page, words), words)


def compare(
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Two or more of `models list`.")],
    *,
    plot: Plot = None,
    as_json: AsJson = False,
    lang: Lang = Tongue.EN,
) -> None:
    """Set models side by side: size, ability, memory, speed here, Arabic, strengths, weaknesses; with sources."""
    from botbridge.cli.compare_page import compare_page
    from botbridge.cli.model_words import language_of
    from botbridge.cli.tables import print_page, width_of_lines
    from botbridge.machine.charts import comparison_bars
    from botbridge.models.catalogue import load_catalogue
    from botbridge.models.comparing import compare as side_by_side
    from botbridge.models.reports import comparison_facts
    from botbridge.models.store import ModelStore
    from botbridge.settings import load_settings

    check_plot(plot, as_json=as_json)
    home = load_settings().home
    catalogue = load_catalogue(home=home)
    entries = tuple(dict.fromkeys(catalogue.find(name).id for name in models))
    if len(entries) < 2:  # noqa: PLR2004 - one model has nobody beside it
        raise typer.BadParameter("name two models or more; `botbridge models show` prints one")
    chosen = tuple(entry for model in entries if (entry := catalogue.entry(model)) is not None)
    listed = _listed(chosen, home, {manifest.model for manifest, _ in ModelStore(home).installed()})
    comparison = side_by_side(chosen)
    if as_json:
        typer.echo(json.dumps(comparison_facts(comparison, listed, catalogue), indent=2))
    else:
        words = language_of(lang)
        print_page(compare_page(listed, comparison, catalogue.cited_by(chosen), words, width_of_lines()), words)
    if plot is not None:
        speeds = [None if each.speed is None else each.speed.decode_tokens_s for each in listed]
        draw_plot(comparison_bars(comparison, speeds), plot)


def openness(model: Model, *, as_json: AsJson = False, lang: Lang = Tongue.EN) -> None:
    """Explain how open a model is: its four parts, what they allow, and retraining on regulated data."""
    from botbridge.cli.model_words import language_of
    from botbridge.cli.openness_page import openness_page
    from botbridge.cli.tables import print_page
    from botbridge.models.catalogue import load_catalogue
    from botbridge.models.reports import openness_facts
    from botbridge.settings import load_settings

    catalogue = load_catalogue(home=load_settings().home)
    entry = catalogue.find(model)
    sources = catalogue.cited_by((entry,))
    if as_json:
        typer.echo(json.dumps(openness_facts(entry, sources), indent=2))
        return
    words = language_of(lang)
    print_page(openness_page(entry, sources, words), words)


def add(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="TOML with [[source]] and [[model]] as the catalogue.")],
    *,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take the place of entries that you added before.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check a file of models and keep them beside botbridge's own; nothing is kept of a file that is wrong."""
    from botbridge.models.adding import add_models
    from botbridge.models.catalogue import load_catalogue
    from botbridge.models.catalogue_file import own_catalogue_path
    from botbridge.settings import load_settings

    home = load_settings().home
    added = add_models(file, home, load_catalogue(), replace=replace)
    kept_in = own_catalogue_path(home)
    if as_json:
        typer.echo(json.dumps({"added": added, "kept_in": str(kept_in)}))
        return
    for model in added:
        typer.echo(f"{model}: added; `botbridge models show {model}` prints it")
    typer.echo(f"kept in {kept_in}")


def base_facts(base: AdapterBase | None) -> dict[str, Any]:
    """Return what an adapter was made for; nothing for a model."""
    return {} if base is None else {"base": base.model, "base_revision": base.revision}


def _files(catalogue: Catalogue, store: ModelStore, name: str) -> dict[str, Any]:
    """Return the state of a model's files on this machine."""
    from botbridge.errors import ModelDamaged, ModelNotFound
    from botbridge.models.files import AdapterFiles

    try:
        files = store.find_any(catalogue.resolve(name))
    except ModelNotFound as error:
        return {"state": "missing", "detail": str(error)}
    except ModelDamaged as error:
        return {"state": "damaged", "detail": str(error)}
    facts = {"state": "ready", "revision": files.revision, "directory": str(files.directory)}
    return {**facts, **(base_facts(files.base) if isinstance(files, AdapterFiles) else {})}


def _listed(entries: Sequence[CatalogueEntry], home: Path, installed: set[str]) -> tuple[Listed, ...]:
    from botbridge.machine.speeds import measured_speed
    from botbridge.models.listing import Listed, names_of

    return tuple(Listed(entry, measured_speed(home, entry), bool(installed & {*names_of(entry)})) for entry in entries)


def _installed_facts(manifest: Manifest, at: Path) -> dict[str, Any]:
    return {
        "kind": manifest.kind,
        "model": manifest.model,
        "revision": manifest.revision,
        "bytes": manifest.size_bytes,
        "directory": str(at),
        **base_facts(manifest.base),
    }


def _installed_line(manifest: Manifest, at: Path) -> str:
    from botbridge.models.progress import megabytes

    base = "" if manifest.base is None else f"  adapter for {manifest.base.model}"
    return f"{manifest.model}{base}  revision {manifest.revision[:12]}, {megabytes(manifest.size_bytes)}, {at}"


def _level(chosen: OpenLevel | None) -> Level | None:
    from botbridge.models.facts import Level

    levels = {
        OpenLevel.FULL: Level.FULL,
        OpenLevel.WEIGHTS: Level.WEIGHTS,
        OpenLevel.ARCHITECTURE: Level.ARCHITECTURE,
    }
    return None if chosen is None else levels[chosen]


def _class_b(size: str | None) -> float | None:
    from botbridge.sizes import class_b

    try:
        return None if size is None else class_b(size)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _column(name: str) -> str:
    from botbridge.models.listing import COLUMNS

    column = name.strip().casefold()
    if column not in COLUMNS:
        raise typer.BadParameter(f"there is no column {column!r}: {', '.join(COLUMNS)}")
    return column


def _print(facts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for key, value in facts.items():
        typer.echo(f"{key}: {value}")
