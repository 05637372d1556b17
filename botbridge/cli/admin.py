"""`botbridge admin`: acts on the conversations, with or without a running bot."""

from __future__ import annotations

import json
from typing import Annotated

import typer

admin_app = typer.Typer(help="Conversations: reset them, see who waits.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@admin_app.command()
def reset(
    *,
    person: Annotated[str | None, typer.Option(metavar="PLATFORM:ID", help="One person's, as telegram:42.")] = None,
    chat: Annotated[str | None, typer.Option(metavar="PLATFORM:ID", help="One chat's, as telegram:-100.")] = None,
    everybody: Annotated[bool, typer.Option("--everybody", help="All conversations everywhere.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Confirm a reset of everybody's.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start conversations anew; what was said stays stored until `people forget` removes it."""
    import asyncio

    from botbridge.cli.printing import prepare, wrong_use
    from botbridge.control_verbs import Verb, reset_target
    from botbridge.operating import carry_out

    if [person is not None, chat is not None, everybody].count(True) != 1:
        raise typer.BadParameter("name one of --person, --chat and --everybody")
    if everybody and not yes:
        raise typer.BadParameter("this resets the conversations of everybody; to go on, add --yes")
    with wrong_use():
        reset_target({"person": person, "chat": chat, "everybody": everybody})
    done = asyncio.run(carry_out(prepare(quiet=True), Verb.RESET, person=person, chat=chat, everybody=everybody))
    typer.echo(json.dumps(done) if as_json else f"{done['conversations']} conversations were reset.")


@admin_app.command()
def queue(*, as_json: AsJson = False) -> None:
    """Print who is being answered and who waits; ids only."""
    import asyncio

    from botbridge.cli.printing import prepare
    from botbridge.control_verbs import Verb
    from botbridge.operating import carry_out

    found = asyncio.run(carry_out(prepare(quiet=True), Verb.QUEUE))
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for state in ("running", "waiting"):
        for row in found[state]:
            typer.echo(f"{state}: message {row['id']} of {row['platform']}:{row['person']}")
    if not found["running"] and not found["waiting"]:
        typer.echo("Nobody waits.")
