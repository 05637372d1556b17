"""What every command prints with: facts to stdout, notes to the operator to stderr."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from botbridge.settings import Settings


def prepare(options: Mapping[str, str | None] | None = None, *, quiet: bool = False) -> Settings:
    """Read the settings, and send log lines to stderr.

    Args:
        options: What the command line says, by variable name without the prefix.
        quiet: Log errors only, unless the operator set a level.

    Raises:
        ConfigError: One line for each problem.
    """
    from botbridge.settings import load_settings

    settings = load_settings(options)
    log_to_stderr(settings, quiet=quiet)
    return settings


def log_to_stderr(settings: Settings, *, quiet: bool) -> None:
    """Send log lines to stderr; only errors when `quiet`, unless the operator set a level."""
    from botbridge.logs import configure

    level = "ERROR" if quiet and settings.log.level == "INFO" else settings.log.level
    configure(level, settings.log.format, secrets=settings.secrets)


@contextmanager
def wrong_use() -> Iterator[None]:
    """Make a mistake in what was typed one of usage, with exit code 2."""
    from botbridge.errors import ControlError

    try:
        yield
    except ControlError as error:
        raise typer.BadParameter(str(error)) from error


def note(text: str) -> None:
    """Tell the operator something that is not the command's result."""
    typer.echo(text, err=True)
