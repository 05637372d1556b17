"""The page of `doctor`: the audit as a table, and below it what mends each row, a command a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from botbridge.cli.tables import Table, drawn
from botbridge.conversation.texts import Language
from botbridge.diagnosing import Diagnosis
from botbridge.machine.doctor_facts import Row, Status
from botbridge.sentences import Sentence, said

WIDE_COLUMNS: Final = 150
"""From this width on, what to change stands in the table, too; a command is only ever copied from below it."""


def doctor_page(found: Diagnosis, words: Language, width: int) -> Table:
    """Return the audit; names stay as they are.

    Args:
        width: Of a line, in columns.
    """
    heads = (
        words.say("Component"),
        words.say("Found"),
        words.say("Needed"),
        words.say("Status"),
        words.say("Upgrade needed"),
        words.say("How"),
    )
    count = len(heads) if width >= WIDE_COLUMNS else 4
    title = words.say("Can this machine run {model}?", model=found.model)
    return Table(heads[:count], tuple(_cells(row, words)[:count] for row in found.rows), title=title, ruled=True)


def remedies(found: Diagnosis, words: Language, width: int) -> Iterator[str]:
    """Yield what mends each row, a command a line and never broken, so that it can be copied; then the outcome."""
    headings = {
        Status.UPGRADE: words.say("What has to change:"),
        Status.OPTIONAL: words.say("What could be better:"),
        Status.UNKNOWN: words.say("What could not be found out:"),
    }
    for status, heading in headings.items():
        rows = [row for row in found.rows if row.status is status and row.how]
        if rows:
            yield heading
            yield from _remedies(rows, words, width)
    yield words.say("Ready.") if found.is_ready else words.say("Not ready.")


def _cells(row: Row, words: Language) -> tuple[str, ...]:
    texts = (row.component, row.found, row.needed)
    return (
        *(said(text, words) for text in texts),
        status_word(row.status, words),
        said(row.upgrade, words),
        said(row.how, words),
    )


def status_word(status: Status, words: Language) -> str:
    """Say a row's outcome."""
    match status:
        case Status.OK:
            return words.say("ok")
        case Status.UPGRADE:
            return words.say("upgrade")
        case Status.OPTIONAL:
            return words.say("optional")
        case Status.UNKNOWN:
            return words.say("unknown")


def _remedies(rows: Sequence[Row], words: Language, width: int) -> Iterator[str]:
    for row in rows:
        component, what = said(row.component, words), said(row.upgrade or row.found, words)
        yield drawn("  " + words.say("{name}: {found}", name=component, found=what), words, width)
        how = "    " + said(row.how, words)
        yield drawn(how, words, width) if isinstance(row.how, Sentence) else how
