"""`botbridge models licence`: may a model be used for this, what does that ask, and was it accepted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from botbridge.cli.tongue import Lang, Tongue
from botbridge.models.uses import Use

if TYPE_CHECKING:
    from pathlib import Path

    from botbridge.models.acceptance import Acceptance
    from botbridge.models.facts import CatalogueEntry
    from botbridge.models.licence import Finding, Verdict
    from botbridge.models.licences import Licences
    from botbridge.models.names import NamedModel

USE_VARIABLE = "BOTBRIDGE_LICENCE__USE"
LONGEST_NAME = 200


def licence(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Id of `models list`, or ORG/NAME of the hub.")],
    *,
    use: Annotated[
        Use | None,
        typer.Option(help=f"You alone; others write to the bot; its weights go to others. Else {USE_VARIABLE}."),
    ] = None,
    monthly_users: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="People a month, of all products of your company.")
    ] = None,
    annual_revenue_usd: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="US dollars a year, of your whole group of companies.")
    ] = None,
    accept: Annotated[bool, typer.Option("--accept", help="Accept the licence for this use.")] = False,
    by: Annotated[str | None, typer.Option(metavar="NAME", help="With --accept: who accepts.")] = None,
    lang: Lang = Tongue.EN,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print whether a licence allows a use, with each condition's clause and source; record that you accept it.

    This is what people who are no lawyers read in the licence, and no legal advice.
    """
    from botbridge.cli.licence_page import licence_page, unknown_page
    from botbridge.cli.model_words import language_of
    from botbridge.cli.printing import note
    from botbridge.cli.tables import print_page
    from botbridge.errors import ModelNotLicensed
    from botbridge.models.acceptance import read_acceptance
    from botbridge.models.catalogue import load_catalogue
    from botbridge.models.clearance import entry_of, forbidden, unknown_licence
    from botbridge.models.licence import decide
    from botbridge.models.licences import Permission, load_licences
    from botbridge.sentences import Sentence
    from botbridge.settings import load_settings

    settings = load_settings()
    catalogue = load_catalogue(home=settings.home)
    named = catalogue.resolve(model)
    if (wanted := use or settings.licence.use) is None:
        raise typer.BadParameter(f"say what for: --use personal, saas or embed, or set {USE_VARIABLE}")
    if by is not None and not (accept and 0 < len(by) <= LONGEST_NAME):
        raise typer.BadParameter(f"--by names who accepts, in up to {LONGEST_NAME} characters, beside --accept")
    entry = entry_of(catalogue, named)
    if entry is None:
        unknown = unknown_licence(named, settings.hub.endpoint)
        if accept:
            raise ModelNotLicensed(unknown, Sentence("there is nothing to accept here, and it is run without"))
        if as_json:
            typer.echo(json.dumps(_nothing(named, wanted, unknown), indent=2))
        else:
            print_page((unknown_page(named, settings.hub.endpoint, language_of(lang)),), language_of(lang))
        return
    licences = load_licences()
    verdict = decide(
        licences.find(entry.licence),
        wanted,
        gate=licences.gate if entry.gated else None,
        monthly_users=monthly_users,
        annual_revenue_usd=annual_revenue_usd,
    )
    is_allowed = verdict.permission is not Permission.NOT_ALLOWED
    done = [_accept(settings.home, entry, verdict, by, lang)] if accept and is_allowed else []
    accepted = read_acceptance(settings.home, entry.id)
    if as_json:
        for line in done:
            note(line)
        typer.echo(json.dumps(_facts(entry, verdict, licences, accepted), indent=2))
    else:
        print_page((*done, *licence_page(entry, verdict, licences, accepted, lang)), language_of(lang))
    if accept and not is_allowed:
        raise ModelNotLicensed(Sentence("not accepted: {reason}", reason=forbidden(entry, verdict)))


def _accept(home: Path, entry: CatalogueEntry, verdict: Verdict, by: str | None, lang: Tongue) -> str:
    """Keep that a licence was accepted, and return what says so."""
    from datetime import UTC, datetime

    from botbridge.cli.licence_page import accepted_line
    from botbridge.cli.model_words import language_of
    from botbridge.models.acceptance import Acceptance, write_acceptance

    found = verdict.licence
    accepted = Acceptance(entry.id, found.id, found.version, verdict.use, datetime.now(UTC), by)
    path = write_acceptance(home, accepted)
    return accepted_line(entry, verdict, str(path), language_of(lang))


def _facts(entry: CatalogueEntry, verdict: Verdict, licences: Licences, accepted: Acceptance | None) -> dict[str, Any]:
    """What was decided, as JSON values."""
    found = verdict.licence
    return {
        "model": entry.id,
        "hub_id": entry.hub_id,
        "gated": entry.gated,
        "not_verified": [name for name in entry.not_verified if name in {"gated", "licence"}],
        "licence": {"id": found.id, "title": found.title, "version": found.version, "url": found.url},
        "use": verdict.use,
        "permission": verdict.permission,
        "conditions": [_condition(finding) for finding in verdict.findings],
        "notice": list(verdict.notice),
        "note": found.note,
        "needs_acceptance": verdict.needs_acceptance,
        "accepted": accepted is not None and accepted.covers(found, verdict.use),
        "acceptance": None if accepted is None else accepted.as_json(),
        "sources": [licences.source(each).model_dump(mode="json") for each in verdict.cited],
    }


def _condition(finding: Finding) -> dict[str, Any]:
    asked = finding.condition
    return {
        "kind": asked.kind,
        "clause": asked.clause,
        "sentence": asked.sentence,
        "state": finding.state,
        "ceiling": asked.ceiling,
        "source": asked.source,
    }


def _nothing(named: NamedModel, use: Use, unknown: str) -> dict[str, Any]:
    """What is known of a model outside the catalogue, in the same form."""
    return {
        "model": named.model,
        "hub_id": named.hub_id,
        "gated": None,
        "not_verified": [],
        "licence": None,
        "use": use,
        "permission": "unknown",
        "conditions": [],
        "notice": [],
        "note": unknown,
        "needs_acceptance": False,
        "accepted": False,
        "acceptance": None,
        "sources": [],
    }
