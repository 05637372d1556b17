"""`botbridge doctor`: can this machine run the chosen model, and is all set up."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from botbridge.diagnosing import Diagnosis
    from botbridge.machine.doctor_facts import Row
    from botbridge.machine.probe import MachineFacts

WIDE_COLUMNS: Final = 150
"""From this width on, what to change stands in the table, too; a command is only ever copied from below it."""

PIPED_COLUMNS: Final = 160


def doctor(
    *,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Another model than the settings'.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look this machine and this set-up over; exit 0 when the bot can start, else 1 with what mends it."""
    import asyncio

    from botbridge.cli.printing import note, prepare
    from botbridge.diagnosing import diagnose
    from botbridge.machine.probe import LocalProbe

    settings = prepare({"INFERENCE__MODEL": model}, quiet=True)
    found = asyncio.run(diagnose(settings, LocalProbe(), note))
    if as_json:
        typer.echo(json.dumps(facts_of(found), indent=2))
    else:
        _print(found)
    raise typer.Exit(0 if found.is_ready else 1)


def facts_of(found: Diagnosis) -> dict[str, Any]:
    """Return what `--json` prints; docs/schemas/doctor.json says what each part means."""
    from dataclasses import asdict

    return {
        "model": found.model,
        "ready": found.is_ready,
        "rows": [asdict(row) for row in found.rows],
        "machine": _machine_facts(found.machine),
    }


def _machine_facts(machine: MachineFacts) -> dict[str, Any]:
    from dataclasses import asdict

    facts = asdict(machine) | {"home": str(machine.home)}
    facts["processor"]["flags"] = sorted(machine.processor.flags)
    return facts


def _print(found: Diagnosis) -> None:
    import sys

    from rich.console import Console
    from rich.table import Table

    from botbridge.machine.doctor_facts import Status

    console = Console(width=None if sys.stdout.isatty() else PIPED_COLUMNS, highlight=False, markup=False)
    table = Table(title=f"Can this machine run {found.model}?", title_justify="left", show_lines=True)
    titles = ["Component", "Found", "Needed", "Status", "Upgrade needed", "How"]
    shown = titles if console.width >= WIDE_COLUMNS else titles[:4]
    for title in shown:
        table.add_column(title, overflow="fold")
    for row in found.rows:
        cells = [row.component, row.found, row.needed, row.status.value, row.upgrade, row.how]
        table.add_row(*cells[: len(shown)])
    console.print(table)
    for status, heading in ((Status.UPGRADE, "What has to change:"), (Status.OPTIONAL, "What could be better:")):
        _print_remedies(heading, [row for row in found.rows if row.status is status])
    typer.echo("Ready." if found.is_ready else "Not ready.")


def _print_remedies(heading: str, rows: Sequence[Row]) -> None:
    """Print one remedy a line, never broken, so that it can be copied."""
    if rows:
        typer.echo(heading)
    for row in rows:
        typer.echo(f"  {row.component}: {row.upgrade}")
        typer.echo(f"    {row.how}")
