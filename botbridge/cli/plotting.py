"""The option `--plot`, alike in every command that draws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from botbridge.machine.charts import Bars, Chart

Plot = Annotated[
    str | None,
    typer.Option("--plot", metavar="FILE|-", help="Draw it, too: to a .png or .svg file, or here with `-`."),
]


def check_plot(target: str | None, *, as_json: bool) -> None:
    """Refuse what cannot be drawn before anything is measured.

    Raises:
        typer.BadParameter: It is of another form than .png and .svg, or JSON and a drawing would share the output.
        NotDrawn: What draws is not installed.
    """
    from botbridge.machine.drawing import TERMINAL, can_draw, require

    if target is None:
        return
    if not can_draw(target):
        raise typer.BadParameter(f"--plot {target}: a drawing is a file that ends with .png or .svg, or `-`")
    if target == TERMINAL and as_json:
        raise typer.BadParameter("--plot - and --json both want standard output: draw to a file")
    require(target)


def draw_plot(chart: Chart | Bars, target: str) -> None:
    """Draw to a file and say so, or print the drawing.

    Raises:
        NotDrawn: The file cannot be written.
    """
    from botbridge.cli.printing import note
    from botbridge.machine.drawing import TERMINAL, draw

    drawing = draw(chart, target)
    if target == TERMINAL:
        typer.echo(drawing)
    else:
        note(f"drawn: {target}")
