"""`botbridge models`: fetch models and check their files; what is known of them prints `models_catalogue`."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from botbridge.cli.models_catalogue import add, base_facts, compare, list_models, openness, search, show
from botbridge.cli.models_licence import licence
from botbridge.cli.models_match import match

if TYPE_CHECKING:
    from botbridge.models.catalogue import Catalogue
    from botbridge.models.store import ModelStore

models_app = typer.Typer(help="Models and adapters: choose, fetch, list, show, verify.", no_args_is_help=True)
models_app.command(name="list")(list_models)
models_app.command()(show)
models_app.command()(search)
models_app.command()(compare)
models_app.command()(openness)
models_app.command()(licence)
models_app.command()(match)
models_app.command()(add)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="Id of `models list`, ORG/NAME[@REVISION] of the hub, ORG/NAME:QUANTIZATION for one of its GGUF files, "
        "or the path of a directory or a GGUF file.",
    ),
]


@models_app.command()
def pull(
    name: Name,
    *,
    as_json: AsJson = False,
    with_parent: Annotated[
        bool, typer.Option("--die-with-parent", hidden=True, help="End when standard input does.")
    ] = False,
) -> None:
    """Fetch a model or a LoRA adapter, check it and make it ready; an interrupted pull goes on where it was."""
    from botbridge.errors import ModelError
    from botbridge.models.adapters import unused_note
    from botbridge.models.catalogue import load_catalogue
    from botbridge.models.child import die_with_parent
    from botbridge.models.clearance import clear, unknown_licence
    from botbridge.models.files import AdapterFiles
    from botbridge.models.hub import Hub
    from botbridge.models.names import DirectorySource
    from botbridge.models.progress import progress_on
    from botbridge.models.pull import pull as pull_model
    from botbridge.models.store import ModelStore
    from botbridge.settings import load_settings

    if with_parent:
        die_with_parent()
    settings = load_settings()
    token = settings.hub.token
    hub = Hub(settings.hub.endpoint, None if token is None else token.get_secret_value())
    progress = progress_on(sys.stderr)
    try:
        catalogue = load_catalogue(home=settings.home)
        named = catalogue.resolve(name)
        cleared = clear(
            named, catalogue=catalogue, home=settings.home, declared=settings.licence.use, likely=settings.likely_use
        )
        store = ModelStore(settings.home)
        files = pull_model(named, store, hub, progress, notice=cleared.notice)
    except ModelError as error:
        if not as_json:
            raise
        typer.echo(json.dumps({"error": type(error).__name__, "message": str(error)}))
        raise typer.Exit(1) from error
    if not cleared.is_known:
        progress.say(unknown_licence(named, hub.endpoint))
    facts: dict[str, Any] = {"revision": files.revision, "directory": str(files.directory)}
    if isinstance(files, AdapterFiles):
        models = _models_at_hand(catalogue, store, settings.inference.model)
        if (note := unused_note(files.adapter, files.base, models)) is not None:
            progress.say(note)
        if isinstance(named.source, DirectorySource):
            progress.say(f"note: {name} is a directory of your own; only adapters pulled from a hub are loaded")
        facts = {"adapter": files.adapter, **facts, **base_facts(files.base)}
    else:
        facts = {"model": files.model, **facts}
    _print(facts, as_json=as_json)


def _models_at_hand(catalogue: Catalogue, store: ModelStore, chosen: str) -> list[tuple[str, str, str | None]]:
    """Return name, revision and hub id of the models that are here, and of the chosen one, as far as they are known."""
    from botbridge.errors import ModelDamaged, ModelNotFound

    models = []
    with contextlib.suppress(ModelNotFound):
        named = catalogue.resolve(chosen)
        models.append((named.model, named.pinned_revision or "", named.hub_id))
    with contextlib.suppress(ModelDamaged):
        for manifest, _ in store.installed():
            if manifest.base is None:
                entry = catalogue.entry(manifest.model)
                models.append((manifest.model, manifest.revision, None if entry is None else entry.hub_id))
    return models


@models_app.command()
def verify(name: Annotated[str | None, typer.Argument(metavar="[NAME]")] = None, *, as_json: AsJson = False) -> None:
    """Hash every file of one model, or of all; exit 1 and name the file when one differs."""
    from botbridge.models.catalogue import load_catalogue
    from botbridge.models.store import ModelStore
    from botbridge.settings import load_settings

    home = load_settings().home
    store = ModelStore(home)
    if name is not None:
        named = load_catalogue(home=home).resolve(name)
        files = store.find_any(named, thorough=True)
        _print({"model": named.model, "revision": files.revision, "state": "intact"}, as_json=as_json)
        return
    reports = [
        {"model": manifest.model, "revision": manifest.revision, "state": "intact" if damage is None else damage}
        for manifest, damage in store.verify_all()
    ]
    if as_json:
        typer.echo(json.dumps(reports, indent=2))
    else:
        for report in reports:
            typer.echo(f"{report['model']}  revision {report['revision'][:12]}  {report['state']}")
    if any(report["state"] != "intact" for report in reports):
        raise typer.Exit(1)


def _print(facts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for key, value in facts.items():
        typer.echo(f"{key}: {value}")
