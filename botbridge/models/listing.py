"""`models list`: which entries are meant, in which order, and what each column says. Pure.

What nobody knows is None everywhere: it stands last in every order and is never shown as 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from botbridge.models.facts import Arabic, CatalogueEntry, Level, Task
from botbridge.models.names import HubSource

Value = str | int | float | bool | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Speed:
    """What `botbridge bench` found of a model on this machine, with the engine that is fastest there.

    Attributes:
        decode_tokens_s: Tokens of an answer per second, for one person alone.
        prefill_tokens_s: Tokens of a question read per second.
    """

    engine: str
    decode_tokens_s: float
    prefill_tokens_s: float


@dataclass(frozen=True, slots=True)
class Listed:
    """An entry, and what is known of it on this machine.

    Attributes:
        speed: None where it was not measured.
        is_here: Its files are in the store.
    """

    entry: CatalogueEntry
    speed: Speed | None = None
    is_here: bool = False


@dataclass(frozen=True, slots=True)
class Filter:
    """Which entries are meant; None and the empty string ask for nothing.

    Attributes:
        max_b: The largest class, in thousand millions of parameters: 7 takes one of 7.24.
        open_level: At least so open.
        arabic: Its publisher names Arabic.
        text: Words that all must stand in id, title, repository, strength, weakness, use or note.
        tag: One of `tags`.
        kind_of_task: A task of ours, or the hub's name of one.
    """

    kind_of_task: str | None = None
    language: str | None = None
    licence: str | None = None
    max_b: float | None = None
    open_level: Level | None = None
    arabic: bool = False
    text: str = ""
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """What a column says of an entry.

    Attributes:
        best_first: It is sorted downwards, because more is better.
    """

    name: str
    value: Callable[[Listed], Value]
    best_first: bool = False


GENERATION: Final = "text-generation"
"""The hub's name of what every causal model does."""

_OPENNESS: Final = (Level.ARCHITECTURE, Level.WEIGHTS, Level.FULL)


def names_of(entry: CatalogueEntry) -> tuple[str, ...]:
    """Return the names under which an entry's files and measurements may lie here, however they were pulled."""
    match entry.source:
        case HubSource(repo=repo, quantization=str() as quantization):
            return entry.id, f"{repo}:{quantization}"
        case HubSource(repo=repo):
            return entry.id, repo
        case _:
            return (entry.id,)


def wanted(listed: Iterable[Listed], asked: Filter) -> tuple[Listed, ...]:
    """Return what is asked for, in the order in which it came."""
    return tuple(each for each in listed if _fits(each.entry, asked))


def _fits(entry: CatalogueEntry, asked: Filter) -> bool:
    return (
        (asked.kind_of_task is None or _does(entry, asked.kind_of_task))
        and (asked.language is None or asked.language.casefold() in entry.languages)
        and (asked.licence is None or asked.licence.casefold() == entry.licence.casefold())
        and (asked.max_b is None or entry.nominal_b <= asked.max_b)
        and (asked.open_level is None or _OPENNESS.index(entry.openness.level) >= _OPENNESS.index(asked.open_level))
        and (not asked.arabic or entry.arabic in (Arabic.FIRST, Arabic.LISTED))
        and (asked.tag is None or asked.tag.casefold() in tags(entry))
        and all(word in _words(entry) for word in asked.text.casefold().split())
    )


def _does(entry: CatalogueEntry, task: str) -> bool:
    wanted_task = task.casefold()
    if wanted_task == GENERATION:
        return entry.kind == "causal"
    return wanted_task in {str(each) for each in entry.tasks}


def names_more_languages(listed: Iterable[Listed], language: str) -> tuple[CatalogueEntry, ...]:
    """Return entries whose publisher names more languages than the catalogue lists, so that one may be among them."""
    return tuple(
        each.entry
        for each in listed
        if language.casefold() not in each.entry.languages
        and (each.entry.language_count or 0) > len(each.entry.languages)
    )


