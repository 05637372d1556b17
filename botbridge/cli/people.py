"""`botbridge people`: what is kept of a person, taken out or erased."""

from __future__ import annotations

import json
from typing import Annotated

import typer

people_app = typer.Typer(help="People: what is kept of them.", no_args_is_help=True)

Who = Annotated[str, typer.Argument(metavar="PLATFORM:ID", help="As telegram:42.")]


@people_app.command()
def export(
    who: Who, *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON, which it does anyway.")] = False
) -> None:
    """Print all that is stored of a person, as JSON."""
    import asyncio

    from botbridge.cli.printing import prepare, wrong_use
    from botbridge.control_verbs import PersonId, Verb
    from botbridge.operating import carry_out

    del as_json
    with wrong_use():
        person = PersonId.parse(who)
    found = asyncio.run(carry_out(prepare(quiet=True), Verb.EXPORT, person=str(person)))
    typer.echo(json.dumps(found, indent=2, ensure_ascii=False))


@people_app.command()
def forget(who: Who, *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Erase a person's messages, turns and names, from timed backups, too; other backups stay."""
    import asyncio

    from botbridge.cli.printing import prepare, wrong_use
    from botbridge.control_verbs import PersonId, Verb
    from botbridge.operating import carry_out

    with wrong_use():
        person = PersonId.parse(who)
    erased = asyncio.run(carry_out(prepare(quiet=True), Verb.FORGET, person=str(person)))
    if as_json:
        typer.echo(json.dumps(erased))
        return
    counts = ", ".join(f"{count} {name}" for name, count in erased.items() if count)
    typer.echo(f"{person} is forgotten: {counts or 'nothing was kept'}.")
