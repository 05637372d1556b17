"""The command menus that the platforms show, made from the catalogue of texts."""

from __future__ import annotations

from botbridge.conversation.desk import command_menu
from botbridge.conversation.texts import Texts
from botbridge.platforms.discord.commands import Label, Options, SlashCommand, menu
from botbridge.platforms.telegram.start import Menus


def telegram_menus(texts: Texts) -> Menus:
    """For everybody English, and each other language for those who use it."""
    return {"" if tag == "en" else tag: command_menu(texts.language(tag)) for tag in texts.tags}


def discord_menu(texts: Texts) -> tuple[SlashCommand, ...]:
    """The slash commands with what may be chosen for each."""

    def label(sentence: str) -> Label:
        return Label(sentence, {tag: texts.language(tag).say(sentence) for tag in texts.tags if tag != "en"})

    english = texts.language("en")
    reset = Options(
        choices=(
            ("chat", label(english.say("everybody in this channel"))),
            ("all", label(english.say("all conversations everywhere"))),
            ("all confirm", label(english.say("all conversations everywhere, and I am sure"))),
        ),
        words_label=label(english.say("more than your own conversation")),
        person_label=label(english.say("whose conversations, for administrators")),
    )
    adapter = Options(
        words_label=label(english.say("the adapter's name, or none")),
        person_label=label(english.say("whose conversations; without a person this one")),
    )
    return menu({tag: command_menu(texts.language(tag)) for tag in texts.tags}, {"reset": reset, "adapter": adapter})
