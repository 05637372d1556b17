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

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Final

from botbridge.models.facts import Arabic, CatalogueEntry, Kind, Task
from botbridge.models.fitting import DATABASE_BYTES, Judgement, Verdict
from botbridge.models.licences import Permission
from botbridge.models.match_facts import (
    MOST_EXACT_FIRST,
    PERMISSION_WORDS,
    QUANTIZED,
    TASK_WORDS,
    Answer,
    Match,
    Offer,
    Refusal,
    Room,
    Wish,
    Yardstick,
    without_preference,
)
from botbridge.models.match_offers import offers
from botbridge.models.match_scores import choose_yardstick, measured, needs_of, other_score
from botbridge.models.runtimes import runtimes_of
from botbridge.sentences import Sentence, clauses, either, listed
from botbridge.sizes import at_most_text, enough_text

ARABIC_CODE: Final = "ar"

REMEDY: Final = Sentence(
    "{settings} leave the choice to botbridge",
    settings="BOTBRIDGE_INFERENCE__ENGINE=auto, BOTBRIDGE_INFERENCE__DEVICE=auto",
)
"""What lets every engine compute; the settings exclude by nothing else."""


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
    known = _known_for(entries, wish)
    for entry in entries:
        found = _look(entry, wish)
        if isinstance(found, _Candidate):
            candidates.append(found)
        else:
            refusals.append(Refusal(entry, found))
    yardstick = choose_yardstick([each.entry for each in candidates], wish.needs)
    percents = {} if yardstick is None else measured([each.entry for each in candidates], yardstick)
    fit = []
    for each in candidates:
        if missing := [need for need in wish.needs if need not in known[each.entry.id]]:
            refusals.append(Refusal(each.entry, Sentence("its tasks do not name {tasks}", tasks=_tasks(missing))))
        else:
            fit.append(each)
    matches = [_match(each, wish, yardstick, percents) for each in _ordered(fit, wish, percents)]
    return Answer(
        tuple(matches), tuple(refusals), yardstick if any(each.percent is not None for each in matches) else None
    )


def _known_for(entries: Sequence[CatalogueEntry], wish: Wish) -> Mapping[str, AbstractSet[Task]]:
    """Return what each model is known for: by its tasks, or because one source measured it beside others.

    On no machine is a model known for more or for less than on another.
    """
    able = [entry for entry in entries if _objection(entry, wish) is None]
    yardstick = choose_yardstick(able, wish.needs)
    if yardstick is None:
        return {entry.id: {*entry.tasks} for entry in able}
    percents, needs = measured(able, yardstick), needs_of(yardstick)
    return {entry.id: {*entry.tasks, *(needs if entry.id in percents else ())} for entry in able}


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
    lacking = _lacking(min(ways, key=lambda offer: offer.need.least_bytes), wish.room)
    assert lacking is not None, "else it had been taken"
    return lacking


def _objection(entry: CatalogueEntry, wish: Wish) -> str | None:
    """Return what speaks against a model on any machine."""
    if entry.kind is not Kind.CAUSAL:
        return Sentence("it turns one text into another and holds no conversation")
    if wish.most_billions is not None and entry.nominal_b > wish.most_billions:
        return Sentence("it is a {size}, with {count} parameters", size=f"{entry.nominal_b:g}B", count=_count(entry))
    if wish.use and wish.permit(entry) is Permission.NOT_ALLOWED:
        return Sentence("its licence, {licence}, does not allow {use}", licence=entry.licence, use=wish.use)
    if Task.ARABIC in wish.needs and entry.arabic not in {Arabic.FIRST, Arabic.LISTED}:
        return Sentence("its publisher does not name Arabic")
    if missing := [code for code in wish.languages if not _knows(entry, code)]:
        return Sentence(
            "its publisher does not name {codes}, as far as the catalogue has the list", codes=", ".join(missing)
        )
    count = _language_count(entry)
    if count < wish.language_count:
        return Sentence("languages that its publisher names: {count}", count=count)
    return None


def _count(entry: CatalogueEntry) -> str:
    """Return how many parameters a model has, as exactly as that is known."""
    exact = f"{entry.parameters:,}"
    return Sentence("about {count}", count=exact) if entry.parameters_are_round else exact


def _tasks(tasks: Iterable[Task]) -> str:
    return listed(TASK_WORDS[task] for task in tasks)


