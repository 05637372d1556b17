"""The page of `models licence`: what a licence says to one use, clause by clause, and whether it was accepted."""

from __future__ import annotations

from collections.abc import Iterator

from botbridge.cli.model_words import CLAUSES_DOMAIN, language_of, marked
from botbridge.cli.tongue import Tongue
from botbridge.conversation.texts import Language
from botbridge.logs import escape
from botbridge.models.acceptance import Acceptance
from botbridge.models.clearance import named_licence
from botbridge.models.facts import CatalogueEntry, Source
from botbridge.models.licence import Finding, State, Verdict
from botbridge.models.licences import Kind, Licences, Permission
from botbridge.models.names import HubSource, NamedModel


def licence_page(
    entry: CatalogueEntry, verdict: Verdict, licences: Licences, accepted: Acceptance | None, tongue: Tongue
) -> Iterator[str]:
    """Yield what was decided, line by line; names, numbers of clauses and what has to be shown stay as they are."""
    words, clauses = language_of(tongue), language_of(tongue, CLAUSES_DOMAIN)
    found = verdict.licence
    address = "" if found.url is None else f", {found.url}"
    yield f"{escape(entry.id)} ({escape(entry.hub_id)})"
    named = marked(escape(f"{named_licence(found)}{address}"), entry, "licence", words)
    yield words.say("licence: {licence}", licence=named)
    if "gated" in entry.not_verified:
        gate = words.say("yes") if entry.gated else words.say("no")
        yield words.say("gated: {gate}", gate=marked(gate, entry, "gated", words))
    yield words.say("use {use}: {permission}", use=verdict.use, permission=permission_word(verdict.permission, words))
    yield from (f"  {_finding(finding, words, clauses)}" for finding in verdict.findings)
    yield from (words.say("to show: {line}", line=escape(line)) for line in verdict.notice)
    if found.note is not None:
        yield words.say("note: {note}", note=escape(clauses.say(found.note)))
    if tongue is not Tongue.EN:
        yield words.say("translated by botbridge; what binds is the licence's own text")
    yield from (words.say("read in {source}", source=_source(licences.source(each), words)) for each in verdict.cited)
    yield from _acceptance(entry, verdict, accepted, words)


def unknown_page(named: NamedModel, endpoint: str, words: Language) -> str:
    """Say in one line that nobody here knows a model's licence, and where to read it."""
    model = escape(named.name)
    if isinstance(named.source, HubSource):
        address = escape(f"{endpoint}/{named.source.repo}")
        return words.say("{model}: licence unknown to botbridge; read {address}", model=model, address=address)
    return words.say("{model}: licence unknown to botbridge; read the one that its files came with", model=model)


def accepted_line(entry: CatalogueEntry, verdict: Verdict, path: str, words: Language) -> str:
    """Say what was accepted just now, and where that is kept."""
    count = len(verdict.findings)
    return words.say(
        "accepted: {licence} with {conditions}, for {model}, use {use}; kept in {path}",
        licence=named_licence(verdict.licence),
        conditions=words.say("one condition") if count == 1 else words.say("{number} conditions", number=count),
        model=entry.id,
        use=verdict.use,
        path=path,
    )


def permission_word(permission: Permission, words: Language) -> str:
    """Say what a licence says to a use."""
    match permission:
        case Permission.ALLOWED:
            return words.say("allowed")
        case Permission.CONDITIONAL:
            return words.say("conditional")
        case Permission.UNKNOWN:
            return words.say("unknown")
        case Permission.NOT_ALLOWED:
            return words.say("not allowed")


def kind_word(kind: Kind, words: Language) -> str:
    """Say what a condition is about."""
    kinds = {
        Kind.CONTROL: words.say("control"),
        Kind.DISCLOSURE: words.say("disclosure"),
        Kind.EXPORT: words.say("export"),
        Kind.FIELD_OF_USE: words.say("field of use"),
        Kind.LIABILITY: words.say("liability"),
        Kind.NAMING: words.say("naming"),
        Kind.NOTICE: words.say("notice"),
        Kind.REGISTRATION: words.say("registration"),
        Kind.RESEARCH_ONLY: words.say("research only"),
        Kind.REVENUE_CEILING: words.say("revenue ceiling"),
        Kind.SHARE_TERMS: words.say("share terms"),
        Kind.TERMINATION: words.say("termination"),
        Kind.TRADEMARK: words.say("trademark"),
        Kind.USER_CEILING: words.say("user ceiling"),
    }
    return kinds[kind]


def _finding(finding: Finding, words: Language, clauses: Language) -> str:
    asked = finding.condition
    match finding.state:
        case State.OPEN:
            head = words.say("{kind} ({clause})", kind=kind_word(asked.kind, words), clause=asked.clause)
        case State.MET:
            head = words.say("{kind} ({clause}), met", kind=kind_word(asked.kind, words), clause=asked.clause)
        case State.BROKEN:
            head = words.say("{kind} ({clause}), broken", kind=kind_word(asked.kind, words), clause=asked.clause)
    return words.say("{head}: {text} [{source}]", head=head, text=clauses.say(asked.sentence), source=asked.source)


def _source(source: Source, words: Language) -> str:
    parts = [f"{source.id}: {source.title}"]
    parts += [str(part) for part in (source.date, source.url) if part is not None]
    if source.third_party:
        parts.append(words.say("a copy, not the publisher's own page"))
    return ", ".join(parts)


def _acceptance(entry: CatalogueEntry, verdict: Verdict, accepted: Acceptance | None, words: Language) -> Iterator[str]:
    if accepted is not None and accepted.covers(verdict.licence, verdict.use):
        at, use = f"{accepted.accepted_at:%Y-%m-%d %H:%M}", accepted.use
        if accepted.accepted_by is None:
            yield words.say("accepted on {at} UTC for {use}", at=at, use=use)
        else:
            by = escape(accepted.accepted_by)
            yield words.say("accepted by {by} on {at} UTC for {use}", by=by, at=at, use=use)
    elif verdict.needs_acceptance and not verdict.broken:
        command = f"botbridge models licence {entry.id} --use {verdict.use} --accept"
        yield words.say("not accepted yet: {command}", command=command)
