"""Draw charts: as PNG or SVG with matplotlib, in the terminal with plotext; neither shows a window or asks the network.

Both come with the extra `plot` and are imported only here, when
something is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from typing import Any, Final

from botbridge.errors import NotDrawn
from botbridge.inference.choice import adding
from botbridge.machine.charts import Bars, Chart, within

SUFFIXES: Final = (".png", ".svg")
TERMINAL: Final = "-"

DOTS_PER_INCH: Final = 150
SIZE_INCHES: Final = (9.0, 6.0)
NAMES_INCHES, BARS_INCHES, FRAME_INCHES, BAR_INCHES = 2.2, 3.0, 1.2, 0.34
"""Of bars: room for names, for each panel, for title and axis, for each bar."""

MOST_COLUMNS: Final = 4
ROOM_FOR_NUMBERS: Final = 0.25

TERMINAL_COLUMNS: Final = 80
TERMINAL_LINES: Final = 24
SYMBOLS: Final = ("braille", "•", "+", "x", "o", "#")
MARK_STYLES: Final = {"default": "─", "double": "║", "dotted": "┊"}
MOST_TICKS: Final = 7
BAR_CELLS: Final = 50

MOST_DECIMAL: Final = 1000.0
MARK_COLOUR: Final = "#444444"
GRID_COLOUR: Final = "#dddddd"
COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Can be told apart by people who see fewer colours. Source: Okabe and Ito 2002, "Color Universal Design"."""

STROKES: Final = ("-", "--", "-.", ":")


def can_draw(target: str) -> bool:
    """Tell whether a target is the terminal or a file of a form that is drawn."""
    return target == TERMINAL or Path(target).suffix.lower() in SUFFIXES


def require(target: str) -> None:
    """Check that what draws to this target is installed.

    Raises:
        NotDrawn: It is not; the sentence names the command that adds it.
    """
    package = "plotext" if target == TERMINAL else "matplotlib"
    if find_spec(package) is None:
        raise NotDrawn(f"{package}, which draws this, is not installed; `{adding('plot')}` adds it")


def draw(chart: Chart | Bars, target: str) -> str:
    """Draw to a file, or return the drawing for the terminal.

    Args:
        target: A path that ends with .png or .svg, or `-`.

    Returns:
        Lines to print for `-`, else nothing.

    Raises:
        NotDrawn: The package that draws is not installed, or the file cannot be written.
    """
    require(target)
    if target == TERMINAL:
        return _chart_text(chart) if isinstance(chart, Chart) else _bars_text(chart)
    figure = _chart_figure(chart) if isinstance(chart, Chart) else _bars_figure(chart)
    try:
        _save(figure, Path(target))
    except OSError as error:
        raise NotDrawn(f"{target} cannot be written: {error.strerror}") from error
    return ""


