"""The command line: parses, calls, prints; decides nothing.

Each command imports what it needs when it runs, so that `--version`, `--help`
and `health` start quickly.
"""

from __future__ import annotations

import sys
import traceback
from io import TextIOWrapper
from typing import Annotated

import typer

from botbridge import __version__
from botbridge.cli.admin import admin_app
from botbridge.cli.bench import bench
from botbridge.cli.chat import chat
from botbridge.cli.config import config_app
from botbridge.cli.db import db_app
from botbridge.cli.doctor import doctor
from botbridge.cli.health import health
from botbridge.cli.models import models_app
from botbridge.cli.people import people_app
from botbridge.cli.plan import plan
from botbridge.cli.replay import replay
from botbridge.cli.run import run
from botbridge.cli.tongue import Spoken, Tongue
from botbridge.errors import BotBridgeError, ConfigError
from botbridge.sentences import Sentence, clauses, said

EXIT_FAILED = 1
EXIT_WRONG_USE = 2


def main() -> None:
    """Run the command that `sys.argv` names, and exit."""
    invoke(build_app())


def invoke(app: typer.Typer) -> None:
    """Run one command and exit: 0 done, 1 failed, 2 wrong use, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a letter gets a question mark for it
    spoken = Spoken()
    try:
        typer.main.get_command(app)(prog_name="botbridge", obj=spoken)
    except ConfigError as error:
        _tell_of(error, spoken.tongue)
        sys.exit(EXIT_WRONG_USE)
    except BotBridgeError as error:
        _tell_of(error, spoken.tongue)
        sys.exit(EXIT_FAILED)
    except Exception:  # noqa: BLE001 - the outermost place: a bug is told, without secrets
        _tell(traceback.format_exc())
        sys.exit(EXIT_FAILED)


def build_app() -> typer.Typer:
    """Mount every command group."""
    app = typer.Typer(
        help="A language model on your own CPU, behind Telegram and Discord.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    app.callback()(_root)
    app.command()(run)
    app.command()(chat)
    app.command()(health)
    app.command()(bench)
    app.command()(doctor)
    app.command()(plan)
    app.command()(replay)
    app.add_typer(models_app, name="models")
    app.add_typer(db_app, name="db")
    app.add_typer(admin_app, name="admin")
    app.add_typer(people_app, name="people")
    app.add_typer(config_app, name="config")
    return app


def _version(asked: bool) -> None:  # noqa: FBT001 - typer calls it so
    if asked:
        typer.echo(f"botbridge {__version__}")
        raise typer.Exit


def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, help="Print the version and exit.", callback=_version)
    ] = False,
) -> None:
    del version


def _tell_of(error: BotBridgeError, tongue: Tongue) -> None:
    """Say what went wrong, in another language where it was made of sentences."""
    sentences = [each for each in error.args if isinstance(each, Sentence)]
    if tongue is Tongue.EN or not sentences or len(sentences) < len(error.args):
        _tell(str(error) or type(error).__name__)
        return
    from botbridge.cli.model_words import language_with_clauses
    from botbridge.logs import Redaction, escape

    # A language's own characters that isolate names have to stay; those in the names do not.
    shown = clauses(each.refilled(lambda value: escape(str(value))) for each in sentences)
    typer.echo(f"botbridge: {Redaction()(said(shown, language_with_clauses(tongue)))}", err=True)


def _tell(text: str) -> None:
    """Write one line to stderr for each line of the text, without secrets and control characters."""
    from botbridge.logs import Redaction, escape

    for line in Redaction()(text).splitlines():
        typer.echo(f"botbridge: {escape(line)}", err=True)
