"""`botbridge config`: what is set, where it comes from, and whether it is in order."""

from __future__ import annotations

import json
from typing import Annotated

import typer

config_app = typer.Typer(help="Settings: show them, check them.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@config_app.command()
def show(*, as_json: AsJson = False) -> None:
    """Print every setting with where it comes from; secrets are hidden."""
    from botbridge.logs import escape
    from botbridge.settings import shown_settings

    shown = shown_settings()
    if as_json:
        typer.echo(json.dumps([setting._asdict() for setting in shown], indent=2))
        return
    for setting in shown:
        typer.echo(f"{setting.name}={escape(setting.value or '')}  ({setting.source})")


@config_app.command()
def check(*, as_json: AsJson = False) -> None:
    """Read all settings; exit 2 with one line for each mistake."""
    from botbridge.settings import load_settings

    settings = load_settings()
    platforms = {"telegram": settings.telegram.token is not None, "discord": settings.discord.token is not None}
    if as_json:
        typer.echo(json.dumps({"ok": True, "platforms": platforms}))
        return
    typer.echo("The settings are in order.")
    for name, is_on in platforms.items():
        typer.echo(f"{name}: {'on' if is_on else f'off, BOTBRIDGE_{name.upper()}__TOKEN is not set'}")
