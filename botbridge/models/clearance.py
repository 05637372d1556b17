"""The one place that lets a model be fetched or run, or refuses it for its licence.

Covered: every model of the catalogue, under its id, its hub id or the hub id of
one of its files, in any revision and quantization.

Not covered: a model that the catalogue does not know, and a directory or file
of the operator's own. Nobody knows their licence here; that is said, and they
are let through.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from botbridge.errors import ModelNotLicensed
from botbridge.models.acceptance import Acceptance, read_acceptance
from botbridge.models.catalogue import Catalogue
from botbridge.models.facts import CatalogueEntry
from botbridge.models.licence import Verdict, decide
from botbridge.models.licences import Condition, Licence, Licences, Permission, load_licences
from botbridge.models.names import HubSource, NamedModel
from botbridge.models.uses import Use
from botbridge.sentences import Sentence, clauses


@dataclass(frozen=True, slots=True)
class Clearance:
    """That a model may be used, and what goes with it.

    Attributes:
        is_known: The catalogue knows its licence.
        shown: Lines that the licence wants seen.
        notice: What a Notice file beside the weights has to say; None where none is asked for.
    """

    is_known: bool
    shown: tuple[str, ...] = ()
    notice: str | None = None


def clear(
    named: NamedModel, *, catalogue: Catalogue, home: Path, declared: Use | None, likely: Use = Use.PERSONAL
) -> Clearance:
    """Let a model be fetched or run.

    Args:
        named: The model.
        catalogue: Knows licences and gates.
        home: Where acceptances are kept.
        declared: What the operator says the model is for; None takes what was accepted.
        likely: What a refusal proposes to accept it for, where nothing was declared or accepted.

    Raises:
        ModelNotLicensed: Its licence forbids the use, or was not accepted for it.
    """
    entry = entry_of(catalogue, named)
    if entry is None:
        return Clearance(is_known=False)
    licences = load_licences()
    licence = licences.find(entry.licence)
    gate = licences.gate if entry.gated else None
    reason = refusal(entry, licence, gate, declared, read_acceptance(home, entry.id), likely=likely)
    if reason is not None:
        raise ModelNotLicensed(reason)
    return Clearance(is_known=True, shown=licence.shown, notice=licence.notice)


def permission(entry: CatalogueEntry, use: Use, licences: Licences) -> Permission:
    """Say what a model's licence, and the hub's gate before it, make of a use."""
    return decide(licences.find(entry.licence), use, gate=licences.gate if entry.gated else None).permission


def entry_of(catalogue: Catalogue, named: NamedModel) -> CatalogueEntry | None:
    """Return the catalogue's entry of a model, by whichever of its names it is called; None where there is none."""
    if (entry := catalogue.entry(named.model)) is not None:
        return entry
    called = _lowered(named.model, named.hub_id, _repository(named.source))
    own = (entry for entry in catalogue.entries if called & _own_names(entry))
    # A repository of quantized weights may have an entry of its own and be named by that of the model it was made of.
    of_files = (entry for entry in catalogue.entries if called & _lowered(*(file.hub_id for file in entry.files)))
    return next(own, None) or next(of_files, None)


def refusal(
    entry: CatalogueEntry,
    licence: Licence,
    gate: Condition | None,
    declared: Use | None,
    accepted: Acceptance | None,
    *,
    likely: Use = Use.PERSONAL,
) -> str | None:
    """Say why a model must not be used; None when it may be.

    Args:
        declared: What it is for; None takes what was accepted.
        accepted: What was accepted for it so far.
        likely: What is proposed to accept it for, where nothing was declared or accepted.
    """
    use = declared or (None if accepted is None else accepted.use)
    if use is not None and (verdict := decide(licence, use, gate=gate)).permission is Permission.NOT_ALLOWED:
        return forbidden(entry, verdict)
    if not (licence.needs_acceptance or gate is not None):
        return None
    command = f"botbridge models licence {entry.id} --use {use or likely} --accept"
    how = Sentence("read it, then accept it with: {command}", command=command)
    if licence.url is not None:
        how = Sentence("read it at {address}, then accept it with: {command}", address=licence.url, command=command)
    named = named_licence(licence)
    if accepted is None:
        reason = Sentence(
            "{model} is under the {licence}, which was not accepted here: {how}", model=entry.id, licence=named, how=how
        )
        others = Sentence("--use saas or embed, if others use it or get it")
        return clauses([reason, others]) if use is None and likely is Use.PERSONAL else reason
    if not accepted.is_of(licence):
        return Sentence(
            "the licence of {model} was accepted as {accepted} and is now the {licence}: {how}",
            model=entry.id,
            accepted=f"{accepted.licence} ({accepted.version})",
            licence=named,
            how=how,
        )
    if use is not None and not accepted.use.includes(use):
        return Sentence(
            "the {licence} of {model} was accepted for {use} alone: {how}",
            licence=named,
            model=entry.id,
            use=accepted.use,
            how=how,
        )
    return None


def forbidden(entry: CatalogueEntry, verdict: Verdict) -> str:
    """Say which clause forbids a use."""
    clause = verdict.broken[0]
    return Sentence(
        "{model} must not be used for {use}: {licence}, clause {clause}: {text}",
        model=entry.id,
        use=verdict.use,
        licence=named_licence(verdict.licence),
        clause=clause.clause,
        text=Sentence.of(clause.sentence),
    )


def named_licence(licence: Licence) -> str:
    """Return a licence's title with the version of its text."""
    return licence.title if licence.version in licence.title else f"{licence.title} ({licence.version})"


def unknown_licence(named: NamedModel, endpoint: str) -> str:
    """Say that nobody here knows a model's licence, and where to read it.

    >>> from botbridge.models.names import parse_name
    >>> unknown_licence(parse_name("org/name@v1"), "https://hub.example.org")
    'org/name@v1: licence unknown to botbridge; read https://hub.example.org/org/name'
    """
    if isinstance(named.source, HubSource):
        address = f"{endpoint}/{named.source.repo}"
        return Sentence("{model}: licence unknown to botbridge; read {address}", model=named.name, address=address)
    return Sentence("{model}: licence unknown to botbridge; read the one that its files came with", model=named.name)


def _own_names(entry: CatalogueEntry) -> set[str]:
    return _lowered(entry.id, entry.hub_id, _repository(entry.source))


def _repository(source: object) -> str | None:
    return source.repo if isinstance(source, HubSource) else None


def _lowered(*names: str | None) -> set[str]:
    """The hub takes a name in capitals and in small letters for the same."""
    return {name.lower() for name in names if name is not None}
