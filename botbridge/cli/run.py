"""`botbridge run`: the bot, on every platform that has a token, and in this terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from botbridge.faults import Faults
    from botbridge.running import App
    from botbridge.settings import Settings


EXIT_DEAF = 3
EXIT_BY_SIGNAL = 128
"""Plus the signal's number, as shells have it."""

NOBODY = (
    "nobody could talk to this bot: set BOTBRIDGE_TELEGRAM__TOKEN or BOTBRIDGE_DISCORD__TOKEN, start it in a terminal, "
    "or set BOTBRIDGE_RUN__WITHOUT_PLATFORMS=true if `botbridge chat` is to be all"
)

STRANGERS = (
    "Access: open, so whoever finds the bot may use what computes for it; BOTBRIDGE_ACCESS__MODE=listed leaves it to "
    "the operators and BOTBRIDGE_ACCESS__ALLOW"
)

TRACKER_IS_SILENT = "ignore:resource_tracker:UserWarning"
"""Python's resource tracker, a process of its own, removes the semaphores of whoever ends at once and warns of it."""


def run() -> None:
    """Start the bot: every platform that has a token; with none, a chat in this terminal. Ctrl-C or SIGTERM ends it."""
    import asyncio
    import sys

    from botbridge.cli.printing import log_to_stderr
    from botbridge.settings import load_settings

    settings = load_settings()
    has_platform = settings.telegram.token is not None or settings.discord.token is not None
    with_chat = not has_platform and sys.stdin.isatty() and sys.stdout.isatty()
    # Somebody who talks here wants to read the conversation, not the log.
    log_to_stderr(settings, quiet=with_chat)
    _announce(settings)
    _require_somebody(settings, is_spoken_to=has_platform or with_chat)
    _announce_licence(settings)
    asyncio.run(_serve(settings, with_chat=with_chat))


async def _serve(settings: Settings, *, with_chat: bool, faults: Faults | None = None) -> None:
    import asyncio
    import gc

    from botbridge.app import build
    from botbridge.faults import NO_FAULTS

    told_to_stop = _told_to_stop()
    async with build(settings, faults=faults or NO_FAULTS) as app:
        gc.freeze()  # what was loaded stays for good, and to look through it for garbage takes 0.1 s each time
        ends = [asyncio.create_task(told_to_stop.wait()), asyncio.create_task(app.failed())]
        if with_chat:
            ends.append(asyncio.create_task(_chat(app)))
        if settings.run.exit_when_deaf_s is not None:
            ends.append(asyncio.create_task(_leave_when_deaf(app, settings.run.exit_when_deaf_s)))
        done, running = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if told_to_stop.is_set() and not with_chat:
            await app.drain(settings.run.grace_s)
        await _cancelled(running)
        for task in done:
            task.result()


def _told_to_stop() -> asyncio.Event:
    """Set by the first SIGTERM or Ctrl-C, which stops everything in order; the second one ends the process at once.

    Nothing is lost by that: the database is always as after a power cut, and
    the worker leaves because its pipe breaks, and the resource tracker removes
    the semaphores of both.
    """
    import asyncio
    import os
    import signal
    import sys

    from botbridge.cli.printing import note

    # Handed down to the processes that are started from now on, the tracker among them.
    sys.warnoptions.append(TRACKER_IS_SILENT)
    told = asyncio.Event()
    numbers = (signal.SIGTERM, signal.SIGINT)

    def leave_at_once(number: int, _frame: object) -> None:
        os._exit(EXIT_BY_SIGNAL + number)

    def stop(loop: asyncio.AbstractEventLoop) -> None:
        for number in numbers:
            # The interpreter's own handler: the event loop may be what hangs.
            loop.remove_signal_handler(number)
            signal.signal(number, leave_at_once)
        note("Stopping; a second signal leaves at once.")
        told.set()

    loop = asyncio.get_running_loop()
    for number in numbers:
        loop.add_signal_handler(number, stop, loop)
    return told


async def _leave_when_deaf(app: App, after_s: float) -> None:
    """Raise when the model could not run for too long, so that whoever watches the service learns of it.

    Raises:
        typer.Exit: with the code that means this and nothing else.
    """
    import typer

    from botbridge.cli.printing import note
    from botbridge.running import deaf

    reason = await deaf(app.generator, after_s)
    note(f"The model could not run for {after_s:g} s, so I leave (RUN__EXIT_WHEN_DEAF_S): {reason}")
    raise typer.Exit(EXIT_DEAF)


async def _chat(app: App) -> None:
    from botbridge.platforms.terminal.adapter import local_person
    from botbridge.platforms.terminal.chat import LocalChat
    from botbridge.platforms.terminal.screen import Screen

    await Screen(LocalChat(app.terminal, local_person())).converse()


async def _cancelled(tasks: Iterable[asyncio.Task[Any]]) -> None:
    import asyncio

    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _announce(settings: Settings) -> None:
    """Say which platforms are on, how to turn on those that are off, and that strangers may come in where they may."""
    from botbridge.cli.printing import note

    for name, token, source in (
        ("Telegram", settings.telegram.token, "@BotFather on Telegram gives you a token"),
        ("Discord", settings.discord.token, "https://discord.com/developers/applications gives you a token"),
    ):
        if token is None:
            note(f"{name}: off, no token ({source}; put it into .env as BOTBRIDGE_{name.upper()}__TOKEN=...)")
        else:
            note(f"{name}: on")
    has_platform = settings.telegram.token is not None or settings.discord.token is not None
    if has_platform and settings.access.mode == "open":
        note(STRANGERS)
    note(f"Model: {settings.inference.model}; data: {settings.home}")


def _require_somebody(settings: Settings, *, is_spoken_to: bool) -> None:
    """Refuse to stay up for nobody.

    Raises:
        ConfigError: there is no platform and no terminal, and nothing says that this is meant.
    """
    from botbridge.errors import ConfigError

    if not (is_spoken_to or settings.run.without_platforms):
        raise ConfigError(NOBODY)


def _announce_licence(settings: Settings) -> None:
    """Show what the model's licence wants shown, or say that nobody knows it.

    Raises:
        ModelNotLicensed: it forbids the use, or was not accepted for it.
    """
    from botbridge.chosen import clearance, named_model
    from botbridge.cli.printing import note
    from botbridge.models.clearance import unknown_licence

    cleared = clearance(settings)
    if cleared is not None and not cleared.is_known:
        note(unknown_licence(named_model(settings), settings.hub.endpoint))
    for line in () if cleared is None else cleared.shown:
        note(line)
