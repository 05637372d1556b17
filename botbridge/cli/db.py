"""`botbridge db`: the database's schema, soundness and copies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from botbridge.settings import Settings

db_app = typer.Typer(help="Database: upgrade, check, back up, restore.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@db_app.command()
def upgrade(*, as_json: AsJson = False) -> None:
    """Bring the database to this version's schema; one that holds anything is backed up first."""
    import asyncio

    from botbridge.cli.printing import prepare
    from botbridge.storage.migrate import upgrade as upgrade_database

    settings = prepare(quiet=True)
    with _held(settings):
        done = asyncio.run(upgrade_database(settings.database_path, settings.home / "backups"))
    backup = None if done.backup is None else str(done.backup)
    if as_json:
        typer.echo(json.dumps({"before": done.before, "after": done.after, "backup": backup}))
    elif done.before == done.after:
        typer.echo(f"The database is at revision {done.after} already.")
    else:
        kept = f"; the old one is kept at {backup}" if backup else ""
        typer.echo(f"The database is at revision {done.after}, it was at {done.before or 'none'}{kept}.")


@db_app.command()
def check(*, as_json: AsJson = False) -> None:
    """Look whether the database is sound and of this version's schema; exit 1 when it is not."""
    import asyncio

    from botbridge.cli.printing import prepare
    from botbridge.storage.migrate import check as check_database

    found = asyncio.run(check_database(prepare(quiet=True).database_path))
    is_right = found.damage is None and found.revision == found.head
    if as_json:
        typer.echo(json.dumps({"ok": is_right, "damage": found.damage, "revision": found.revision, "head": found.head}))
    elif found.damage is not None:
        typer.echo(f"The database is damaged: {found.damage}")
    else:
        typer.echo(f"The database is sound; its revision is {found.revision or 'none'}, this version's {found.head}.")
    raise typer.Exit(0 if is_right else 1)


@db_app.command()
def backup(path: Annotated[Path, typer.Argument(help="The copy; there must be no such file yet.")]) -> None:
    """Copy the database, while it is in use or not, into one verified file."""
    import asyncio

    from botbridge.cli.printing import prepare
    from botbridge.control_verbs import Verb
    from botbridge.operating import carry_out

    done = asyncio.run(carry_out(prepare(quiet=True), Verb.BACKUP, path=str(path.absolute())))
    typer.echo(f"The database {done['database']} was copied to {path}.")


@db_app.command()
def restore(
    path: Annotated[Path, typer.Argument(help="A backup; it is verified first and left as it is.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Put a backup in the database's place; the old database is kept beside it. Stop the bot first."""
    import asyncio

    from botbridge.cli.printing import prepare
    from botbridge.storage.restore import restore as restore_database

    settings = prepare(quiet=True)
    with _held(settings):
        done = asyncio.run(restore_database(settings.database_path, path))
    if as_json:
        kept = None if done.kept is None else str(done.kept)
        typer.echo(json.dumps({"revision": done.revision, "kept": kept}))
        return
    typer.echo(f"The database is the one of {path} now; messages that waited when that was made wait again.")
    if done.kept is not None:
        typer.echo(f"The old one is kept at {done.kept}.")


@contextmanager
def _held(settings: Settings) -> Iterator[None]:
    """Keep the bot away from the database.

    Raises:
        DatabaseInUse: it has the database; it is to be stopped first.
        StorageUnavailable: the data directory or the lock's file cannot be made.
    """
    from botbridge.errors import DatabaseInUse
    from botbridge.storage.files import make_home
    from botbridge.storage.lock import DatabaseLock

    make_home(settings.home)
    with ExitStack() as stack:
        try:
            stack.enter_context(DatabaseLock(settings.database_path))
        except DatabaseInUse as error:
            raise DatabaseInUse(f"{error}; stop the bot first") from error
        yield
