"""Everything the bot says to a person in a chat, in the person's language.

The English sentence is the key; `locale/<language>.po` holds the others. A
catalogue is compiled in memory at start, so no compiled file can be stale.
"""

from __future__ import annotations

import gettext
import io
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from botbridge.errors import AdapterUnusable, BotBridgeError, GenerationTimeout, PromptTooLong
from botbridge.messages import IncomingMessage

# Around a value inside a right-to-left sentence: FIRST STRONG ISOLATE and POP
# DIRECTIONAL ISOLATE keep a Latin name or a number from reordering what stands
# beside it (Source: https://www.unicode.org/reports/tr9/#Explicit_Directional_Isolates).
_ISOLATE, _END_ISOLATE = "\u2068", "\u2069"
_RIGHT_TO_LEFT = frozenset({"ar"})


def isolated(text: str) -> str:
    """Return a text that keeps its own direction and turns nothing around it."""
    return f"{_ISOLATE}{text}{_END_ISOLATE}"


@dataclass(frozen=True, slots=True)
class Language:
    """The bot's sentences in one language."""

    tag: str
    catalogue: gettext.NullTranslations

    @property
    def is_right_to_left(self) -> bool:
        """Its lines begin on the right."""
        return self.tag in _RIGHT_TO_LEFT

    def say(self, sentence: str, **values: object) -> str:
        """A sentence with its `{names}` filled in."""
        return self.catalogue.gettext(sentence).format(**self._shown(values))

    def count(self, one: str, many: str, number: int, **values: object) -> str:
        """A sentence in the plural form that `number` asks for; it is filled in as `{number}`."""
        return self.catalogue.ngettext(one, many, number).format(**self._shown({"number": number, **values}))

    def _shown(self, values: Mapping[str, object]) -> dict[str, str]:
        if not self.is_right_to_left:
            return {name: str(value) for name, value in values.items()}
        return {name: isolated(str(value)) for name, value in values.items()}


class Texts:
    """All languages that the bot speaks; English where it does not speak a person's."""

    def __init__(self, languages: Mapping[str, Language]) -> None:
        self._languages = dict(languages)

    @property
    def tags(self) -> tuple[str, ...]:
        """The languages, English first."""
        return tuple(self._languages)

    def language(self, tag: str | None) -> Language:
        """The language for an IETF tag such as `ar-EG`."""
        return self._languages.get((tag or "en").lower().split("-")[0], self._languages["en"])

    def of(self, incoming: IncomingMessage) -> Language:
        """The language of the person who wrote."""
        return self.language(incoming.sender.language)


def load_texts(domain: str = "") -> Texts:
    """Read the catalogues that ship with botbridge.

    Args:
        domain: Folder below `locale` of texts that are not said in a chat; the chats' own lie in `locale` itself.
    """
    languages = {"en": Language("en", gettext.NullTranslations())}
    folder = resources.files("botbridge").joinpath("locale", domain)
    for entry in sorted(folder.iterdir(), key=lambda file: file.name):
        if entry.name.endswith(".po"):
            tag = entry.name.removesuffix(".po")
            compiled = io.BytesIO()
            write_mo(compiled, read_po(io.BytesIO(entry.read_bytes()), locale=tag))
            compiled.seek(0)
            languages[tag] = Language(tag, gettext.GNUTranslations(compiled))
    return Texts(languages)


def duration(language: Language, seconds: float) -> str:
    """A wait in words, rounded as people round.

    >>> duration(load_texts().language("en"), 42)
    'about 40 seconds'
    """
    if seconds < 90:  # noqa: PLR2004  (below a minute and a half people count seconds)
        tens = max(10, round(seconds / 10) * 10)
        return language.count("about {number} second", "about {number} seconds", tens)
    return language.count("about {number} minute", "about {number} minutes", round(seconds / 60))


def failure(language: Language, error: BotBridgeError, reference: str) -> str:
    """What a person is told about a failure of ours.

    Args:
        reference: Short id that the operator finds in the log.
    """
    match error:
        case PromptTooLong():
            return language.say("Your message is too long for the model that runs here. Please shorten it.")
        case AdapterUnusable():
            return language.say(
                "The adapter that was chosen for this conversation cannot be used. My operator can see why and "
                "choose another one with /adapter. Reference: {reference}",
                reference=reference,
            )
        case GenerationTimeout():
            return language.say("The answer took too long, so I stopped. Please ask again, perhaps more briefly.")
        case _:
            return language.say(
                "Something went wrong while I was answering, twice in a row, so I gave this message up. "
                "Others are not affected. Reference: {reference}",
                reference=reference,
            )


def unforeseen(language: Language, reference: str) -> str:
    """What a person is told when a bug of ours ended their message, at whatever it was; nothing was tried twice.

    Args:
        reference: Short id that the operator finds in the log.
    """
    return language.say(
        "A mistake in my own program kept me from finishing this, so I gave this message up. "
        "Others are not affected. Reference: {reference}",
        reference=reference,
    )
