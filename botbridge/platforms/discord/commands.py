"""The slash commands: what they are called, what may follow them, and telling Discord about them.

Discord is told only when they changed: it counts registrations (200 a day) and
people see a menu that is being replaced.
Source: https://discord.com/developers/docs/interactions/application-commands
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import discord
import structlog
from discord import app_commands

from botbridge.faults import NO_FAULTS, Boundary, Faults, crossing
from botbridge.ports import State

Interaction = discord.Interaction[Any]
Chosen = Callable[[Interaction, tuple[str, ...], discord.User | discord.Member | None], Awaitable[None]]
"""Takes what somebody chose: the command's name and words, and the person it is about."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Label:
    """A text of the menu.

    Attributes:
        text: English, at most 100 characters.
        translations: Others by IETF tag; a language that Discord's app does not
            have (Arabic is one) is left out.
    """

    text: str
    translations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Options:
    """What may follow a command.

    Attributes:
        choices: Words as they are typed elsewhere (`chat`, `all confirm`), each
            with its label; at most 25.
        words_label: What the choice is for; needed with `choices`. Without choices any words may be typed.
        person_label: Offers to name a person, and says what for; None does not offer it.
    """

    choices: Sequence[tuple[str, Label]] = ()
    words_label: Label | None = None
    person_label: Label | None = None


@dataclass(frozen=True, slots=True)
class SlashCommand:
    """One entry of the menu."""

    name: str
    label: Label
    options: Options = field(default_factory=Options)


def menu(
    descriptions: Mapping[str, Sequence[tuple[str, str]]], options: Mapping[str, Options] | None = None
) -> tuple[SlashCommand, ...]:
    """The menu from descriptions in several languages.

    Args:
        descriptions: For each language (English under `en`) the commands with what they do, in order.
        options: By the command's name.

    >>> menu({"en": [("help", "what I can do")], "de": [("help", "was ich kann")]})[0].label.translations
    {'de': 'was ich kann'}
    """
    others = {tag: dict(commands) for tag, commands in descriptions.items() if tag != "en"}
    return tuple(
        SlashCommand(
            name,
            Label(description, {tag: known[name] for tag, known in others.items() if name in known}),
            (options or {}).get(name, Options()),
        )
        for name, description in descriptions["en"]
    )


class MenuTranslator(app_commands.Translator):
    """Finds the translations that a label brought with it."""

    async def translate(
        self, string: app_commands.locale_str, locale: discord.Locale, context: app_commands.TranslationContextTypes
    ) -> str | None:
        """The label in one of Discord's languages."""
        del context
        translations: Mapping[str, str] = string.extras.get("translations", {})
        return translations.get(locale.value) or translations.get(locale.value.partition("-")[0])


def grow(client: discord.Client, commands: Sequence[SlashCommand], chosen: Chosen) -> app_commands.CommandTree[Any]:
    """Build the menu of commands; each use of one is given to `chosen`."""
    tree: app_commands.CommandTree[Any] = app_commands.CommandTree(
        client,
        allowed_contexts=app_commands.AppCommandContext(guild=True, dm_channel=True, private_channel=False),
        allowed_installs=app_commands.AppInstallationType(guild=True, user=False),
    )
    for command in commands:
        tree.add_command(_made(command, chosen))
    return tree


async def sync_if_changed(tree: app_commands.CommandTree[Any], state: State, faults: Faults = NO_FAULTS) -> bool:
    """Register the menu globally unless Discord was told the same before; whether it was told now.

    Raises:
        discord.DiscordException: Discord did not take it.
        StorageError: what was told before cannot be read or noted.
    """
    if tree.translator is None:
        await tree.set_translator(MenuTranslator())
    translator = tree.translator
    assert translator is not None
    payload = [await command.get_translated_payload(tree, translator) for command in tree.get_commands()]
    told = hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()
    name = f"discord.commands.{tree.client.application_id}"
    if await state.get(name) == told:
        return False
    with crossing(faults, Boundary.REGISTER):
        await tree.sync()
    await state.put(name, told)
    log.info("slash commands registered", commands=[command.name for command in tree.get_commands()])
    return True


def _made(command: SlashCommand, chosen: Chosen) -> app_commands.Command[Any, ..., Any]:
    made: app_commands.Command[Any, ..., Any] = app_commands.Command(
        name=command.name, description=_translatable(command.label), callback=_callback(command, chosen)
    )
    return made


def _callback(command: SlashCommand, chosen: Chosen) -> Callable[..., Coroutine[Any, Any, None]]:
    """A function with the parameters that the menu shall offer: discord.py reads the menu off its signature."""
    options = command.options
    about = {
        name: _translatable(label)
        for name, label in (("what", options.words_label), ("person", options.person_label))
        if label is not None
    }
    choices = [app_commands.Choice(name=_translatable(label), value=words) for words, label in options.choices]

    async def plain(interaction: Interaction) -> None:
        await chosen(interaction, (command.name,), None)

    async def with_person(interaction: Interaction, person: discord.User | None = None) -> None:
        await chosen(interaction, (command.name,), person)

    async def with_words(interaction: Interaction, what: str = "") -> None:
        await chosen(interaction, (command.name, *what.split()), None)

    async def with_both(interaction: Interaction, what: str = "", person: discord.User | None = None) -> None:
        await chosen(interaction, (command.name, *what.split()), person)

    if not about:
        return plain
    if options.words_label is None:
        return app_commands.describe(**about)(with_person)
    described = app_commands.describe(**about)(with_both if options.person_label is not None else with_words)
    return app_commands.choices(what=choices)(described) if choices else described


def _translatable(label: Label) -> app_commands.locale_str:
    return app_commands.locale_str(label.text, translations=dict(label.translations))
