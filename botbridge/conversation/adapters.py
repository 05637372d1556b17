"""Which adapter answers a conversation: what an operator reads when they look or choose."""

from __future__ import annotations

from collections.abc import Sequence

from botbridge.answers import GeneratorStatus, KnownAdapter
from botbridge.conversation.texts import Language

BARE_MODEL = "none"
"""How the absence of an adapter is chosen."""


def wanted(words: Sequence[str]) -> str | None:
    """Return the adapter that the words of a command name; None for the bare model.

    >>> wanted(["org/pirate"]), wanted(["None"])
    ('org/pirate', None)
    """
    name = " ".join(words)
    return None if name.casefold() == BARE_MODEL else name


def refusal(language: Language, name: str | None, status: GeneratorStatus) -> str | None:
    """The sentence that an adapter cannot be chosen, by name and with the reason; None when it can.

    The bare model can always be chosen, also while nobody knows the adapters.
    """
    if name is None:
        return None
    if status.state != "ready":
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
            if status.state == "ready"
            else language.say("The model is not running, so I do not know its adapters. Please ask again when it is.")
        )
    return "\n".join(lines)


def _line(language: Language, adapter: KnownAdapter) -> str:
    if not adapter.obstacle:
        return f"• {adapter.name}"
    return "• " + language.say("{name}, which cannot be used: {reason}", name=adapter.name, reason=adapter.obstacle)
