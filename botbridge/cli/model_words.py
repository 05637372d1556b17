"""How a fact of a model is said in the operator's language; numbers and names stay as they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from botbridge.cli.tongue import Tongue
from botbridge.conversation.texts import Language, load_texts
from botbridge.logs import escape
from botbridge.models.facts import Arabic, CatalogueEntry, Level, Part, Score, Source, Task

DOMAIN: Final = "models"
"""Folder of the translations below `locale`."""


CLAUSES_DOMAIN: Final = "licences"
"""Likewise, of what `licences.toml` says."""


def language_of(tongue: Tongue, domain: str = DOMAIN) -> Language:
    """Return the words of these commands in a language."""
    return load_texts(domain).language(tongue)


def language_with_clauses(tongue: Tongue) -> Language:
    """Return the words of these commands, and those of licences behind them."""
    words = language_of(tongue)
    words.catalogue.add_fallback(language_of(tongue, CLAUSES_DOMAIN).catalogue)
    return words


def not_known(words: Language) -> str:
    """Say that nobody's figure was read."""
    return words.say("not known")


def yes_or_no(value: bool | None, words: Language) -> str:  # noqa: FBT001 - the value is what is said
    """Say a truth, or that it is not known."""
    if value is None:
        return not_known(words)
    return words.say("yes") if value else words.say("no")


def level_word(level: Level, words: Language) -> str:
    """Say how open a model is."""
    match level:
        case Level.FULL:
            return words.say("fully open")
        case Level.WEIGHTS:
            return words.say("open weights")
        case Level.ARCHITECTURE:
            return words.say("architecture only")


def part_word(part: Part, words: Language) -> str:
    """Say how far a part was published."""
    match part:
        case Part.YES:
            return words.say("yes")
        case Part.PARTLY:
            return words.say("partly")
        case Part.NO:
            return words.say("no")


def arabic_word(arabic: Arabic | None, words: Language) -> str:
    """Say what the publisher says about Arabic."""
    match arabic:
        case Arabic.FIRST:
            return words.say("Arabic first")
        case Arabic.LISTED:
            return words.say("listed")
        case Arabic.NO:
            return words.say("not listed")
        case None:
            return not_known(words)


def task_word(task: Task, words: Language) -> str:
    """Say what a model is good for."""
    match task:
        case Task.CHAT:
            return words.say("chat")
        case Task.LOGIC:
            return words.say("logic")
        case Task.MATHS:
            return words.say("maths")
        case Task.MULTILINGUAL:
            return words.say("many languages")
        case Task.ARABIC:
            return words.say("Arabic")
        case Task.CODE:
            return words.say("code")
        case Task.TRANSLATION:
            return words.say("translation")


def column_word(column: str, words: Language) -> str:
    """Return the head of a column of `models list`."""
    heads = {
        "model": words.say("model"),
        "title": words.say("title"),
        "hub": words.say("repository"),
        "parameters": words.say("parameters"),
        "class": words.say("class"),
        "context": words.say("context"),
        "architecture": words.say("architecture"),
        "kind": words.say("kind"),
        "licence": words.say("licence"),
        "gated": words.say("gated"),
        "open": words.say("openness"),
        "released": words.say("released"),
        "languages": words.say("languages"),
        "arabic": words.say("Arabic"),
        "tasks": words.say("good for"),
        "use": words.say("ideal use"),
        "speed": words.say("speed here"),
        "here": words.say("here"),
    }
    return heads.get(column, column)


def fact_word(fact: str, words: Language) -> str:
    """Say the name of one of the facts that have evidence, as `models show` labels it."""
    facts = {
        "context_tokens": words.say("context, in tokens"),
        "kv_bytes_per_token": words.say("cache, bytes per token"),
        "template": words.say("dialogue template"),
    }
    return facts.get(fact) or column_word("open" if fact == "openness" else fact, words)


class Checked(Protocol):
    """A model of which it is known how far its facts were looked up."""

    @property
    def not_verified(self) -> Sequence[str]:
        """The facts that rest on memory."""

    @property
    def parameters_are_round(self) -> bool:
        """Whether the exact count was not found."""


def marked(said: str, entry: Checked, fact: str, words: Language) -> str:
    """Say a fact, and that nobody looked it up where it rests on memory."""
    return words.say("{fact} (not verified)", fact=said) if fact in entry.not_verified else said


def counted(said: str, entry: Checked, words: Language) -> str:
    """Say a count of parameters, and that it is round where the exact one was not found."""
    return words.say("about {count}", count=said) if entry.parameters_are_round else said


def size_words(entry: CatalogueEntry, words: Language) -> str:
    """Say how many parameters a model has, and its class."""
    exact = counted(f"{entry.parameters:,}", entry, words)
    return words.say("{count} (class {size})", count=exact, size=f"{entry.nominal_b:g} B")


def billions(parameters: int) -> str:
    """Return a count of parameters in thousand millions, to three digits.

    >>> billions(7_241_732_096), billions(134_515_008), billions(4_022_468_096)
    ('7.24 B', '0.135 B', '4.02 B')
    """
    return f"{float(f'{parameters / 1e9:.3g}'):g} B"


def gigabytes(size_bytes: int) -> str:
    """Return a size as disks and downloads are sold.

    >>> gigabytes(808_000_000), gigabytes(134_217_728)
    ('0.81 GB', '0.13 GB')
    """
    return f"{size_bytes / 1e9:.2f} GB"


def percent(score: float) -> str:
    """Return a published score as it was published.

    >>> percent(49.3), percent(0.0), percent(60)
    ('49.3', '0', '60')
    """
    return f"{score:g}"


def shown_words(shots: str | None, words: Language) -> str:
    """Say how many examples were shown, and what the publisher remarks beside the number."""
    if shots is None:
        return words.say("shots not said")
    number, comma, remark = shots.partition(",")
    if not number.isdecimal():
        return escape(shots)
    return words.say("{number} shown", number=number) + comma + escape(remark)


def conditions(score: Score, words: Language) -> str:
    """Say under which conditions a score was found."""
    shots = shown_words(score.shots, words)
    return shots if score.of is None else f"{shots}; {words.say('of {relative}', relative=escape(score.of))}"


class Footnotes:
    """Numbers for sources, in the order in which they are first cited."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self._sources = {source.id: source for source in sources}
        self._numbers: dict[str, int] = {}

    def mark(self, *sources: str) -> str:
        """Return the marks of some sources, as `[1][2]`."""
        return "".join(f"[{self._numbers.setdefault(source, len(self._numbers) + 1)}]" for source in sources)

    def lines(self, words: Language) -> Sequence[str]:
        """Return what each mark stands for, with its date, and what a third party is."""
        cited = [self._sources[source] for source in self._numbers]
        lines = [f"[{number}] {_source_line(source, words)}" for number, source in enumerate(cited, start=1)]
        if any(source.third_party for source in cited):
            lines.append(words.say("third party: not the publisher's own page; check it before a contract"))
        return lines


def _source_line(source: Source, words: Language) -> str:
    parts = [escape(source.title)]
    if source.date is not None and source.date.isoformat() not in source.title:
        parts.append(source.date.isoformat())
    if source.url is not None:
        parts.append(escape(source.url))
    if source.third_party:
        parts.append(words.say("third party"))
    return "; ".join(parts)
