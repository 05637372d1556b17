"""The page of `models openness`: one screen on what was published of a model, and what follows from it."""

from __future__ import annotations

from collections.abc import Sequence

from botbridge.cli.model_pages import openness_words
from botbridge.cli.model_words import Footnotes, marked, part_word, yes_or_no
from botbridge.cli.tables import Page, Table
from botbridge.conversation.texts import Language
from botbridge.logs import escape
from botbridge.models.facts import CatalogueEntry, Source
from botbridge.models.openness import Allowance, FrameworkClass, allowance


def openness_page(entry: CatalogueEntry, sources: Sequence[Source], words: Language) -> Page:
    """Return what is open of a model, what that allows, and the case of retraining on regulated data."""
    notes, allowed = Footnotes(sources), allowance(entry)
    parts = (
        f"{marked(openness_words(entry, words), entry, 'openness', words)} {notes.mark(*entry.evidence['openness'])}"
    )
    table = Table(
        (words.say("what it allows"), words.say("by its parts"), words.say("because")),
        (
            (words.say("use directly"), yes_or_no(allowed.use, words), words.say("it takes the weights")),
            (words.say("fine-tune"), yes_or_no(allowed.fine_tune, words), words.say("it takes the weights")),
            (
                words.say("retrain from the start"),
                yes_or_no(allowed.retrain, words),
                words.say("it takes code and data of the training"),
            ),
            (
                words.say("inspect its training"),
                part_word(allowed.inspect, words),
                words.say("it takes the training data"),
            ),
        ),
    )
    return (
        words.say(
            "{title}, {licence}: may it be used? `{command}`",
            title=escape(entry.title),
            licence=marked(escape(entry.licence), entry, "licence", words),
            command=f"botbridge models licence {entry.id}",
        ),
        parts,
        table,
        words.say(
            "Levels: fully open (all four parts), open weights (they can be run and fine-tuned), architecture only "
            "(it can be built and trained anew)."
        ),
        _framework(entry, allowed, words),
        _regulated(allowed, words),
        "\n".join(notes.lines(words)),
    )


def _framework(entry: CatalogueEntry, allowed: Allowance, words: Language) -> str:
    if allowed.at_most is FrameworkClass.NONE:
        return words.say(
            "Model Openness Framework: none of its classes, because each asks for architecture and final weights under "
            "a licence without limits of use, which {licence} is not known to be.",
            licence=escape(entry.licence),
        )
    return words.say(
        "Model Openness Framework: class {highest} at most; each class also asks for cards, a report and evaluation "
        "results, which the catalogue does not judge.",
        highest=str(allowed.at_most),
    )


def _regulated(allowed: Allowance, words: Language) -> str:
    if allowed.regulated:
        return words.say(
            "Healthcare: who retrains on patients' records must show what the model learnt from, and train again "
            "without a record. That needs a fully open model, which this one is."
        )
    return words.say(
        "Healthcare: who retrains on patients' records must show what the model learnt from, and train again without "
        "a record. That needs a fully open model (`{command}`); this one can only be fine-tuned.",
        command="botbridge models list --open full",
    )
