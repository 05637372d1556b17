"""`botbridge chat`: talk to the model in this terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from botbridge.control import ControlClient
    from botbridge.platforms.terminal.chat import Chat
    from botbridge.settings import Settings

HEALTH_PATIENCE_S = 10.0
EXIT_TERMINATED = 143
"""What a shell says of a command that SIGTERM ended: 128 and the signal's number."""
LARGEST_SEED = 2**63 - 1
"""As in control_verbs; to import that here would make every command start later."""


def chat(
    *,
    once: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Ask this one thing, print the answer alone, and leave.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Id of `models list`, ORG/NAME, or a directory.")] = None,
    engine: Annotated[str | None, typer.Option(help="What runs the model.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=LARGEST_SEED, help="Make the answers repeatable.")] = None,
) -> None:
    """Talk to the model: with the running bot if there is one, else alone, where nothing is kept."""
    import asyncio

    from botbridge.cli.printing import prepare

    if once is not None and not once.strip():
        raise typer.BadParameter("--once needs a text to ask")
    # Somebody is talking here, so a service's reports would be noise; what went wrong is told in a sentence.
    settings = prepare({"INFERENCE__MODEL": model, "INFERENCE__ENGINE": engine}, quiet=True)
    try:
        asyncio.run(_chat(settings, once, seed, is_particular=model is not None or engine is not None))
    except asyncio.CancelledError as error:
        raise typer.Exit(EXIT_TERMINATED) from error


async def _chat(settings: Settings, once: str | None, seed: int | None, *, is_particular: bool) -> None:
    import sys

    from botbridge.platforms.terminal.chat import answer_in, final_reply
    from botbridge.platforms.terminal.screen import HINT, Screen, converse_by_line

    _leave_in_order_on_sigterm()
    async with _opened(settings, seed, is_particular=is_particular) as partner:
        if once is not None:
            typer.echo(answer_in(await final_reply(partner.ask(once), _note_status)))
        elif sys.stdin.isatty():
            typer.echo(HINT, err=True)
            await Screen(partner).converse()
        else:
            await converse_by_line(partner, sys.stdin, sys.stdout)


def _leave_in_order_on_sigterm() -> None:
    """Cancel this task once when the signal comes, so that the worker is stopped before we leave."""
    import asyncio
    import signal

    talking = asyncio.current_task()
    assert talking is not None

    def stop() -> None:
        if not talking.cancelling():
            talking.cancel()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)


def _opened(settings: Settings, seed: int | None, *, is_particular: bool) -> AbstractAsyncContextManager[Chat]:
    """Open the chat: with the running service where it has what is asked for, else with one of our own."""
    from contextlib import asynccontextmanager

    from botbridge.control import SOCKET_NAME, ControlClient
    from botbridge.control_verbs import JoinedChat
    from botbridge.platforms.terminal.adapter import local_person

    @asynccontextmanager
    async def opened() -> AsyncIterator[Chat]:
        service = ControlClient(settings.home / SOCKET_NAME)
        if await service.is_served() and await _suits(service, settings, is_particular=is_particular):
            yield JoinedChat(service, seed, local_person().language)
        else:
            async with _alone(settings, seed) as chat:
                yield chat

    return opened()


async def _suits(service: ControlClient, settings: Settings, *, is_particular: bool) -> bool:
    """Whether the running service has the model and the engine that were asked for.

    Raises:
        ControlError: it does not answer, or has no model to answer with.
    """
    from botbridge.control_verbs import Verb
    from botbridge.errors import ControlError

    health = await service.ask(Verb.HEALTH, timeout_s=HEALTH_PATIENCE_S)
    if is_particular:
        inference = settings.inference
        return bool(health["model"] == inference.model and inference.engine in {"auto", health["engine"]})
    if health["state"] == "unavailable":
        raise ControlError(f"the running service cannot answer: {health['detail']}")
    return True


def _alone(settings: Settings, seed: int | None) -> AbstractAsyncContextManager[Chat]:
    from contextlib import asynccontextmanager
    from dataclasses import replace

    from botbridge.api import for_one_person
    from botbridge.app import build, make_policy
    from botbridge.platforms.terminal.adapter import TERMINAL, local_person
    from botbridge.platforms.terminal.chat import LocalChat

    @asynccontextmanager
    async def opened() -> AsyncIterator[Chat]:
        own = for_one_person(settings)
        sampling = None if seed is None else replace(make_policy(own).sampling, seed=seed)
        async with build(own, in_memory=True, platforms={TERMINAL}) as app:
            await app.wait_ready()
            yield LocalChat(app.terminal, local_person(), sampling)

    return opened()


def _note_status(text: str) -> None:
    typer.echo(text, err=True)
