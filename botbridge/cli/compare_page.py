"""The page of `models compare`: the study's table, with a note for each figure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from botbridge.cli.model_pages import languages_words, openness_words, speed_words
from botbridge.cli.model_words import (
    Footnotes,
    arabic_word,
    conditions,
    counted,
    gigabytes,
    marked,
    not_known,
    percent,
    shown_words,
    size_words,
    task_word,
    yes_or_no,
)
from botbridge.cli.tables import Page, Table
from botbridge.conversation.texts import Language
from botbridge.logs import escape
from botbridge.models.comparing import ARABIC_BENCHMARKS, CONTEXT_TOKENS, QUANTIZATION, Comparison, Group
from botbridge.models.facts import CatalogueEntry, Score, Source
from botbridge.models.footprint import Footprint
from botbridge.models.listing import Listed

LABEL_WIDTH = 14
MODEL_WIDTH = 20
"""Columns of a terminal that a label and a model take at least; of more models there are several tables."""


@dataclass(frozen=True, slots=True)
class _Columns:
    """What is said of each model, in the order of the models."""

    listed: tuple[Listed, ...]
    comparison: Comparison
    notes: Footnotes
    words: Language


def compare_page(
    listed: Sequence[Listed], comparison: Comparison, sources: Sequence[Source], words: Language, width: int
) -> Page:
    """Return the tables, what may be compared, and what each note stands for.

    Args:
        width: Of the terminal; more models than fit there stand in tables below one another.
    """
    notes = Footnotes(sources)
    rows = tuple(_rows(_Columns(tuple(listed), comparison, notes, words)))
    at_once = max(1, (width - LABEL_WIDTH) // MODEL_WIDTH)
    starts = range(0, len(listed), at_once)
    tables = (
        Table(
            ("", *(each.entry.id for each in listed[start : start + at_once])),
            tuple((label, *cells[start : start + at_once]) for label, cells in rows),
        )
        for start in starts
    )
    return (*tables, _verdict(comparison, words), "\n".join(notes.lines(words)))


def _verdict(comparison: Comparison, words: Language) -> str:
    if comparison.comparable:
        return words.say(
            "Scores in one row come from one source that showed the same number of examples: they can be compared. "
            "Those under other scores cannot, neither with each other nor with the rows."
        )
    return words.say(
        "No score of these models comes from the same source with the same number of examples: none can be compared."
    )


def _rows(columns: _Columns) -> Iterator[tuple[str, tuple[str, ...]]]:
    words, notes, comparison = columns.words, columns.notes, columns.comparison
    entries = comparison.entries

    def each(say: Callable[[CatalogueEntry], str | None], fact: str | None = None) -> tuple[str, ...]:
        return tuple(_noted(say(entry), entry, fact, columns) for entry in entries)

    yield (
        words.say("size"),
        each(lambda entry: size_words(entry, words), "parameters"),
    )
    yield words.say("context"), each(lambda entry: f"{entry.context_tokens:,}", "context_tokens")
    yield words.say("licence"), each(lambda entry: escape(entry.licence), "licence")
    yield words.say("gated"), each(lambda entry: yes_or_no(entry.gated, words), "gated")
    yield words.say("openness"), each(lambda entry: openness_words(entry, words), "openness")
    for group in comparison.comparable:
        if not group.is_arabic:
            yield _group_label(group, columns), _group_cells(group, words)
    yield (
        words.say("other scores"),
        tuple(
            _scores([score for score in scores if score.benchmark not in ARABIC_BENCHMARKS], notes, words)
            for scores in comparison.alone
        ),
    )
    yield (
        words.say("memory, {form}", form=QUANTIZATION),
        tuple(map(partial(_memory, words), comparison.footprints, entries)),
    )
    yield words.say("speed here"), tuple(speed_words(listed, words) for listed in columns.listed)
    yield (
        words.say("Arabic"),
        each(lambda entry: None if entry.arabic is None else arabic_word(entry.arabic, words), "arabic"),
    )
    for group in comparison.comparable:
        if group.is_arabic:
            yield _group_label(group, columns), _group_cells(group, words)
    yield (
        words.say("other scores of Arabic"),
        tuple(
            _scores([score for score in scores if score.benchmark in ARABIC_BENCHMARKS], notes, words)
            for scores in comparison.alone
        ),
    )
    yield words.say("languages"), each(lambda entry: languages_words(entry, words), "languages")
    yield words.say("good for"), each(lambda entry: ", ".join(task_word(task, words) for task in entry.tasks) or None)
    yield words.say("strength"), each(lambda entry: _told(entry.strength))
    yield words.say("weakness"), each(lambda entry: _told(entry.weakness))
    yield words.say("ideal use"), each(lambda entry: _told(entry.ideal_use))
    yield words.say("note"), tuple(_told(entry.note) or "" for entry in entries)


def _noted(value: str | None, entry: CatalogueEntry, fact: str | None, columns: _Columns) -> str:
    if value is None:
        return not_known(columns.words)
    if fact is None:
        return value
    marks = columns.notes.mark(*entry.evidence.get(fact, ()))
    return f"{marked(value, entry, fact, columns.words)} {marks}".rstrip()


def _told(text: str | None) -> str | None:
    return None if text is None else escape(text)


def _group_label(group: Group, columns: _Columns) -> str:
    words = columns.words
    shots = shown_words(group.shots, words)
    base = f", {words.say('of base models')}" if group.of_relatives else ""
    return f"{escape(group.benchmark)}, {shots}{base} {columns.notes.mark(group.source)}"


def _group_cells(group: Group, words: Language) -> tuple[str, ...]:
    return tuple(not_known(words) if each is None else percent(each) for each in group.percents)


def _scores(scores: Sequence[Score], notes: Footnotes, words: Language) -> str:
    return "\n".join(
        f"{escape(score.benchmark)} {percent(score.percent)} ({conditions(score, words)}) {notes.mark(score.source)}"
        for score in scores
    ) or not_known(words)


def _memory(words: Language, footprint: Footprint, entry: CatalogueEntry) -> str:
    """Say weights and cache; sizes that nobody published are computed and said to be."""
    weights = gigabytes(footprint.weights_bytes)
    told = weights if footprint.measured else words.say("{size}, computed", size=counted(weights, entry, words))
    if footprint.cache_bytes is None:
        return words.say("{weights}; cache not known", weights=told)
    return words.say(
        "{weights}; cache {cache} for {tokens} tokens",
        weights=told,
        cache=gigabytes(footprint.cache_bytes),
        tokens=f"{min(CONTEXT_TOKENS, entry.context_tokens):,}",
    )
