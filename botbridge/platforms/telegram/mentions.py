"""Names in a text call nobody: Telegram makes a mention of each `@name` in a message, a bot's as well. Pure.

Covered: `@name` anywhere but in code, where Telegram finds none and people copy it.
Not covered: a command with a bot's name (`/start@bot`), which rings nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from telegramify_markdown import MessageEntity

from botbridge.platforms.splitting import utf16_units

_MENTION = re.compile(r"(?<!\w)@(?=\w)")
"""Where one begins. Source: TDLib 1.8.69, which the tests ask (`getTextEntities`); it wants four letters and more."""

_ADDRESS = re.compile(r"(?<![^\s(<\[\"'])(?:https?://|(?:[\w-]+\.)+[a-zA-Z]{2,}/)\S*")
"""What reads as an address, with a scheme or without."""

_CODE = ("code", "pre")

APART = "@\u2060"
"""A word joiner, which is not seen, keeps sign and name apart."""

IN_ADDRESS = "%40"
"""The same sign in an address, which has to lead where it led. Source: RFC 3986, section 2.1."""


def quiet_text(text: str) -> str:
    """Return a text without formatting that calls nobody.

    >>> quiet_text("ask @robert or https://example.org/@robert, not a@b.org")
    'ask @\u2060robert or https://example.org/%40robert, not a@b.org'
    """
    return quiet(text, ())[0]


def quiet(text: str, entities: Sequence[MessageEntity]) -> tuple[str, list[MessageEntity]]:
    """Return a formatted text that calls nobody; its entities, in UTF-16 units, cover what they covered.

    >>> text, (bold, code) = quiet("@robert @robert", [MessageEntity("bold", 0, 7), MessageEntity("code", 8, 7)])
    >>> text, (bold.offset, bold.length), (code.offset, code.length)
    ('@\u2060robert @robert', (0, 8), (9, 7))
    """
    addresses = [found.span() for found in _ADDRESS.finditer(text)]
    code = [(entity.offset, entity.offset + entity.length) for entity in entities if entity.type in _CODE]
    grown: list[tuple[int, int]] = []
    pieces, done = [], 0
    for at, unit in _signs(text):
        if not any(begin <= unit < end for begin, end in code):
            instead = IN_ADDRESS if any(begin <= at < end for begin, end in addresses) else APART
            pieces += [text[done:at], instead]
            done = at + 1
            grown.append((unit, len(instead) - 1))

    def moved(unit: int) -> int:
        return unit + sum(units for place, units in grown if place < unit)

    spans = ((moved(entity.offset), moved(entity.offset + entity.length)) for entity in entities)
    covering = [
        replace(entity, offset=begin, length=end - begin) for entity, (begin, end) in zip(entities, spans, strict=True)
    ]
    return "".join([*pieces, text[done:]]), covering


def _signs(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each mention begins, in characters and in UTF-16 units."""
    unit = done = 0
    for found in _MENTION.finditer(text):
        unit += utf16_units(text[done : found.start()])
        done = found.start()
        yield done, unit