def _knows(entry: CatalogueEntry, code: str) -> bool:
    return code in entry.languages or (code == ARABIC_CODE and entry.arabic in {Arabic.FIRST, Arabic.LISTED})


def _language_count(entry: CatalogueEntry) -> int:
    return entry.language_count or len(entry.languages)


def _no_way(entry: CatalogueEntry, wish: Wish) -> str:
    able = runtimes_of(entry)
    if wish.runtime is not None and wish.runtime not in able:
        return Sentence(
            "{runtime} does not compute {architecture}", runtime=wish.runtime, architecture=entry.architecture
        )
    forms = either(sorted(wish.forms))
    if excluded := offers(entry, replace(wish, engines_for=without_preference)):
        runtimes = listed(dict.fromkeys(offer.runtime for offer in excluded))
        return Sentence("the settings keep {runtimes} from computing it; {remedy}", runtimes=runtimes, remedy=REMEDY)
    if not able:
        return Sentence("nothing here can have it as {forms}", forms=forms)
    return Sentence("{runtimes} cannot have it as {forms}", runtimes=listed(able), forms=forms)


def _lacking(offer: Offer, room: Room) -> str | None:
    """Return what a machine lacks for an offer; a cache of unknown size speaks against none."""
    judgement = Judgement(offer.need, room.memory_bytes)
    if judgement.verdict is Verdict.DOES_NOT_FIT:
        return Sentence(
            "as {form} on {runtime} it {judgement}: {lacking} more",
            form=offer.form,
            runtime=offer.runtime,
            judgement=judgement.sentence,
            lacking=enough_text(judgement.short_bytes),
        )
    disk_bytes = None if offer.disk_bytes is None else offer.disk_bytes + DATABASE_BYTES
    if room.disk_bytes is not None and disk_bytes is not None and disk_bytes > room.disk_bytes:
        return Sentence(
            "as {form} it does not fit on the disk: needs {needs}, has {has}: {lacking} more",
            form=offer.form,
            needs=enough_text(disk_bytes),
            has=at_most_text(room.disk_bytes),
            lacking=enough_text(disk_bytes - room.disk_bytes),
        )
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
        Sentence("{count} parameters, a {size}", count=_count(entry), size=f"{entry.nominal_b:g}B"),
        *_size_reasons(each, wish),
        *([] if permit is None else [_licence_reason(entry, permit, wish.use)]),
        *([Sentence("gated: accept its terms on the hub first")] if entry.gated else []),
    ]
    verdict = Judgement(offer.need, wish.room.memory_bytes).verdict
    return Match(entry, offer, verdict, percents.get(entry.id), permit, tuple(reasons))


def _need_reasons(
    entry: CatalogueEntry, needs: Sequence[Task], yardstick: Yardstick | None, percents: Mapping[str, float]
) -> list[str]:
    named = [need for need in needs if need in entry.tasks]
    reasons: list[str] = [Sentence("{tasks}: among its tasks", tasks=_tasks(named))] if named else []
    if yardstick is not None and entry.id in percents:
        compared = Sentence(
            "{percent} % by {yardstick}, place {place} of {count} compared there",
            percent=f"{percents[entry.id]:.1f}",
            yardstick=yardstick.sentence,
            place=sorted(percents.values(), reverse=True).index(percents[entry.id]) + 1,
            count=len(percents),
        )
        return [*reasons, compared]
    for need in needs:
        score = other_score(entry, need)
        if score is not None:
            reasons.append(
                Sentence(
                    "{benchmark} {percent} % by {source}: another source, not compared",
                    benchmark=score.benchmark,
                    percent=f"{score.percent:g}",
                    source=f"{score.source}, {score.of}" if score.of else score.source,
                )
            )
    return reasons


def _language_reasons(entry: CatalogueEntry, wish: Wish) -> list[str]:
    if not (wish.languages or wish.language_count or {Task.MULTILINGUAL, Task.ARABIC} & set(wish.needs)):
        return []
    count = _language_count(entry)
    return [Sentence("languages: {count}", count=count) if count else Sentence("languages: not counted")]


def _licence_reason(entry: CatalogueEntry, permit: Permission, use: str) -> str:
    return Sentence(
        "licence {licence}: {permission} for {use}",
        licence=entry.licence,
        permission=PERMISSION_WORDS[permit],
        use=use,
    )


