"""Which model for which need, on this machine: the catalogue ranked, with a reason for each place. Pure.

How models are ordered:
1. Where a use is asked for, what nobody could say of a licence stands last.
2. Those whose tasks name every need stand before those that only have a score for it.
3. Where one source measured several of them alike, by that score. No other
   source's scores are mixed in; they are shown, and said to be another's.
4. A model that this source did not measure is put among the others by the year
   of its release, and within a year by size: what is younger is better for its
   size, and what is larger is better than what is smaller.

A model that writes no conversation (sequence to sequence) is no match for anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from botbridge.models.facts import Arabic, CatalogueEntry, Kind, Task
from botbridge.models.fitting import Judgement, Verdict
from botbridge.models.licences import Permission
from botbridge.models.match_facts import (
    MOST_EXACT_FIRST,
    QUANTIZED,
    Answer,
    Match,
    Offer,
    Refusal,
    Room,
    Wish,
    Yardstick,
)
from botbridge.models.match_offers import offers, runtimes_of
from botbridge.models.match_scores import choose_yardstick, measured, needs_of, other_score
from botbridge.sizes import at_most_text, enough_text

ARABIC_CODE: Final = "ar"


def match(entries: Sequence[CatalogueEntry], wish: Wish) -> Answer:
    """Rank the models of a catalogue.

    Args:
        entries: The catalogue.
        wish: What is wanted, and what there is room for.
    """
    answer = _ranked(entries, wish)
    return answer if answer.matches else replace(answer, advice=tuple(_advice(entries, wish)))


@dataclass(frozen=True, slots=True)
class _Candidate:
    entry: CatalogueEntry
    offer: Offer


def _ranked(entries: Sequence[CatalogueEntry], wish: Wish) -> Answer:
    candidates, refusals = [], []
    for entry in entries:
        found = _look(entry, wish)
        if isinstance(found, _Candidate):
            candidates.append(found)
        else:
            refusals.append(Refusal(entry, found))
    yardstick = choose_yardstick([each.entry for each in candidates], wish.needs)
    percents = {} if yardstick is None else measured([each.entry for each in candidates], yardstick)
    needs_measured = () if yardstick is None else needs_of(yardstick)
    fit = []
    for each in candidates:
        shown = {*each.entry.tasks, *(needs_measured if each.entry.id in percents else ())}
        if missing := [need for need in wish.needs if need not in shown]:
            refusals.append(Refusal(each.entry, f"its tasks do not name {', '.join(missing)}"))
        else:
            fit.append(each)
    matches = [_match(each, wish, yardstick, percents) for each in _ordered(fit, wish, percents)]
    return Answer(
        tuple(matches), tuple(refusals), yardstick if any(each.percent is not None for each in matches) else None
    )


def _look(entry: CatalogueEntry, wish: Wish) -> _Candidate | str:
    """Return how a model would be run, or the first reason against it."""
    objection = _objection(entry, wish)
    if objection is not None:
        return objection
    ways = offers(entry, wish)
    if not ways:
        return _no_way(entry, wish)
    for offer in ways:
        if _lacking(offer, wish.room) is None:
            return _Candidate(entry, offer)
    return str(_lacking(min(ways, key=lambda offer: offer.need.least_bytes), wish.room))


def _objection(entry: CatalogueEntry, wish: Wish) -> str | None:
    """Return what speaks against a model on any machine."""
    if entry.kind is not Kind.CAUSAL:
        return "it turns one text into another and holds no conversation"
    if wish.most_billions is not None and entry.nominal_b > wish.most_billions:
        return f"it is a {entry.nominal_b:g}B, with {entry.parameters:,} parameters"
    if wish.use and wish.permit(entry) is Permission.NOT_ALLOWED:
        return f"its licence, {entry.licence}, does not allow {wish.use}"
    if Task.ARABIC in wish.needs and entry.arabic not in {Arabic.FIRST, Arabic.LISTED}:
        return "its publisher does not name Arabic"
    if missing := [code for code in wish.languages if not _knows(entry, code)]:
        return f"its publisher does not name {', '.join(missing)}, as far as the catalogue has the list"
    count = _language_count(entry)
    if count < wish.language_count:
        return f"languages that its publisher names: {count}"
    return None


def _knows(entry: CatalogueEntry, code: str) -> bool:
    return code in entry.languages or (code == ARABIC_CODE and entry.arabic in {Arabic.FIRST, Arabic.LISTED})


def _language_count(entry: CatalogueEntry) -> int:
    return entry.language_count or len(entry.languages)


def _no_way(entry: CatalogueEntry, wish: Wish) -> str:
    able = runtimes_of(entry)
    if wish.runtime is not None and wish.runtime not in able:
        return f"{wish.runtime} does not compute {entry.architecture}"
    return f"{' and '.join(able) or 'nothing here'} cannot have it as {' or '.join(sorted(wish.forms))}"


def _lacking(offer: Offer, room: Room) -> str | None:
    """Return what a machine lacks for an offer; a cache of unknown size speaks against none."""
    judgement = Judgement(offer.need, room.memory_bytes)
    if judgement.verdict is Verdict.DOES_NOT_FIT:
        return f"as {offer.form} on {offer.runtime} it {judgement}: {enough_text(judgement.short_bytes)} more"
    if room.disk_bytes is not None and offer.disk_bytes is not None and offer.disk_bytes > room.disk_bytes:
        lacking = enough_text(offer.disk_bytes - room.disk_bytes)
        needs, has = enough_text(offer.disk_bytes), at_most_text(room.disk_bytes)
        return f"as {offer.form} it does not fit on the disk: needs {needs}, has {has}: {lacking} more"
    return None


def _ordered(fit: Sequence[_Candidate], wish: Wish, percents: Mapping[str, float]) -> list[_Candidate]:
    def rung(each: _Candidate) -> tuple[bool, int]:
        is_undecided = bool(wish.use) and wish.permit(each.entry) is Permission.UNKNOWN
        return is_undecided, -sum(need in each.entry.tasks for need in wish.needs)

    ordered = []
    for wanted in sorted({rung(each) for each in fit}):
        alike = [each for each in fit if rung(each) == wanted]
        measured_here = [each for each in alike if each.entry.id in percents]
        compared = sorted(measured_here, key=lambda each: -percents[each.entry.id])
        others = sorted((each for each in alike if each.entry.id not in percents), key=_youth, reverse=True)
        ordered += _merged(compared, others)
    return ordered


def _youth(each: _Candidate) -> tuple[str, int]:
    """Rank what nobody compared: the year of its release, then its size; a year that is not known is the oldest."""
    return (each.entry.released or "")[:4], each.entry.parameters


def _merged(compared: list[_Candidate], others: list[_Candidate]) -> list[_Candidate]:
    """Put two lists together without changing the order of either."""
    merged = []
    while compared and others:
        merged.append((compared if _youth(compared[0]) >= _youth(others[0]) else others).pop(0))
    return [*merged, *compared, *others]


def _match(each: _Candidate, wish: Wish, yardstick: Yardstick | None, percents: Mapping[str, float]) -> Match:
    entry, offer = each.entry, each.offer
    permit = wish.permit(entry) if wish.use else None
    reasons = [
        *_need_reasons(entry, wish.needs, yardstick, percents),
        *_language_reasons(entry, wish),
        f"{entry.parameters:,} parameters, a {entry.nominal_b:g}B",
        *_size_reasons(each, wish),
        *([] if permit is None else [f"licence {entry.licence}: {permit} for {wish.use}"]),
        *(["gated: accept its terms on the hub first"] if entry.gated else []),
    ]
    return Match(entry, offer, percents.get(entry.id), permit, tuple(reasons))


def _need_reasons(
    entry: CatalogueEntry, needs: Sequence[Task], yardstick: Yardstick | None, percents: Mapping[str, float]
) -> list[str]:
    named = [need for need in needs if need in entry.tasks]
    reasons = [f"{', '.join(named)}: among its tasks"] if named else []
    if yardstick is not None and entry.id in percents:
        place = sorted(percents.values(), reverse=True).index(percents[entry.id]) + 1
        return [*reasons, f"{percents[entry.id]:.1f} % by {yardstick}, place {place} of {len(percents)} compared there"]
    for need in needs:
        score = other_score(entry, need)
        if score is not None:
            whose = f", {score.of}" if score.of else ""
            reasons.append(
                f"{score.benchmark} {score.percent:g} % by {score.source}{whose}: another source, not compared"
            )
    return reasons


def _language_reasons(entry: CatalogueEntry, wish: Wish) -> list[str]:
    if not (wish.languages or wish.language_count or {Task.MULTILINGUAL, Task.ARABIC} & set(wish.needs)):
        return []
    return [f"languages: {_language_count(entry) or 'not counted'}"]


def _size_reasons(each: _Candidate, wish: Wish) -> Iterator[str]:
    """Say whether it fits, what that is made of, and where to get it if nobody is known to offer it so."""
    offer, has_bytes = each.offer, wish.room.memory_bytes
    known = "" if offer.footprint.measured else "; the size of the weights is computed"
    yield f"{offer.form} on {offer.runtime}: {Judgement(offer.need, has_bytes)}"
    yield f"{offer.need}{known}"
    if offer.is_offered:
        return
    yield f"nobody is known to offer it as {offer.form}: it has to be found first"
    every_form = replace(wish, forms=frozenset(MOST_EXACT_FIRST), runtime=None)
    for other in offers(each.entry, every_form):
        if other.is_offered:
            yield f"{other.command} brings {other.form}, on {other.runtime}: {Judgement(other.need, has_bytes)}"
            return


def _advice(entries: Sequence[CatalogueEntry], wish: Wish) -> Iterator[str]:
    """Say what would help where nothing fits: another form, more memory or disk, less of the wish."""
    if quantized := _ranked(entries, replace(wish, forms=wish.forms | QUANTIZED)).matches:
        offer = quantized[0].offer
        found = "" if offer.is_offered else ", if somebody offers that"
        yield f"{quantized[0].entry.id} would fit as {offer.form}{found}"
    wanted = _ranked(entries, replace(wish, room=Room())).matches
    if wanted:
        yield f"of what you want the smallest is {_smallest(wanted, wish)}"
    else:
        yield "no model of the catalogue is all that: ask for less, or look on the hub: botbridge models search"
    if held := _ranked(entries, replace(wish, needs=(), languages=(), language_count=0)).matches:
        yield f"this machine holds {held[0].entry.id}, which is not known for what you need"
    elif not wanted and (anything := _ranked(entries, Wish(holding=wish.holding)).matches):
        yield f"of all models the smallest is {_smallest(anything, Wish(holding=wish.holding, room=wish.room))}"


def _smallest(matches: Sequence[Match], wish: Wish) -> str:
    """Name the model that takes the least memory in any form that will do, with what is lacking for it."""
    ways = [(offer, each.entry) for each in matches for offer in offers(each.entry, wish)]
    offer, entry = min(ways, key=lambda way: way[0].need.least_bytes)
    return f"{entry.id}: {_lacking(offer, wish.room) or 'it fits'}"
