"""What Telegram makes of a text: TDLib's own parser, which works without a connection."""

from __future__ import annotations

import json
from typing import Any

import tdjson

Entities = list[dict[str, Any]]

_TO_TDLIB = {
    "bold": "Bold",
    "italic": "Italic",
    "underline": "Underline",
    "strikethrough": "Strikethrough",
    "spoiler": "Spoiler",
    "blockquote": "BlockQuote",
    "expandable_blockquote": "ExpandableBlockQuote",
    "code": "Code",
    "mention": "Mention",
    "hashtag": "Hashtag",
    "cashtag": "Cashtag",
    "bot_command": "BotCommand",
    "url": "Url",
    "email": "EmailAddress",
    "phone_number": "PhoneNumber",
}
_FROM_TDLIB = {f"textEntityType{theirs}": ours for ours, theirs in _TO_TDLIB.items()}


class Refused(Exception):
    """TDLib does not take a text; the message is Telegram's."""


def _execute(kind: str, **fields: Any) -> dict[str, Any]:
    answer = tdjson.td_execute(json.dumps({"@type": kind, **fields}).encode())
    result: dict[str, Any] = json.loads(answer or b"{}")
    if result.get("@type") == "error":
        raise Refused(result["message"])
    return result


def be_quiet() -> None:
    """Keep TDLib from logging to stderr."""
    _execute("setLogVerbosityLevel", new_verbosity_level=0)


def detected(text: str) -> Entities:
    """The mentions, commands and links that Telegram finds in what a person writes."""
    try:
        found = _execute("getTextEntities", text=text)["entities"]
    except Refused:
        return []
    return [_from_tdlib(entity) for entity in found]


def checked(text: str, entities: Entities) -> Entities:
    """The entities of a bot's message, after TDLib took them.

    Raises:
        Refused: One of them is wrong.
    """
    formatted = {"@type": "formattedText", "text": text, "entities": [_to_tdlib(entity) for entity in entities]}
    # Of what works offline, this is the call that validates entities and interprets nothing.
    _execute("getMarkdownText", text=formatted)
    return entities


def parsed(text: str, parse_mode: str) -> tuple[str, Entities]:
    """A text in MarkdownV2, Markdown or HTML, parsed.

    Raises:
        Refused: It cannot be parsed.
    """
    modes: dict[str, dict[str, Any]] = {
        "markdownv2": {"@type": "textParseModeMarkdown", "version": 2},
        "markdown": {"@type": "textParseModeMarkdown", "version": 1},
        "html": {"@type": "textParseModeHTML"},
    }
    if parse_mode.lower() not in modes:
        raise Refused("unsupported parse_mode")
    found = _execute("parseTextEntities", text=text, parse_mode=modes[parse_mode.lower()])
    return found["text"], [_from_tdlib(entity) for entity in found["entities"]]


def _to_tdlib(entity: dict[str, Any]) -> dict[str, Any]:
    kind = entity.get("type")
    if kind == "pre":
        language = entity.get("language")
        inner = {"@type": "textEntityTypePreCode", "language": language} if language else {"@type": "textEntityTypePre"}
    elif kind == "text_link":
        inner = {"@type": "textEntityTypeTextUrl", "url": entity.get("url", "")}
    elif kind in _TO_TDLIB:
        inner = {"@type": f"textEntityType{_TO_TDLIB[kind]}"}
    else:
        raise Refused(f"can't parse entities: unsupported type {kind}")
    return {"@type": "textEntity", "offset": entity.get("offset"), "length": entity.get("length"), "type": inner}


def _from_tdlib(entity: dict[str, Any]) -> dict[str, Any]:
    kind = entity["type"]["@type"]
    found = {"offset": entity["offset"], "length": entity["length"]}
    if kind in ("textEntityTypePre", "textEntityTypePreCode"):
        language = entity["type"].get("language")
        return {**found, "type": "pre", **({"language": language} if language else {})}
    if kind == "textEntityTypeTextUrl":
        return {**found, "type": "text_link", "url": entity["type"]["url"]}
    return {**found, "type": _FROM_TDLIB.get(kind, kind)}