def _size_reasons(each: _Candidate, wish: Wish) -> Iterator[str]:
    """Say whether it fits, what that is made of, and where to get it if nobody is known to offer it so."""
    offer, has_bytes = each.offer, wish.room.memory_bytes
    judgement = Judgement(offer.need, has_bytes).sentence
    yield Sentence("{form} on {runtime}: {judgement}", form=offer.form, runtime=offer.runtime, judgement=judgement)
    parts = offer.need.sentence
    yield parts if offer.footprint.measured else clauses([parts, Sentence("the size of the weights is computed")])
    if offer.is_offered:
        return
    yield Sentence("nobody is known to offer it as {form}: it has to be found first", form=offer.form)
    every_form = replace(wish, forms=frozenset(MOST_EXACT_FIRST), runtime=None)
    for other in offers(each.entry, every_form):
        if other.is_offered:
            yield Sentence(
                "{command} brings {form}, on {runtime}: {judgement}",
                command=other.command,
                form=other.form,
                runtime=other.runtime,
                judgement=Judgement(other.need, has_bytes).sentence,
            )
            return


def _advice(entries: Sequence[CatalogueEntry], wish: Wish) -> Iterator[str]:
    """Say what would help where nothing fits: another form, more memory or disk, less of the wish."""
    if quantized := _ranked(entries, replace(wish, forms=wish.forms | QUANTIZED)).matches:
        yield _other_form(_surest(quantized))
    wanted = _ranked(entries, replace(wish, room=Room())).matches
    if wanted:
        yield Sentence("of what you want the smallest is {model}", model=_smallest(wanted, wish))
    elif _ranked(entries, replace(wish, room=Room(), engines_for=without_preference)).matches:
        yield Sentence("the settings keep from computing what you want; {remedy}", remedy=REMEDY)
    else:
        yield Sentence(
            "no model of the catalogue is all that: ask for less, or look on the hub: {command}",
            command="botbridge models search",
        )
    if quantized:
        return
    if held := _ranked(entries, replace(wish, needs=(), languages=(), language_count=0)).matches:
        if (found := _surest(held)).verdict is Verdict.FITS:
            yield Sentence("this machine holds {model}, which is not known for what you need", model=found.entry.id)
        else:
            yield Sentence("this machine may hold {model}, which is not known for what you need", model=found.entry.id)
    elif not wanted:
        yield from _of_all(entries, wish)


def _surest(matches: Sequence[Match]) -> Match:
    """Return the best of those that are known to fit; where none is, the best of all."""
    return next((each for each in matches if each.verdict is Verdict.FITS), matches[0])


def _other_form(found: Match) -> Sentence:
    model, form = found.entry.id, found.offer.form
    if found.verdict is not Verdict.FITS:
        return Sentence("{model} may fit as {form}: that is not known", model=model, form=form)
    if found.offer.is_offered:
        return Sentence("{model} would fit as {form}", model=model, form=form)
    return Sentence("{model} would fit as {form}, if somebody offers that", model=model, form=form)


def _of_all(entries: Sequence[CatalogueEntry], wish: Wish) -> Iterator[str]:
    """Say what this machine could hold if nothing were asked of a model, or what it lacks for the least of them."""
    anything = Wish(
        forms=frozenset(MOST_EXACT_FIRST),
        holding=wish.holding,
        room=wish.room,
        engines_for=wish.engines_for,
        engines_here=wish.engines_here,
        installed=wish.installed,
    )
    if held := _ranked(entries, anything).matches:
        if (found := _surest(held)).verdict is Verdict.FITS:
            yield Sentence("this machine holds {model}, which is not all that you ask for", model=found.entry.id)
        else:
            yield Sentence("this machine may hold {model}, which is not all that you ask for", model=found.entry.id)
    elif unbound := _ranked(entries, replace(anything, room=Room())).matches:
        yield Sentence("of all models the smallest is {model}", model=_smallest(unbound, anything))


def _smallest(matches: Sequence[Match], wish: Wish) -> Sentence:
    """Name the model that takes the least memory in any form that will do, with what is lacking for it."""
    ways = [(offer, each.entry) for each in matches for offer in offers(each.entry, wish)]
    offer, entry = min(ways, key=lambda way: way[0].need.least_bytes)
    return Sentence("{model}: {lacking}", model=entry.id, lacking=_lacking(offer, wish.room))
