"""Which adapter answers a conversation: what an operator reads when they look or choose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from botbridge.answers import GeneratorState, GeneratorStatus, KnownAdapter
from botbridge.conversation.texts import Language
from botbridge.messages import UserId

BARE_MODEL = "none"
"""How the absence of an adapter is chosen."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a command wants.

    Attributes:
        name: The adapter; None for the bare model.
        user_id: Whose conversations; None for the one that the command is said in.
    """

    name: str | None
    user_id: UserId | None = None


def wanted(words: Sequence[str], replied_to: UserId | None = None) -> Choice:
    """Read the words of a command: a name, and perhaps a person's numeric id.

    Args:
        words: At least one.
        replied_to: Who is meant where the words name nobody.

    >>> wanted(["org/pirate"]), wanted(["None", "42"])
    (Choice(name='org/pirate', user_id=None), Choice(name=None, user_id='42'))
    """
    user_id = replied_to
    *name_words, last = words
    if name_words and last.isdecimal():
        words, user_id = name_words, UserId(last)
    name = " ".join(words)
    return Choice(None if name.casefold() == BARE_MODEL else name, user_id)


def refusal(language: Language, name: str | None, status: GeneratorStatus) -> str | None:
    """The sentence that an adapter cannot be chosen, by name and with the reason; None when it can.

    The bare model can always be chosen, also while nobody knows the adapters.
    """
    if name is None:
        return None
    if status.state is not GeneratorState.READY:
        return language.say("The model is not running, so I do not know its adapters. Please ask again when it is.")
    adapter = next((adapter for adapter in status.adapters if adapter.name == name), None)
    if adapter is None:
        return language.say(
            "There is no adapter {name} beside the model {model}. /adapter shows what there is; "
            "what is pulled meanwhile is known after a restart.",
            name=name,
            model=status.model,
        )
    if adapter.obstacle:
        return language.say("This adapter cannot be used: {reason}", reason=adapter.obstacle)
    return None


def chosen(language: Language, name: str | None) -> str:
    """What answers the conversation from now on."""
    if name is None:
        return language.say("Done. This conversation is answered without an adapter.")
    return language.say("Done. This conversation is answered with the adapter {name}.", name=name)


def chosen_for(language: Language, name: str | None, number: int) -> str:
    """What answers somebody's conversations from now on, and how many these are."""
    if not number:
        return language.say("This person has no conversation of their own with me.")
    if name is None:
        return language.count(
            "Done. {number} conversation is answered without an adapter.",
            "Done. {number} conversations are answered without an adapter.",
            number,
        )
    return language.count(
        "Done. {number} conversation is answered with the adapter {name}.",
        "Done. {number} conversations are answered with the adapter {name}.",
        number,
        name=name,
    )


def overview(language: Language, name: str | None, status: GeneratorStatus) -> str:
    """What is chosen and what could be.

    Args:
        language: Of the operator.
        name: The adapter of the conversation; None for the bare model.
        status: Tells the adapters.
    """
    lines = [
        language.say("This conversation is answered without an adapter.")
        if name is None
        else language.say("This conversation is answered with the adapter {name}.", name=name)
    ]
    if (obstacle := refusal(language, name, status)) is not None:
        lines.append(obstacle)
    if status.adapters:
        lines += ["", language.say("Adapters here; one is chosen with /adapter and its name, none with /adapter none:")]
        lines += [_line(language, adapter) for adapter in status.adapters]
    elif name is None:
        lines.append(
            language.say("There are no adapters beside the model. `botbridge models pull` fetches them.")
            if status.state is GeneratorState.READY
            else language.say("The model is not running, so I do not know its adapters. Please ask again when it is.")
        )
    return "\n".join(lines)


def _line(language: Language, adapter: KnownAdapter) -> str:
    if not adapter.obstacle:
        return f"• {adapter.name}"
    return "• " + language.say("{name}, which cannot be used: {reason}", name=adapter.name, reason=adapter.obstacle)