def tags(entry: CatalogueEntry) -> frozenset[str]:
    """Return the words by which an entry can be asked for, as the hub's tags are written."""
    words: set[str] = {entry.licence, f"license:{entry.licence}", entry.kind, entry.openness.level, *entry.tasks}
    words |= {*entry.languages, *(file.format for file in entry.files)}
    words |= {"conversational"} if Task.CHAT in entry.tasks else set()
    return frozenset(word.casefold() for word in words)


def _words(entry: CatalogueEntry) -> str:
    parts = (entry.id, entry.title, entry.hub_id, entry.strength, entry.weakness, entry.ideal_use, entry.note)
    return " ".join(part for part in parts if part).casefold()


def _score(benchmark: str) -> Column:
    return Column(benchmark.casefold(), lambda each: best_score(each.entry, benchmark), best_first=True)


def best_score(entry: CatalogueEntry, benchmark: str) -> float | None:
    """Return the first published result of this very model, not of a relative."""
    found = (score.percent for score in entry.scores if score.benchmark == benchmark and score.of is None)
    return next(found, None)


COLUMNS: Final[Mapping[str, Column]] = {
    column.name: column
    for column in (
        Column("model", lambda each: each.entry.id),
        Column("title", lambda each: each.entry.title),
        Column("hub", lambda each: each.entry.hub_id),
        Column("parameters", lambda each: each.entry.parameters),
        Column("class", lambda each: each.entry.nominal_b),
        Column("context", lambda each: each.entry.context_tokens, best_first=True),
        Column("architecture", lambda each: each.entry.architecture),
        Column("kind", lambda each: str(each.entry.kind)),
        Column("licence", lambda each: each.entry.licence),
        Column("gated", lambda each: each.entry.gated),
        Column("open", lambda each: str(each.entry.openness.level)),
        Column("released", lambda each: each.entry.released, best_first=True),
        Column(
            "languages", lambda each: each.entry.language_count or len(each.entry.languages) or None, best_first=True
        ),
        Column("arabic", lambda each: None if each.entry.arabic is None else str(each.entry.arabic)),
        Column("tasks", lambda each: tuple(str(task) for task in each.entry.tasks)),
        _score("MMLU"),
        _score("HellaSwag"),
        _score("GSM8K"),
        _score("ARC-C"),
        Column("use", lambda each: each.entry.ideal_use),
        Column("speed", lambda each: None if each.speed is None else each.speed.decode_tokens_s, best_first=True),
        Column("here", lambda each: each.is_here, best_first=True),
    )
}
"""Every column, by the name that --columns and --sort take."""

USUAL_COLUMNS: Final = ("model", "parameters", "context", "licence", "open", "arabic", "speed", "here")
FIRST_TO_GO: Final = ("open", "context", "arabic", "here")
"""Of the usual columns those that a narrow terminal does without, the first of them before the others."""

SCORES: Final = {"mmlu": "MMLU", "hellaswag": "HellaSwag", "gsm8k": "GSM8K", "arc-c": "ARC-C"}
"""The columns that are published scores."""


def ordered(listed: Sequence[Listed], column: Column) -> tuple[Listed, ...]:
    """Sort by a column; what is not known there stands last, in the order in which it came."""
    known = [each for each in listed if column.value(each) not in (None, ())]
    unknown = [each for each in listed if column.value(each) in (None, ())]
    return (*sorted(known, key=lambda each: _key(column.value(each)), reverse=column.best_first), *unknown)


_ARABIC_ORDER: Final = {str(each): place for place, each in enumerate(Arabic)}


def _key(value: Value) -> tuple[float, str]:
    if isinstance(value, int | float):
        return (float(value), "")
    text = " ".join(value) if isinstance(value, tuple) else str(value)
    return (float(_ARABIC_ORDER.get(text, 0)), text.casefold())
