"""The page of `plan`: waits, people served and memory; electricity, offers, both sides by criterion; when to move."""

from __future__ import annotations

from collections.abc import Iterator

from botbridge.cli.tables import Table
from botbridge.conversation.texts import Language
from botbridge.logs import escape
from botbridge.machine.criteria import criteria, when_to_move
from botbridge.machine.money import ranged
from botbridge.machine.plan import Plan
from botbridge.machine.plan_report import cited, summary
from botbridge.sentences import Sentence, said


def plan_page(made: Plan, words: Language) -> Iterator[Table | str]:
    """Yield the plan; names, commands and where a figure was read stay as they are."""
    yield from (said(line, words) for line in summary(made))
    yield _electricity(made, words)
    yield _offers(made, words)
    yield _criteria(made, words)
    yield from (said(line, words) for line in when_to_move(made))


def _electricity(made: Plan, words: Language) -> Table:
    heads = (words.say("what draws it"), words.say("kWh"), words.say("cost"), words.say("source"))
    rows = tuple(
        (
            _title(draw.title, words),
            said(ranged(*draw.kwh_month, 1), words),
            "" if draw.cost is None else said(draw.cost.sentence, words),
            said(cited(draw.source), words),
        )
        for draw in made.costs.draws
    )
    return Table(heads, rows, title=words.say("Electricity, running all month"), ruled=True)


def _offers(made: Plan, words: Language) -> Table:
    heads = (
        words.say("offer"),
        words.say("price"),
        words.say("a month with this load"),
        words.say("converted"),
        words.say("source"),
    )
    rows = tuple(
        (
            _title(offer.price.title, words),
            said(offer.price.quoted, words),
            said(offer.month.sentence, words),
            "" if offer.converted is None else said(offer.converted.sentence, words),
            said(cited(offer.source), words),
        )
        for offer in made.costs.offers
    )
    return Table(heads, rows, title=words.say("Elsewhere, all month"), ruled=True)


def _criteria(made: Plan, words: Language) -> Table:
    heads = ("", words.say("this machine"), "VPS", words.say("GPU by the hour"), words.say("API by the token"))
    rows = tuple(
        tuple(said(text, words) for text in (row.criterion, row.here, row.vps, row.gpu, row.api))
        for row in criteria(made)
    )
    return Table(heads, rows, title=words.say("Side by side"), ruled=True)


def _title(title: str, words: Language) -> str:
    """Say what a price is for, in the operator's language where it is one of ours."""
    return said(title if isinstance(title, Sentence) else Sentence.of(escape(title)), words)
