"""The page of `models match`: each model with its reasons and its command, and what would help where none fits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from botbridge.cli.model_words import fact_word
from botbridge.cli.tables import drawn
from botbridge.conversation.texts import Language
from botbridge.logs import escape
from botbridge.models.catalogue import Catalogue
from botbridge.models.fitting import Verdict
from botbridge.models.match_facts import Answer, Match
from botbridge.sentences import said

REASON_INDENT: Final = "     "


def match_page(
    answer: Answer, top: int, catalogue: Catalogue, words: Language, width: int | None = None
) -> Iterator[str]:
    """Yield the answer line by line; names, commands and numbers stay as they are.

    Args:
        top: So many models are shown.
        width: Of a terminal's line, in columns; None wraps nothing.
    """
    for place, found in enumerate(answer.matches[:top], start=1):
        yield f"{place}. {found.entry.id}: {escape(found.entry.title)}"
        for reason in _reasons(found, words):
            yield from _wrapped(reason, words, width, REASON_INDENT)
        yield f"{REASON_INDENT}{found.offer.command}"
    for line in _remarks(answer, top, catalogue, words):
        yield from _wrapped(line, words, width)


def _remarks(answer: Answer, top: int, catalogue: Catalogue, words: Language) -> Iterator[str]:
    hidden = answer.matches[top:]
    unsure = sum(each.verdict is not Verdict.FITS for each in hidden)
    if len(hidden) > unsure:
        yield words.say("{number} more fit; --top shows more of them.", number=len(hidden) - unsure)
    if unsure:
        yield words.say("Of {number} more it is not known whether they fit; --top shows them, too.", number=unsure)
    if not answer.matches:
        yield words.say("No model of the catalogue fits.")
    yield from (f"- {said(advice, words)}" for advice in answer.advice)
    if answer.yardstick is not None:
        yardstick = said(answer.yardstick.sentence, words)
        title = next(source.title for source in catalogue.sources if source.id == answer.yardstick.source)
        yield words.say("Compared by {yardstick}, {title}.", yardstick=yardstick, title=title)
        yield words.say(
            "What it did not measure stands by tasks, year of release and size; other scores are only shown."
        )
    yield words.say("Left out: {number}; --json says why each.", number=len(answer.refusals))


def _reasons(found: Match, words: Language) -> Iterator[str]:
    yield from (said(reason, words) for reason in found.reasons)
    if unsure := found.entry.not_verified:
        facts = [fact_word(fact, words) for fact in unsure]
        yield words.say("not verified: {facts}", facts=", ".join(facts))


def _wrapped(text: str, words: Language, width: int | None, indent: str = "") -> Iterator[str]:
    lines = [text] if width is None else drawn(text, words, width - len(indent)).split("\n")
    yield from (f"{indent}{line}" for line in lines)
