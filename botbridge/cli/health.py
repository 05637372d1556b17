"""`botbridge health`: whether the running bot can answer."""

from __future__ import annotations

import json
from typing import Annotated

import typer

PATIENCE_S = 5.0


def health(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Ask the running bot how it is; exit 0 when it can answer on all its platforms, else 1."""
    import asyncio

    from botbridge.cli.printing import prepare
    from botbridge.control import SOCKET_NAME, ControlClient
    from botbridge.control_verbs import Verb
    from botbridge.errors import ControlError

    client = ControlClient(prepare(quiet=True).home / SOCKET_NAME)
    try:
        found = asyncio.run(client.ask(Verb.HEALTH, timeout_s=PATIENCE_S))
    except ControlError as error:
        if as_json:
            typer.echo(json.dumps({"ok": False, "detail": str(error)}, indent=2))
        raise
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        typer.echo(f"model: {found['state']} {found['model']} {found['detail']}".rstrip())
        for platform, state in found["platforms"].items():
            typer.echo(f"{platform}: {state}")
        for complaint in found["complaints"]:
            typer.echo(f"wrong: {complaint}")
        for warning in found["warnings"]:
            typer.echo(f"to mend: {warning}")
    raise typer.Exit(0 if found["ok"] else 1)
