"""Markdown as Telegram shows it: plain text and a list of entities.

Entities are used and not Telegram's own Markdown, because one mark too few in
the latter and the whole message is refused.

Covered: text of a model, whatever it holds; HTML is shown as it was written; a name in it calls nobody.
Not covered: tables wider than a phone, and formulas beyond simple symbols.
"""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

import pyromark
from telegramify_markdown import MessageEntity, convert
from telegramify_markdown.config import RenderConfig

from botbridge.characters import sound
from botbridge.messages import Part
from botbridge.platforms.splitting import LEAST_LIMIT, split, utf16_units
from botbridge.platforms.telegram.mentions import quiet, quiet_text

LIMIT_UTF16_UNITS = 4096
"""Source: https://core.telegram.org/bots/api#sendmessage (counted in the stricter of two ways)."""

NOTHING = "…"
"""Shown for text of nothing but blanks, which Telegram refuses."""

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_HTML = ("Html", "InlineHtml")


def render(markdown: str) -> tuple[Part, ...]:
    """Format Markdown and split it into messages; at least one.

    >>> render("**4**")
    (Part(text='4', markup='[{"type": "bold", "offset": 0, "length": 1}]'),)
    """
    parts = tuple(_fitting(clean(markdown), LIMIT_UTF16_UNITS, _quiet_symbols()))
    return parts or (Part(NOTHING),)


def clip(text: str) -> str:
    """Cut plain text down to one message, for a status that will be replaced."""
    parts = split(quiet_text(clean(text[: 2 * LIMIT_UTF16_UNITS])), LIMIT_UTF16_UNITS - 1, utf16_units)
    if not parts:
        return NOTHING
    return parts[0] if len(parts) == 1 else parts[0] + "…"


def unformatted(text: str) -> str:
    """Return a part's text as it goes out where Telegram refuses its formatting: code is no code then."""
    calling_nobody = quiet_text(text)
    return calling_nobody if utf16_units(calling_nobody) <= LIMIT_UTF16_UNITS else text


def clean(text: str) -> str:
    r"""Replace what cannot be encoded or shown: lone surrogates and control characters.

    >>> clean("a\r\n\ud83d\ude00\udfff\x1b[31m")
    'a\n😀�[31m'
    """
    return _CONTROLS.sub("", sound(text).replace("\r\n", "\n").replace("\r", "\n"))


def _quiet_symbols() -> RenderConfig:
    config = RenderConfig.isolated()
    symbols = config.markdown_symbol
    symbols.heading_level_1 = symbols.heading_level_2 = ""
    symbols.heading_level_3 = symbols.heading_level_4 = ""
    # The default, U+2981, is missing from many fonts.
    symbols.unordered_list_item = "•"
    return config


def _fitting(markdown: str, limit: int, config: RenderConfig) -> list[Part]:
    """Split first, so that no entity is cut; what grows while it is formatted is split smaller."""
    parts: list[Part] = []
    for piece in split(markdown, limit, utf16_units):
        text, entities = convert(_with_html_shown(piece), config=config)
        if not text.strip():
            text, entities = piece, []
        text, entities = quiet(text, entities)
        if utf16_units(text) <= LIMIT_UTF16_UNITS:
            parts.append(Part(text, _markup(entities)))
        elif limit // 2 >= LEAST_LIMIT:
            parts += _fitting(piece, limit // 2, config)
        else:
            parts.append(Part(quiet_text(piece)))
    return parts


def _with_html_shown(markdown: str) -> str:
    """Escape tags: the converter drops them, and with them `List<String>` and `#include <stdio.h>`."""
    source = markdown.encode()
    shown = bytearray()
    done = 0
    for event, place in pyromark.events_with_range(markdown):
        if isinstance(event, dict) and any(kind in event for kind in _HTML):
            start, end = max(done, place["start"]), place["end"]
            shown += source[done:start] + source[start:end].replace(b"<", b"&lt;")
            done = max(done, end)
    return (shown + source[done:]).decode()


def _markup(entities: list[MessageEntity]) -> str:
    safe = [entity.to_dict() for entity in entities if entity.type != "text_link" or _is_web_address(entity.url)]
    return json.dumps(safe, ensure_ascii=False) if safe else ""


def _is_web_address(url: str | None) -> bool:
    """False for `tg://user?id=…`, with which a model could call somebody."""
    try:
        return urlsplit(url or "").scheme in ("http", "https")
    except ValueError:
        return False
