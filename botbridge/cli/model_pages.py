"""The pages of `models list`, `show` and `search`: made of facts and words, printed elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from botbridge.cli.model_words import (
    Footnotes,
    arabic_word,
    billions,
    column_word,
    conditions,
    counted,
    gigabytes,
    level_word,
    marked,
    not_known,
    part_word,
    percent,
    size_words,
    task_word,
    yes_or_no,
)
from botbridge.cli.tables import Page, Table, fits
from botbridge.conversation.texts import Language
from botbridge.logs import escape
from botbridge.models.facts import SOURCED, CatalogueEntry, Source
from botbridge.models.hub_search import Found
from botbridge.models.listing import COLUMNS, SCORES, Listed, best_score

UNKNOWN: Final = "–"
"""In lists; their last line says what it means."""

_FACTS: Final = {name: name for name in SOURCED} | {"context": "context_tokens", "open": "openness"}
"""The fact behind a column, where its name is another one."""

_NUMBERS: Final = frozenset({"parameters", "class", "context", "languages", "speed", *SCORES})


def list_page(
    listed: Sequence[Listed],
    columns: Sequence[str],
    total: int,
    words: Language,
    *,
    width: int | None = None,
    optional: Sequence[str] = (),
) -> Page:
    """Return the table of `models list` and what its signs mean.

    Args:
        total: Of the catalogue.
        width: Of a terminal's line, in columns; None where no person reads: there each model that is not here has the
            command that fetches it.
        optional: Columns that are left out, one after the other, until no word has to be broken.
    """
    if not listed:
        return (words.say("No model of the catalogue fits; it holds {number}.", number=total),)
    going = [name for name in optional if name in columns]
    left_out: list[str] = []
    table = _listed_table(listed, columns, words, on_terminal=width is not None)
    while width is not None and going and not fits(table, width):
        left_out.append(going.pop(0))
        columns = [name for name in columns if name not in left_out]
        table = _listed_table(listed, columns, words, on_terminal=True)
    legend = [words.say("{number} of {total} models; {sign}: not known", number=len(listed), total=total, sign=UNKNOWN)]
    if "speed" in columns:
        legend.append(words.say("speed here: what `botbridge bench` has measured, one person being answered"))
    if any(name in SCORES for name in columns):
        legend.append(
            words.say("scores come from different sources: `botbridge models compare` tells which go together")
        )
    if left_out:
        named = ", ".join(column_word(name, words) for name in left_out)
        legend.append(words.say("left out for want of width: {columns}; --columns names what is shown", columns=named))
    return (table, *legend)


def _listed_table(listed: Sequence[Listed], columns: Sequence[str], words: Language, *, on_terminal: bool) -> Table:
    return Table(
        tuple(column_word(name, words) for name in columns),
        tuple(tuple(_listed_cell(each, name, words, on_terminal=on_terminal) for name in columns) for each in listed),
        frozenset(place for place, name in enumerate(columns) if name in _NUMBERS),
    )


def _listed_cell(each: Listed, column: str, words: Language, *, on_terminal: bool) -> str:
    if column == "here" and not on_terminal:
        return _where(each, words)
    special = _special_cells(words).get(column)
    value = COLUMNS[column].value(each)
    if value in (None, ()):
        return UNKNOWN
    said = escape(str(value)) if special is None else special(each)
    return marked(said, each.entry, _FACTS.get(column, ""), words)


def _special_cells(words: Language) -> Mapping[str, Callable[[Listed], str]]:
    """Return how the columns are said whose value is not a word already."""
    return {
        "parameters": lambda each: counted(billions(each.entry.parameters), each.entry, words),
        "class": lambda each: f"{each.entry.nominal_b:g} B",
        "context": lambda each: f"{each.entry.context_tokens:,}",
        "gated": lambda each: yes_or_no(each.entry.gated, words),
        "open": lambda each: level_word(each.entry.openness.level, words),
        "arabic": lambda each: arabic_word(each.entry.arabic, words),
        "tasks": lambda each: ", ".join(task_word(task, words) for task in each.entry.tasks),
        "speed": lambda each: "" if each.speed is None else f"{each.speed.decode_tokens_s:.1f}/s",
        "here": lambda each: yes_or_no(each.is_here, words),
        **{name: partial(_score_cell, benchmark) for name, benchmark in SCORES.items()},
    }


def _where(each: Listed, words: Language) -> str:
    if each.is_here:
        return words.say("here")
    return words.say("not here: {command}", command=f"botbridge models pull {each.entry.id}")


def _score_cell(benchmark: str, each: Listed) -> str:
    score = best_score(each.entry, benchmark)
    return UNKNOWN if score is None else percent(score)


def show_page(each: Listed, sources: Sequence[Source], here: Mapping[str, str], words: Language) -> Page:
    """Return everything that is known of a model, each fact with its sources.

    Args:
        here: What is known of its files on this machine, by label.
    """
    entry, notes = each.entry, Footnotes(sources)
    facts = Table(
        (words.say("fact"), words.say("value"), words.say("sources")),
        tuple(_facts(each, notes, words)),
    )
    page: list[Table | str] = [f"{escape(entry.title)} ({entry.id})", facts]
    if entry.scores:
        page.append(
            Table(
                (words.say("score"), "%", words.say("conditions"), words.say("sources")),
                tuple(
                    (escape(s.benchmark), percent(s.percent), conditions(s, words), notes.mark(s.source))
                    for s in entry.scores
                ),
                frozenset({1}),
            )
        )
    if entry.files:
        page.append(
            Table(
                (words.say("file"), words.say("size"), words.say("repository"), words.say("sources")),
                tuple(
                    (
                        f"{file.format} {file.quantization}",
                        gigabytes(file.size_bytes),
                        escape(file.hub_id or entry.hub_id),
                        notes.mark(file.source),
                    )
                    for file in entry.files
                ),
                frozenset({1}),
            )
        )
    page += [f"{label}: {escape(value)}" for label, value in here.items()]
    return (*page, "\n".join(notes.lines(words)))


def _facts(each: Listed, notes: Footnotes, words: Language) -> Iterator[tuple[str, str, str]]:
    entry = each.entry

    def fact(label: str, value: str | None, name: str | None = None) -> tuple[str, str, str]:
        if value is None:
            return label, not_known(words), ""
        if name is None:
            return label, value, ""
        return label, marked(value, entry, name, words), notes.mark(*entry.evidence.get(name, ()))

    def told(label: str, value: str | None) -> tuple[str, str, str]:
        return fact(label, None if value is None else escape(value))

    cache = None if entry.kv_bytes_per_token is None else f"{entry.kv_bytes_per_token:,}"
    yield fact(words.say("repository"), escape(entry.hub_id))
    yield fact(words.say("parameters"), size_words(entry, words), "parameters")
    yield fact(words.say("context, in tokens"), f"{entry.context_tokens:,}", "context_tokens")
    yield fact(words.say("architecture"), f"{escape(entry.architecture)} ({entry.kind})", "architecture")
    yield fact(words.say("licence"), escape(entry.licence), "licence")
    yield fact(words.say("gated"), yes_or_no(entry.gated, words), "gated")
    yield fact(words.say("openness"), openness_words(entry, words), "openness")
    yield fact(words.say("released"), entry.released, "released")
    yield fact(words.say("languages"), languages_words(entry, words), "languages")
    yield fact(words.say("Arabic"), None if entry.arabic is None else arabic_word(entry.arabic, words), "arabic")
    yield fact(words.say("good for"), ", ".join(task_word(task, words) for task in entry.tasks) or None)
    yield fact(words.say("dialogue template"), template_words(entry, words), "template")
    yield fact(words.say("cache, bytes per token"), cache, "kv_bytes_per_token")
    yield fact(words.say("speed here"), speed_words(each, words))
    yield told(words.say("strength"), entry.strength)
    yield told(words.say("weakness"), entry.weakness)
    yield told(words.say("ideal use"), entry.ideal_use)
    if entry.note is not None:
        yield told(words.say("note"), entry.note)


def openness_words(entry: CatalogueEntry, words: Language) -> str:
    """Say the level and its four parts."""
    parts = entry.openness
    return words.say(
        "{level}: architecture {architecture}, weights {weights}, training code {code}, training data {data}",
        level=level_word(parts.level, words),
        architecture=part_word(parts.architecture, words),
        weights=part_word(parts.weights, words),
        code=part_word(parts.training_code, words),
        data=part_word(parts.training_data, words),
    )


def languages_words(entry: CatalogueEntry, words: Language) -> str | None:
    """Say which languages the publisher names; None where that is not known."""
    listed = " ".join(entry.languages)
    count = entry.language_count
    if count is None or count == len(entry.languages):
        return listed or None
    return words.say("{count} in all: {listed}…", count=count, listed=listed) if listed else str(count)


def template_words(entry: CatalogueEntry, words: Language) -> str | None:
    """Say where the form of a dialogue comes from; None where that is not known."""
    match entry.template:
        case None:
            return None
        case "own":
            return words.say("its own")
        case _:
            return words.say("none: a base model")


def speed_words(each: Listed, words: Language) -> str:
    """Say how fast a model was measured here."""
    if each.speed is None:
        return words.say("not measured: `{command}`", command=f"botbridge bench --model {each.entry.id}")
    return words.say(
        "{rate} tokens/s ({engine})", rate=f"{each.speed.decode_tokens_s:.1f}", engine=escape(each.speed.engine)
    )


def found_page(found: Sequence[Found], address: str, words: Language) -> Page:
    """Return what a search found, and the page of the hub that answers the same."""
    where = words.say("the same on the hub: {address}", address=address)
    if not found:
        return words.say("Nothing was found."), where
    heads = (
        words.say("model"),
        words.say("task"),
        words.say("parameters"),
        words.say("licence"),
        words.say("gated"),
        words.say("downloads"),
    )
    rows = tuple(
        (
            escape(each.id),
            UNKNOWN if each.task is None else escape(each.task),
            _found_parameters(each, words),
            UNKNOWN if each.licence is None else marked(escape(each.licence), each, "licence", words),
            UNKNOWN if each.gated is None else marked(yes_or_no(each.gated, words), each, "gated", words),
            UNKNOWN if each.downloads is None else f"{each.downloads:,}",
        )
        for each in found
    )
    return Table(heads, rows, frozenset({2, 5})), words.say("{sign}: not known", sign=UNKNOWN), where


def _found_parameters(found: Found, words: Language) -> str:
    if found.parameters is None:
        return UNKNOWN
    return marked(counted(billions(found.parameters), found, words), found, "parameters", words)
