"""Tables for people: drawn by Rich on a terminal, aligned lines elsewhere, and whole where the words are Arabic.

A terminal that knows both directions turns a line around by its first letter, and two right-to-left cells that stand
beside one another into one. So in a right-to-left language every line begins with a LEFT-TO-RIGHT MARK, which keeps
the columns where they are, and each line of a cell is an isolate of its own
(Source: https://www.unicode.org/reports/tr9/#Explicit_Directional_Isolates).
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import typer

from botbridge.conversation.texts import Language, isolated

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.measure import Measurement

LEFT_TO_RIGHT_MARK: Final = "\u200e"
ENDLESS: Final = 100_000
"""A width at which nothing is wrapped."""


@dataclass(frozen=True, slots=True)
class Table:
    """Cells in rows below the names of their columns.

    Attributes:
        numbers: Which columns hold numbers, and are set to the right.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[int] = frozenset()


Page = Sequence["Table | str"]
"""What a command prints: tables, and texts between them."""


def is_terminal() -> bool:
    """Return whether stdout is read by a person."""
    from rich.console import Console

    return Console(file=sys.stdout).is_terminal


def width_of_lines() -> int:
    """Return how many columns a line of stdout has; one that no person reads has no end."""
    from rich.console import Console

    return Console(file=sys.stdout).width if is_terminal() else ENDLESS


def print_page(page: Page, language: Language) -> None:
    """Print to stdout: at the terminal's width where it is one, else one row a line for whatever reads it."""
    on_terminal, width = is_terminal(), width_of_lines()
    for place, part in enumerate(page):
        if place and isinstance(part, Table):
            typer.echo("")
        typer.echo(drawn(part, language, width) if on_terminal else plain(part, language))


def drawn(part: Table | str, language: Language, width: int) -> str:
    """Return a table with rules between its columns, or a text, wrapped to a width."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable

    written = io.StringIO()
    console = Console(file=written, width=width, color_system=None, force_terminal=False, markup=False, emoji=False)
    if isinstance(part, str):
        for paragraph in part.split("\n"):
            console.print(paragraph, highlight=False, soft_wrap=False)
        return "\n".join(line.rstrip() for line in written.getvalue().strip("\n").split("\n"))
    table = RichTable(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for place, name in enumerate(part.columns):
        table.add_column(_cell(name, language), justify="right" if place in part.numbers else "left", overflow="fold")
    for row in part.rows:
        table.add_row(*(_cell(text, language) for text in row))
    console.print(table)
    # Rich begins and ends a table of this form with a line of blanks.
    return "\n".join(_line(line, language) for line in written.getvalue().split("\n") if line.strip())


def plain(part: Table | str, language: Language) -> str:
    """Return a table as aligned lines, one for each row, or a text as it is."""
    if isinstance(part, str):
        return part
    from rich.cells import cell_len

    rows = [part.columns, *part.rows]
    rows = [tuple(text.replace("\n", "; ") for text in row) for row in rows]
    widths = [max(cell_len(row[place]) for row in rows) for place in range(len(part.columns))]

    def cells(row: Sequence[str]) -> Iterator[str]:
        for place, (text, width) in enumerate(zip(row, widths, strict=True)):
            gap = " " * (width - cell_len(text))
            shown = isolated(text) if language.is_right_to_left else text
            yield gap + shown if place in part.numbers else shown + gap

    return "\n".join(_line("  ".join(cells(row)).rstrip(), language) for row in rows)


def _line(line: str, language: Language) -> str:
    return f"{LEFT_TO_RIGHT_MARK}{line}" if language.is_right_to_left and line.strip() else line.rstrip()


def _cell(text: str, language: Language) -> IsolatedCell | str:
    return IsolatedCell(text) if language.is_right_to_left else text


@dataclass(frozen=True, slots=True)
class IsolatedCell:
    """A cell of which each line, after it was wrapped, is an isolate of its own."""

    text: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        lines: Iterable[Text] = Text(self.text).wrap(console, options.max_width, overflow="fold")
        for line in lines:
            line.rstrip()
            yield Text(isolated(line.plain), justify=options.justify)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        from rich.measure import Measurement
        from rich.text import Text

        return Measurement.get(console, options, Text(self.text))
