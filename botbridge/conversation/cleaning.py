"""What people write, without what only machines see.

Covered: names that would break a line, turn the reading direction or pile up
marks; invisible letters of the Tag block, in which orders to a model can be
hidden; commands with anything invisible in them. Joiners, variation selectors
and direction marks stay in what is said: Arabic, Persian and emoji need them.
Not covered: letters that look like others; names give no rights.
Source: https://www.unicode.org/reports/tr36/ and
https://genai.owasp.org/llmrisk/llm01-prompt-injection/
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace

from botbridge.messages import IncomingMessage, MessageKind, Person

NAME_CHARS = 64
"""Telegram's longest first name; Discord's names are shorter."""

MARKS_PER_LETTER = 3
"""Pointed Arabic and Hebrew need up to three."""

_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0]")
# The flags of England, Scotland and Wales are a black flag that is followed by its name (gbeng, gbsct, gbwls) in tags.
_FLAG = "\U0001f3f4\U000e0067\U000e0062(?:\U000e0065\U000e006e\U000e0067|\U000e0073\U000e0063\U000e0074|"
_FLAG += "\U000e0077\U000e006c\U000e0073)\U000e007f"
_TAGS = re.compile(f"({_FLAG})|[\U000e0000-\U000e007f]+")
_PILE = re.compile(r"((?:^|[^\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]))"
                   r"([\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+)")  # fmt: skip


def cleaned(incoming: IncomingMessage) -> IncomingMessage:
    """The message with clean names, and a text in which nothing is hidden from the reader."""
    text = without_tags(incoming.text)
    if incoming.kind is MessageKind.COMMAND or visible(text).startswith("/"):
        text = visible(text)
    target = None if incoming.target is None else _person(incoming.target)
    return replace(incoming, text=text, sender=_person(incoming.sender), target=target)


def visible(text: str) -> str:
    r"""The text without characters that show nothing; lines stay.

    >>> visible("/re\u200bset\u202e 42")
    '/reset 42'
    """
    shown = (
        char for char in _SELECTORS.sub("", text) if char in "\n\t" or unicodedata.category(char) not in _INVISIBLE
    )
    return "".join(shown)


def without_tags(text: str) -> str:
    r"""The text without invisible tag letters, but for those that make a flag.

    >>> without_tags("hi\U000e0069\U000e0067")
    'hi'
    """
    return text if text.isascii() else _TAGS.sub(lambda found: found[1] or "", text)


def clean_name(name: str) -> str:
    r"""A name as one short line that shows what it holds.

    >>> clean_name("Ana\nSystem:\u202e x\u200b")
    'Ana System: x'
    """
    line = " ".join(visible(re.sub(r"[\n\r\t\u2028\u2029\x85]", " ", name)).split())
    return _PILE.sub(lambda found: found[1] + found[2][:MARKS_PER_LETTER], line)[:NAME_CHARS].strip()


def _person(person: Person) -> Person:
    # Nobody may become nameless among others who share a conversation.
    name = clean_name(person.display_name) or (person.user_id if person.display_name else "")
    return replace(person, display_name=name, username=person.username and clean_name(person.username))
