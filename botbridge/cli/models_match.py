"""`botbridge models match`: which model for which need, on this machine."""

from __future__ import annotations

import json
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar

import typer

from botbridge.cli.tongue import Lang, Tongue
from botbridge.models.uses import Use

if TYPE_CHECKING:
    from collections.abc import Callable

    from botbridge.models.catalogue import Catalogue
    from botbridge.models.match_facts import Answer, Match, Wish

SHOWN: Final = 10

T = TypeVar("T")


class Need(StrEnum):
    """What can be asked for; `Task` without what is no conversation, and without pydantic."""

    LOGIC = "logic"
    MATHS = "maths"
    MULTILINGUAL = "multilingual"
    ARABIC = "arabic"
    CODE = "code"
    CHAT = "chat"


Runtime = Literal["llama.cpp", "openvino", "transformers"]


def match(
    *,
    need: Annotated[list[Need] | None, typer.Option(help="May be given again; the most important first.")] = None,
    languages: Annotated[
        str | None, typer.Option(metavar="N|CODES", help="At least so many languages, or these: ar,en.")
    ] = None,
    use: Annotated[Use | None, typer.Option(help="What the licence has to allow.")] = None,
    max_params: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Largest class: 7B takes a model of 7.24 B.")
    ] = None,
    quantization: Annotated[
        str | None, typer.Option(metavar="FORM", help="4-bit, 8-bit, INT8, 16-bit, or one such as Q4_K_M.")
    ] = None,
    quantized: Annotated[bool, typer.Option("--quantized", help="Forms of 4 to 8 bits a weight alone.")] = False,
    cpu: Annotated[bool, typer.Option("--cpu", help="Without a GPU: the default.")] = False,
    low_end: Annotated[bool, typer.Option("--low-end", help="For a laptop of 8 GB and one person at a time.")] = False,
    runtime: Annotated[Runtime | None, typer.Option(help="What has to compute it.")] = None,
    top: Annotated[int, typer.Option(min=1, help="So many are shown; --json has all.")] = SHOWN,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    lang: Lang = Tongue.EN,
) -> None:
    """Rank the catalogue's models by what is needed and by what this machine holds; exit 1 when none fits."""
    from botbridge.cli.match_page import match_page
    from botbridge.cli.model_words import language_of
    from botbridge.cli.printing import note, prepare
    from botbridge.cli.tables import is_terminal, width_of_lines
    from botbridge.engine_at_hand import NO_CUDA, computes_on_cuda, engines_for, holding_of, room_of
    from botbridge.inference.choice import CUDA, installed_engines
    from botbridge.machine.probe import LocalProbe
    from botbridge.models import match_facts, runtimes
    from botbridge.models.catalogue import load_catalogue
    from botbridge.models.clearance import permission
    from botbridge.models.facts import Task
    from botbridge.models.licences import load_licences
    from botbridge.models.match import match as rank
    from botbridge.models.store import ModelStore
    from botbridge.sentences import said
    from botbridge.sizes import class_b

    del cpu  # said for clearness' sake
    settings = prepare(quiet=True)
    catalogue = load_catalogue(home=settings.home)
    machine = LocalProbe().look(settings.home)
    holding = holding_of(settings, machine)
    if settings.inference.device == CUDA and not computes_on_cuda(machine):
        note(said(NO_CUDA, language_of(lang)))
    any_form = match_facts.QUANTIZED if quantized else frozenset(match_facts.MOST_EXACT_FIRST)
    count, codes = _read(match_facts.languages_wanted, languages) or (0, ())
    wish = match_facts.Wish(
        needs=tuple(map(Task, need or ())),
        languages=codes,
        language_count=count,
        most_billions=_read(class_b, max_params),
        forms=_read(match_facts.forms_called, quantization) or any_form,
        runtime=None if runtime is None else runtimes.Runtime(runtime),
        use=use or "",
        permit=partial(permission, use=use or Use.PERSONAL, licences=load_licences()),
        holding=match_facts.low_end(holding) if low_end else holding,
        room=match_facts.LOW_END if low_end else room_of(machine),
        engines_for=partial(engines_for, settings, catalogue),
        engines_here=installed_engines(),
        installed=frozenset(manifest.model for manifest, _ in ModelStore(settings.home).installed()),
    )
    answer = rank(catalogue.entries, wish)
    if as_json:
        typer.echo(json.dumps(facts_of(answer, wish, catalogue), indent=2))
    else:
        width = width_of_lines() if is_terminal() else None
        typer.echo("\n".join(match_page(answer, top, catalogue, language_of(lang), width)))
    raise typer.Exit(0 if answer.matches else 1)


def facts_of(answer: Answer, wish: Wish, catalogue: Catalogue) -> dict[str, Any]:
    """Return what `--json` prints; docs/schemas/match.json says what each part means."""
    yardstick = answer.yardstick
    return {
        "needs": list(wish.needs),
        "use": wish.use or None,
        "room": {"memory_bytes": wish.room.memory_bytes, "disk_bytes": wish.room.disk_bytes},
        "load": {"conversations": wish.holding.conversations, "kept_bytes": wish.holding.kept_bytes},
        "compared_by": None
        if yardstick is None
        else {
            "source": yardstick.source,
            "title": _title(yardstick.source, catalogue),
            "benchmarks": [{"benchmark": name, "shots": shots} for name, shots in yardstick.benchmarks],
        },
        "matches": [_match_facts(place, found) for place, found in enumerate(answer.matches, start=1)],
        "left_out": [{"model": each.entry.id, "reason": each.reason} for each in answer.refusals],
        "advice": list(answer.advice),
    }


def _match_facts(place: int, found: Match) -> dict[str, Any]:
    entry, offer = found.entry, found.offer
    return {
        "rank": place,
        "model": entry.id,
        "title": entry.title,
        "hub_id": entry.hub_id,
        "parameters": entry.parameters,
        "parameters_are_round": entry.parameters_are_round,
        "nominal_b": entry.nominal_b,
        "licence": entry.licence,
        "permit": found.permit,
        "gated": entry.gated,
        "not_verified": list(entry.not_verified),
        "form": offer.form,
        "runtime": offer.runtime,
        "file": None if offer.file is None else {"hub_id": offer.file.hub_id, "format": offer.file.format},
        "weights_bytes": offer.footprint.weights_bytes,
        "cache_bytes": offer.need.cache_bytes,
        "memory_bytes": offer.need.needed_bytes,
        "least_memory_bytes": offer.need.least_bytes,
        "memory_verdict": found.verdict,
        "disk_bytes": offer.disk_bytes,
        "offered": offer.is_offered,
        "percent": found.percent,
        "reasons": list(found.reasons),
        "command": offer.command,
    }


def _read(reader: Callable[[str], T], text: str | None) -> T | None:
    """Read what was typed; None where nothing was.

    Raises:
        BadParameter: It cannot be understood.
    """
    if text is None:
        return None
    try:
        return reader(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _title(source_id: str, catalogue: Catalogue) -> str:
    return next(source.title for source in catalogue.sources if source.id == source_id)
