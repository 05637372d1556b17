"""Looks at all that `botbridge doctor` judges: the model, the database, the port, the platforms. Changes nothing.

Covered: no network, no home, a bot that runs at the same time; each ends as a fact and none as an error.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit
from urllib.request import getproxies

from pydantic import SecretStr

from botbridge.accounts import Account, Unanswered
from botbridge.chosen import named_model, remote_options
from botbridge.control import LONGEST_PATH_BYTES, SOCKET_NAME, ControlClient
from botbridge.control_verbs import Verb
from botbridge.errors import BadToken, ControlError, PlatformError, StorageError
from botbridge.inference.choice import NO_MODEL_HERE
from botbridge.inference.remote_options import RemoteOptions, RemotePatience, base_url
from botbridge.inference.remote_wire import RemoteFault, choose_model
from botbridge.logs import Redaction
from botbridge.machine.doctor_facts import DatabaseFacts, Examined, HomeFacts, Licence, PortFacts, ServerFacts, Status
from botbridge.machine.probe import MachineFacts
from botbridge.model_at_hand import look_at_model
from botbridge.models.acceptance import read_acceptance
from botbridge.models.catalogue import load_catalogue
from botbridge.models.clearance import entry_of, named_licence, refusal, unknown_licence
from botbridge.models.licences import load_licences
from botbridge.platforms.discord import inquiry as discord_inquiry
from botbridge.platforms.telegram import inquiry as telegram_inquiry
from botbridge.sentences import Sentence
from botbridge.settings import Settings
from botbridge.storage.engines import sqlite_note
from botbridge.storage.migrate import check, head_revision, known_revision

if TYPE_CHECKING:
    # The SDK behind it is loaded where servers are asked.
    from botbridge.inference.remote_server import RemoteServer

PATIENCE_S: Final = 8.0
"""How long a platform may take to say who the bot is; both are asked at the same time."""

NAME_PATIENCE_S: Final = 4.0
"""How long the look-up of a host's name may take; without a network some systems try for half a minute."""

Inquire = Callable[[str, str, float], Awaitable[Account]]


async def examine(settings: Settings, machine: MachineFacts, told: Callable[[str], None]) -> Examined:
    """Look at everything.

    Args:
        settings: The operator's decisions.
        machine: What the machine is.
        told: Hears what takes longer than a second.

    Raises:
        ConfigError: no model can have the name that the settings give.
    """
    model, engines = await asyncio.to_thread(look_at_model, settings, machine, told)
    servers, database, running, telegram, discord = await asyncio.gather(
        look_at_servers(settings),
        _database(settings),
        _running_model(settings.home),
        ask(settings.telegram.token, settings.telegram.api_base_url, telegram_inquiry.inquire),
        ask(settings.discord.token, settings.discord.api_base_url, discord_inquiry.inquire),
    )
    return Examined(
        machine=machine,
        model=model,
        engines=engines,
        licence=_licence(settings),
        servers=servers,
        home=await asyncio.to_thread(look_at_home, settings.home),
        database=database,
        webhook=_port(settings),
        telegram=telegram,
        discord=discord,
        wants_message_content=settings.discord.message_content,
        running_model=running,
        sqlite_note=sqlite_note(),
    )


def _licence(settings: Settings) -> Licence | None:
    """Return what its licence says to the use that was declared or accepted; None where no model runs here.

    Raises:
        ConfigError: no model can have the name that the settings give.
    """
    if settings.inference.engine in NO_MODEL_HERE:
        return None
    named = named_model(settings)
    entry = entry_of(load_catalogue(home=settings.home), named)
    if entry is None:
        return Licence(unknown_licence(named, settings.hub.endpoint), Status.UNKNOWN)
    licences = load_licences()
    licence, gate = licences.find(entry.licence), licences.gate if entry.gated else None
    found = named_licence(licence)
    declared, accepted = settings.licence.use, read_acceptance(settings.home, entry.id)
    reason = refusal(entry, licence, gate, declared, accepted, likely=settings.likely_use)
    if reason is None:
        return Licence(found, Status.OK)
    return Licence(
        found,
        Status.UPGRADE,
        reason,
        f"botbridge models licence {entry.id} --use {settings.likely_use} --accept",
    )


def look_at_home(home: Path) -> HomeFacts:
    """Look whether a start could make the data directory, write to it and listen in it."""
    if len(os.fsencode(home / SOCKET_NAME)) > LONGEST_PATH_BYTES:
        longest_bytes = LONGEST_PATH_BYTES - len(f"/{SOCKET_NAME}")
        return HomeFacts(home, Sentence("its path has more than {limit} bytes", limit=longest_bytes))
    nearest = next(place for place in (home, *home.parents) if os.path.lexists(place))
    if not nearest.is_dir():
        return HomeFacts(home, Sentence("{place} is no directory", place=nearest))
    if not os.access(nearest, os.W_OK | os.X_OK):
        return HomeFacts(home, Sentence("this user may not write to {place}", place=nearest))
    return HomeFacts(home)


