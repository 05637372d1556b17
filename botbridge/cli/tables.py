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
from typing import TYPE_CHECKING, Final, Literal
from unicodedata import bidirectional

import typer

from botbridge.conversation.texts import Language, isolated

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.measure import Measurement

LEFT_TO_RIGHT_MARK: Final = "\u200e"
RIGHT_TO_LEFT_ISOLATE: Final = "\u2067"
FIRST_STRONG_ISOLATE: Final = "\u2068"
END_ISOLATE: Final = "\u2069"
ISOLATES: Final = frozenset({"\u2066", RIGHT_TO_LEFT_ISOLATE, FIRST_STRONG_ISOLATE})
PIPED_COLUMNS: Final = 160
"""Of a table of long cells where nobody says how wide a line may be."""

LEAST_WIDTH: Final = 8
"""Of a column; narrower ones are harder to read than words that are broken anyhow."""

ENDLESS: Final = 100_000
"""A width at which nothing is wrapped."""


@dataclass(frozen=True, slots=True)
class Table:
    """Cells in rows below the names of their columns.

    Attributes:
        numbers: Which columns hold numbers, and are set to the right.
        title: Stands above it.
        ruled: Cells are long and have several lines: a rule stands between two rows.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[int] = frozenset()
    title: str = ""
    ruled: bool = False


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
        typer.echo(_printed(part, language, width) if on_terminal else _piped(part, language))


def _printed(part: Table | str, language: Language, width: int) -> str:
    shown = drawn(part, language, width)
    return f"{part.title}\n{shown}" if isinstance(part, Table) and part.title else shown


def _piped(part: Table | str, language: Language) -> str:
    is_long = isinstance(part, Table) and part.ruled
    return _printed(part, language, PIPED_COLUMNS) if is_long else plain(part, language)


def drawn(part: Table | str, language: Language, width: int) -> str:
    """Return a table with rules between its columns, or a text, wrapped to a width; further lines keep its indent."""
    from rich import box
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table as RichTable

    written = io.StringIO()
    console = Console(file=written, width=width, color_system=None, force_terminal=False, markup=False, emoji=False)
    if isinstance(part, str):
        for paragraph in part.split("\n"):
            begun = paragraph.lstrip(" ")
            console.print(Padding(begun, (0, 0, 0, len(paragraph) - len(begun))), highlight=False, soft_wrap=False)
        lines = (line.rstrip() for line in written.getvalue().strip("\n").split("\n"))
        return "\n".join(balanced(lines) if language.is_right_to_left else lines)
    form = box.HORIZONTALS if part.ruled else box.SIMPLE_HEAD
    table = RichTable(box=form, padding=(0, 1), pad_edge=False, show_lines=part.ruled)
    widths = column_widths(part, width)
    for place, name in enumerate(part.columns):
        justify: Literal["left", "right"] = "right" if place in part.numbers else "left"
        table.add_column(_cell(name, language), justify=justify, overflow="fold", width=widths[place])
    for row in part.rows:
        table.add_row(*(_cell(text, language) for text in row))
    console.print(table)
    # Rich begins and ends a table of this form with a line of blanks.
    return "\n".join(_line(line, language) for line in written.getvalue().split("\n") if line.strip())


def fits(part: Table, width: int) -> bool:
    """Tell whether a table can be drawn without breaking a word, or anything in its first column, which is copied."""
    return sum(_least_widths(part)) <= _room(part, width)


def turned(part: Table) -> Table:
    """Return a table whose rows are columns.

    >>> turned(Table(("engine", "prompt"), (("llamacpp", "384"),))).rows
    (('prompt', '384'),)
    """
    heads, *rows = _by_column(part)
    return Table(heads, tuple(rows), frozenset(range(1, len(heads))), part.title, part.ruled)


def column_widths(part: Table, width: int) -> Sequence[int | None]:
    """Return how wide each column is drawn so that no word is broken, or the longest words only.

    The first column, which is copied, stays whole. None leaves a column to Rich, on a screen too narrow for anything.

    >>> column_widths(Table(("model", "use"), (("gpt2", "a first try of it all"),)), 20)
    [5, 10]
    >>> column_widths(Table(("model", "use", "file"), (("gpt2", "BOTBRIDGE", "a-file-of-a-long-name.gguf"),)), 40)
    [5, 9, 18]
    """
    least, most = _least_widths(part), _most_widths(part)
    widths = list(least)
    while (spare := _room(part, width) - sum(widths)) < 0:
        widest = max(range(1, len(widths)), key=widths.__getitem__, default=0)
        if widest == 0 or widths[widest] <= LEAST_WIDTH:
            return [None] * len(part.columns)
        widths[widest] -= 1
    for place in sorted(range(len(widths)), key=lambda place: most[place] - least[place]):
        more = min(spare, most[place] - least[place])
        widths[place] += more
        spare -= more
    return widths


def _room(part: Table, width: int) -> int:
    """Return what is left for cells: Rich puts a blank before and after a line, and three between two cells."""
    return width - 2 - 3 * (len(part.columns) - 1)


def _most_widths(part: Table) -> list[int]:
    from rich.cells import cell_len

    return [max(cell_len(line) for cell in cells for line in cell.split("\n")) for cells in _by_column(part)]


def _least_widths(part: Table) -> list[int]:
    from rich.cells import cell_len

    words = [max((cell_len(word) for cell in cells for word in cell.split()), default=0) for cells in _by_column(part)]
    return [_most_widths(part)[0], *words[1:]]


def _by_column(part: Table) -> Iterator[tuple[str, ...]]:
    return zip(part.columns, *part.rows, strict=True)


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


def is_right_to_left(text: str) -> bool:
    """Tell whether a text is set from the right: by its first letter outside of isolates, as UAX #9 has it (P2).

    >>> is_right_to_left("\u2068Q4_0\u2069 \u0639\u0644\u0649 \u2068llama.cpp\u2069"), is_right_to_left("botbridge")
    (True, False)
    """
    depth = 0
    for letter in text:
        if letter in ISOLATES:
            depth += 1
        elif letter == END_ISOLATE:
            depth = max(depth - 1, 0)
        elif depth == 0 and (direction := bidirectional(letter)) in {"L", "R", "AL"}:
            return direction != "L"
    return False


def balanced(lines: Iterable[str]) -> Iterator[str]:
    r"""Close on each line of a wrapped text the isolates that are open at its end, and open them anew on the next.

    A terminal takes each line for a paragraph of its own; what is left open would take the rest of the line in.

    >>> [ascii(line) for line in balanced(["a " + FIRST_STRONG_ISOLATE + "b", "c" + END_ISOLATE + " d"])]
    ["'a \\u2068b\\u2069'", "'\\u2068c\\u2069 d'"]
    """
    open_ones: list[str] = []
    for line in lines:
        begun = "".join(open_ones)
        for letter in line:
            if letter in ISOLATES:
                open_ones.append(letter)
            elif letter == END_ISOLATE and open_ones:
                open_ones.pop()
        yield f"{begun}{line}{END_ISOLATE * len(open_ones)}"


@dataclass(frozen=True, slots=True)
class IsolatedCell:
    """A cell of which each line, after it was wrapped, is an isolate of its own."""

    text: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        lines: Iterable[Text] = Text(self.text).wrap(console, options.max_width, overflow="fold")
        opening = RIGHT_TO_LEFT_ISOLATE if is_right_to_left(self.text) else FIRST_STRONG_ISOLATE
        for line in balanced(line.plain.rstrip() for line in lines):
            yield Text(f"{opening}{line}{END_ISOLATE}", justify=options.justify)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        from rich.measure import Measurement
        from rich.text import Text

        return Measurement.get(console, options, Text(self.text))