def _new_figure(width: float, height: float) -> Any:  # noqa: ANN401 - matplotlib has no types
    """Return a figure that belongs to no window and to no list of figures."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - optional, and a second of any start
    from matplotlib.figure import Figure  # noqa: PLC0415 - as above

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Any, path: Path) -> None:  # noqa: ANN401 - as above
    """Write the file whole; an SVG holds no date and its letters as shapes, so that it looks alike everywhere."""
    import matplotlib as mpl  # noqa: PLC0415 - as above

    form = path.suffix.lower().removeprefix(".")
    metadata = {"Date": None} if form == "svg" else {"Software": None}
    with mpl.rc_context({"svg.hashsalt": "botbridge"}):
        figure.savefig(path, format=form, dpi=DOTS_PER_INCH, metadata=metadata)


def _chart_figure(chart: Chart) -> Any:  # noqa: ANN401 - as above
    figure = _new_figure(*SIZE_INCHES)
    axes = figure.subplots()
    for curve, colour, stroke in zip(within(chart).curves, cycle(COLOURS), cycle(STROKES), strict=False):
        x, y = zip(*curve.points, strict=True) if curve.points else ((), ())
        axes.plot(x, y, label=curve.label, color=colour, linestyle=stroke, marker="o" if chart.dots else None)
    for mark, stroke in zip(chart.marks, cycle(STROKES), strict=False):
        if mark.x is not None:
            axes.axvline(mark.x, label=mark.label, color=MARK_COLOUR, linestyle=stroke, linewidth=1.2)
        if mark.y is not None:
            axes.axhline(mark.y, label=mark.label, color=MARK_COLOUR, linestyle=stroke, linewidth=1.2)
    axes.set(title=chart.title, xlabel=chart.x_label, ylabel=chart.y_label)
    axes.set_ylim(0, chart.most_y)
    if chart.dots:
        axes.set_xscale("log", base=2)
        axes.set_xticks(_x_ticks(chart), [f"{x:g}" for x in _x_ticks(chart)])
    else:
        axes.set_xlim(left=0)
    axes.grid(visible=True, color=GRID_COLOUR)
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def _bars_figure(bars: Bars) -> Any:  # noqa: ANN401 - as above
    columns = max(min(len(bars.panels), MOST_COLUMNS), 1)
    rows = max(math.ceil(len(bars.panels) / columns), 1)
    height = rows * (FRAME_INCHES + BAR_INCHES * len(bars.names))
    figure = _new_figure(NAMES_INCHES + BARS_INCHES * columns, height)
    figure.suptitle(bars.title)
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).flatten()
    places = range(len(bars.names))
    for axes, (quantity, values), colour in zip(panels, bars.panels, cycle(COLOURS), strict=False):
        drawn = axes.barh(places, [value or 0.0 for value in values], color=colour)
        axes.bar_label(drawn, [_number(value) for value in values], padding=3)
        axes.set_xlabel(quantity)
        axes.margins(x=ROOM_FOR_NUMBERS)
    for axes in panels[len(bars.panels) :]:
        axes.set_visible(False)
    panels[0].set_yticks(places, bars.names)
    panels[0].invert_yaxis()
    return figure


def _chart_text(chart: Chart) -> str:
    """Draw with characters: title, what goes up, the drawing, and below it what each character stands for."""
    named = []
    with _terminal_figure() as figure:
        for curve, symbol in zip(within(chart).curves, cycle(SYMBOLS), strict=False):
            x, y = [_at(chart, x) for x, _ in curve.points], [y for _, y in curve.points]
            figure.draw(figure.signal(x, y, marker=symbol).lines())
            named.append(f"{'⣀' if symbol == 'braille' else symbol}  {curve.label}")
        for mark, (style, symbol) in zip(chart.marks, cycle(MARK_STYLES.items()), strict=False):
            if mark.x is not None:
                figure.line(_at(chart, mark.x), "vertical", style=style)
            if mark.y is not None:
                figure.line(mark.y, "horizontal", style=style)
            named.append(f"{symbol}  {mark.label}")
        figure.label(chart.x_label, "x")
        most_y = chart.most_y or 1.05 * max(_values(chart, 1), default=1.0)
        figure.ruler("y").lim(0.0, most_y)
        figure.ruler("y").ticks(ticks(most_y), [f"{tick:,g}" for tick in ticks(most_y)])
        if not chart.dots:
            figure.ruler("x").lim(0.0, max(_values(chart, 0), default=1.0))
        x_ticks = _x_ticks(chart)
        figure.ruler("x").ticks([_at(chart, tick) for tick in x_ticks], [f"{tick:,g}" for tick in x_ticks])
        drawn: str = figure.build().string(colorless=True)
    return "\n".join([chart.title, "", chart.y_label, *(line.rstrip() for line in drawn.splitlines()), "", *named])


def _at(chart: Chart, x: float) -> float:
    """Return where an x stands in the terminal: at its logarithm where it doubles from one to the next."""
    return math.log2(x) if chart.dots else x


def _bars_text(bars: Bars) -> str:
    """Write bars of block characters: a name, its bar and its value on a line, one panel under the other."""
    room = max((len(name) for name in bars.names), default=0)
    lines = [bars.title]
    for quantity, values in bars.panels:
        longest = max((value for value in values if value is not None), default=0.0)
        lines += ["", quantity]
        for name, value in zip(bars.names, values, strict=True):
            cells = round(BAR_CELLS * (value or 0.0) / longest) if longest else 0
            lines.append(f"{name:<{room}}  {'█' * cells} {_number(value)}")
    return "\n".join(lines)


@contextmanager
def _terminal_figure() -> Iterator[Any]:
    """Have plotext's one figure, empty, without colours, and of a size that does not depend on the terminal's."""
    import plotext  # noqa: PLC0415 - optional

    figure = plotext.figure
    figure.clear.all()
    figure.plot_size(TERMINAL_COLUMNS, TERMINAL_LINES)
    try:
        yield figure
    finally:
        figure.clear.all()


def _values(chart: Chart, axis: int) -> list[float]:
    return sorted({point[axis] for curve in chart.curves for point in curve.points})


def _x_ticks(chart: Chart) -> list[float]:
    """Return what was measured at, or round numbers."""
    x = _values(chart, 0)
    return x if chart.dots else ticks(max(x, default=1.0))


def ticks(most: float) -> list[float]:
    """Return round numbers from 0 to at most this, eight or fewer.

    >>> ticks(30.0), ticks(1.0), ticks(1540.0)
    ([0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0], [0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.0, 500.0, 1000.0, 1500.0])
    """
    power = 10.0 ** math.floor(math.log10(most / MOST_TICKS))
    step = next(step for factor in (1, 2, 5, 10) if most / (step := factor * power) <= MOST_TICKS)
    return [round(number * step, 12) for number in range(int(most / step * (1 + 1e-9)) + 1)]


def _number(value: float | None) -> str:
    """Write a value beside its bar; three digits that count, and a dash where nobody knows.

    >>> _number(1234.5), _number(0.808), _number(None)
    ('1,234', '0.808', '–')
    """
    return "–" if value is None else f"{value:,.0f}" if value >= MOST_DECIMAL else f"{value:.3g}"