async def look_at_servers(settings: Settings) -> Sequence[ServerFacts]:
    """Ask each server elsewhere once for its models; none where the model runs here, or nothing is here to ask with."""
    if settings.inference.engine != "remote" or find_spec("openai") is None:
        return ()
    from botbridge.inference.remote_server import served_by  # noqa: PLC0415 - loads the SDK, which takes a while

    options = remote_options(settings)
    patience = RemotePatience(connect_s=NAME_PATIENCE_S, look_s=NAME_PATIENCE_S)
    servers = served_by(list(dict.fromkeys(map(base_url, options.urls))), options.key, patience)
    return await asyncio.gather(*(_look_at_server(server, options) for server in servers))


async def _look_at_server(server: RemoteServer, options: RemoteOptions) -> ServerFacts:
    host = urlsplit(server.url).hostname or ""
    try:
        if not getproxies() and not await has_address(host, NAME_PATIENCE_S):
            obstacle = Sentence("{host} is not found: no network, or no name server", host=host)
            return ServerFacts(server.url, options.model, obstacle)
        offer = await server.look()
        model = choose_model(options.model, list(offer.models), takes_only=options.takes_only_model)
    except RemoteFault as fault:
        return ServerFacts(server.url, options.model, fault.detail)
    except ValueError as error:
        return ServerFacts(server.url, options.model, f"{server.url} {error}")
    finally:
        await server.close()
    return ServerFacts(server.url, model)


async def _database(settings: Settings) -> DatabaseFacts:
    path = settings.database_path
    head = head_revision()
    try:
        if not await asyncio.to_thread(path.is_file):
            return DatabaseFacts(path, None, head)
        found = await check(path)
        if found.damage is None and found.revision not in {None, head}:
            await asyncio.to_thread(known_revision, path)
    except (StorageError, OSError) as error:
        return DatabaseFacts(path, None, head, str(error))
    damage = "" if found.damage is None else Sentence("it is damaged: {damage}", damage=found.damage)
    return DatabaseFacts(path, found.revision, head, damage)


async def _running_model(home: Path) -> str | None:
    """Return what the running bot computes with; empty where it does not say, None where no bot runs."""
    client = ControlClient(home / SOCKET_NAME)
    try:
        if not await client.is_served():
            return None
    except ControlError:
        return None
    try:
        return str((await client.ask(Verb.HEALTH, timeout_s=PATIENCE_S)).get("model", ""))
    except ControlError:
        return ""


def _port(settings: Settings) -> PortFacts | None:
    if settings.telegram.mode != "webhook":
        return None
    host, port = settings.web.host, settings.web.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        return PortFacts(host, port, error.strerror or str(error))
    return PortFacts(host, port)


async def ask(
    token: SecretStr | None, url: str, inquire: Inquire, patience_s: float = PATIENCE_S
) -> Account | Unanswered | None:
    """Ask a platform who the bot is; None where there is no token. Returns within a quarter of a minute, come what may.

    Args:
        token: The bot's token; it stands in no reason that is returned.
        url: Where the platform answers.
        inquire: Asks it.
        patience_s: How long the platform may take.
    """
    if token is None:
        return None
    secret, host = token.get_secret_value(), urlsplit(url).hostname or ""
    if not getproxies() and not await has_address(host, NAME_PATIENCE_S):
        return Unanswered(Sentence("{host} is not found: no network, or no name server", host=host))
    try:
        return await inquire(secret, url, patience_s)
    except BadToken as error:
        return Unanswered(error.reason, is_refused=True)
    except PlatformError as error:
        is_ours = isinstance(error.reason, Sentence)
        return Unanswered(error.reason if is_ours else Redaction([secret])(error.reason))


async def has_address(host: str, patience_s: float) -> bool:
    """Tell whether a host's name can be looked up in time.

    In a thread that nobody waits for: asyncio's own look-up cannot be cancelled, and the process would wait for it
    at its end.
    """
    loop = asyncio.get_running_loop()
    found: asyncio.Future[bool] = loop.create_future()

    def settle(*, is_found: bool) -> None:
        if not found.done():
            found.set_result(is_found)

    def look_up() -> None:
        try:
            socket.getaddrinfo(host, None)
            is_found = True
        except (OSError, UnicodeError):
            is_found = False
        with suppress(RuntimeError):  # the loop has ended, and nobody wants to know any more
            loop.call_soon_threadsafe(partial(settle, is_found=is_found))

    threading.Thread(target=look_up, daemon=True).start()
    try:
        return await asyncio.wait_for(found, patience_s)
    except TimeoutError:
        return False
