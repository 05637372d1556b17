"""The composition root: the running service is put together here.

`build` makes its parts; nothing is opened before the `App` is entered. Commands
that do without the service open what they need themselves.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection
from functools import partial
from importlib.util import find_spec

import structlog

from botbridge import health
from botbridge.answers import Sampling
from botbridge.chosen import clearance, engine_options, measured_rates, named_model, remote_options
from botbridge.control import SOCKET_NAME, ControlServer
from botbridge.conversation.access import Access, AccessMode
from botbridge.conversation.acts import Acts
from botbridge.conversation.delivery import Delivery
from botbridge.conversation.desk import Desk
from botbridge.conversation.estimates import Estimates
from botbridge.conversation.limits import Limits
from botbridge.conversation.line import PersonKey
from botbridge.conversation.policy import Policy
from botbridge.conversation.room import Room
from botbridge.conversation.scope import Scope
from botbridge.conversation.service import ConversationService
from botbridge.conversation.texts import Texts, load_texts
from botbridge.conversation.waits import Waits
from botbridge.errors import ConfigError
from botbridge.faults import NO_FAULTS, Faults
from botbridge.hooks import telegram_hook, web_server
from botbridge.inference.choice import NO_MODEL_HERE, adding
from botbridge.inference.client import WorkerClient
from botbridge.inference.remote import RemoteGenerator
from botbridge.menus import discord_menu, telegram_menus
from botbridge.messages import PlatformName, UserId
from botbridge.models.ensure import ensure
from botbridge.models.store import ModelStore
from botbridge.platforms.discord.adapter import DiscordPlatform
from botbridge.platforms.discord.translate import DISCORD
from botbridge.platforms.telegram.adapter import TelegramPlatform
from botbridge.platforms.telegram.translate import TELEGRAM
from botbridge.platforms.terminal.adapter import TERMINAL, TerminalPlatform, local_person
from botbridge.ports import OpenedGenerator, Platform, State
from botbridge.running import App, Operations
from botbridge.setting_groups import DEFAULT_MODEL
from botbridge.settings import Settings, child_environment
from botbridge.stores import Storage, in_memory_storage, sql_storage
from botbridge.watching import Watch

log = structlog.get_logger(__name__)


def build(
    settings: Settings,
    *,
    in_memory: bool = False,
    platforms: Collection[str] | None = None,
    pull_missing: bool = False,
    telegram_clock: Callable[[], float] = time.monotonic,
    faults: Faults = NO_FAULTS,
) -> App:
    """Make a botbridge.

    Args:
        settings: The operator's decisions.
        in_memory: Keep nothing beyond the process and serve no control socket.
        platforms: Only these, of `telegram`, `discord` and `terminal`; None is
            all for which there is a token, and the terminal.
        pull_missing: Fetch the model whichever it is; otherwise only the
            default one is fetched without being asked for.
        telegram_clock: Monotonic seconds, by which Telegram's rate rules are kept.
        faults: What happens at the moments that `faults.Boundary` names.

    Raises:
        ConfigError: no model can have the name in the settings, or the package for servers elsewhere is missing.
        ModelNotLicensed: the model's licence forbids the use, or was not accepted for it.
    """
    texts = load_texts()
    storage = in_memory_storage() if in_memory else sql_storage(settings, faults)
    terminal = TerminalPlatform()
    here = make_platforms(settings, storage, texts, terminal, platforms, telegram_clock=telegram_clock, faults=faults)
    generator = make_generator(settings, storage.state, pull_missing=pull_missing)
    room, waits = Room(time.monotonic), Waits()
    delivery = Delivery(storage.outbox, here, texts, faults)
    acts = Acts(
        inbox=storage.inbox,
        history=storage.history,
        people=storage.people,
        generator=generator,
        platforms=here,
        room=room,
        delivery=delivery,
        texts=texts,
    )
    policy = make_policy(settings)
    desk = Desk(
        history=storage.history,
        people=storage.people,
        audit=storage.audit,
        platforms=here,
        room=room,
        acts=acts,
        generator=generator,
        access=policy.access,
        texts=texts,
        is_model_elsewhere=settings.inference.engine == "remote",
    )
    service = ConversationService(
        inbox=storage.inbox,
        history=storage.history,
        outbox=storage.outbox,
        generator=generator,
        platforms=here,
        room=room,
        desk=desk,
        acts=acts,
        delivery=delivery,
        estimates=Estimates(storage.state, measured_rates(settings)),
        waits=waits,
        policy=policy,
        texts=texts,
        now_s=time.monotonic,
        faults=faults,
    )
    operations = Operations(
        history=storage.history,
        people=storage.people,
        audit=storage.audit,
        generator=generator,
        room=room,
        waits=waits,
        acts=acts,
        terminal=terminal,
        backup=storage.backup,
        sampling=policy.sampling,
    )
    return App(
        opened_storage=storage.opened,
        generator=generator,
        service=service,
        delivery=delivery,
        platforms=here,
        terminal=terminal,
        operations=operations,
        watch=Watch(
            generator=generator,
            room=room,
            platforms=here,
            probe=storage.probe,
            now_s=time.monotonic,
            backup=storage.backup_health,
        ),
        healthy=health.Limits(waiting_s=settings.limits.wait_s + 30),
        control=None if in_memory else partial(ControlServer, settings.home / SOCKET_NAME),
        web=web_server(settings.web, here.get(TELEGRAM)),
    )


def make_platforms(
    settings: Settings,
    storage: Storage,
    texts: Texts,
    terminal: TerminalPlatform,
    wanted: Collection[str] | None,
    *,
    telegram_clock: Callable[[], float],
    faults: Faults = NO_FAULTS,
) -> dict[PlatformName, Platform]:
    """Make the platforms that have what they need; `docs/architecture.md` names what else a third one takes."""
    made: dict[PlatformName, Platform] = {TERMINAL: terminal}
    if settings.telegram.token is not None:
        made[TELEGRAM] = TelegramPlatform(
            settings.telegram.token.get_secret_value(),
            ignore=storage.inbox.ignore,
            menus=telegram_menus(texts),
            api_base_url=settings.telegram.api_base_url,
            clock=telegram_clock,
            hook=telegram_hook(settings.telegram),
            faults=faults,
        )
    if settings.discord.token is not None:
        made[DISCORD] = DiscordPlatform(
            settings.discord.token.get_secret_value(),
            state=storage.state,
            ignore=storage.inbox.ignore,
            commands=discord_menu(texts),
            message_content=settings.discord.message_content,
            api_base_url=settings.discord.api_base_url,
            gateway_url=settings.discord.gateway_url,
            faults=faults,
        )
    return {name: platform for name, platform in made.items() if wanted is None or name in wanted}


def make_generator(settings: Settings, state: State, *, pull_missing: bool) -> OpenedGenerator:
    """Make the model's side: the worker and the way to its files, or the way to servers elsewhere.

    Raises:
        ConfigError: the package for servers elsewhere is not installed.
        ModelNotLicensed: the model's licence forbids the use, or was not accepted for it.
    """
    inference = settings.inference
    if inference.engine == "remote":
        if find_spec("openai") is None:
            raise ConfigError(f"the engine remote is not installed; `{adding('remote')}` adds it")
        return RemoteGenerator(remote_options(settings), state)
    options = engine_options(settings)
    if options.engine in NO_MODEL_HERE:
        return WorkerClient(None, options)
    clearance(settings)
    prepare = partial(
        ensure,
        named_model(settings),
        ModelStore(settings.home),
        pull_missing=pull_missing or inference.model == DEFAULT_MODEL,
        told=_tell_progress,
        environment=child_environment(settings),
    )
    return WorkerClient(prepare, options)


def make_policy(settings: Settings) -> Policy:
    """Turn settings into what the conversation knows of them."""
    limits, inference = settings.limits, settings.inference
    operators = {(TELEGRAM, UserId(str(user_id))) for user_id in settings.admins.telegram}
    operators |= {(DISCORD, UserId(str(user_id))) for user_id in settings.admins.discord}
    # Whoever sits at the machine can read the database, too.
    operators.add((TERMINAL, local_person().user_id))
    return Policy(
        system=inference.system,
        sampling=Sampling(
            max_new_tokens=inference.max_new_tokens, temperature=inference.temperature, top_p=inference.top_p
        ),
        access=Access(
            mode=AccessMode(settings.access.mode),
            allow=_people(settings.access.allow),
            block=_people(settings.access.block),
            operators=frozenset(operators),
        ),
        limits=Limits(
            message_chars=limits.message_chars,
            waiting_per_person=limits.waiting_per_person,
            messages_per_minute=limits.messages_per_minute,
            tokens_per_minute=limits.tokens_per_minute,
            wait_s=limits.wait_s,
            queue=limits.queue,
        ),
        scopes={TELEGRAM: Scope(settings.scope.telegram_group), DISCORD: Scope(settings.scope.discord_channel)},
    )


def _people(entries: Collection[str]) -> frozenset[PersonKey]:
    named = (entry.split(":", 1) for entry in entries)
    return frozenset((PlatformName(platform), UserId(user_id)) for platform, user_id in named)


def _tell_progress(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
