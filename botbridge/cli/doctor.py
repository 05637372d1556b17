"""`botbridge doctor`: can this machine run the chosen model, and is all set up."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from botbridge.cli.tongue import Lang, Tongue

if TYPE_CHECKING:
    from botbridge.diagnosing import Diagnosis
    from botbridge.machine.probe import MachineFacts


def doctor(
    *,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Another model than the settings'.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    lang: Lang = Tongue.EN,
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
        _print(found, lang)
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


def _print(found: Diagnosis, tongue: Tongue) -> None:
    from botbridge.cli.doctor_page import doctor_page, remedies
    from botbridge.cli.model_words import language_with_clauses
    from botbridge.cli.tables import print_page, width_of_lines

    words = language_with_clauses(tongue)
    width = width_of_lines()
    print_page((doctor_page(found, words, width),), words)
    typer.echo("\n".join(remedies(found, words, width)))
