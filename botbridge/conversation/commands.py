"""What a person can order instead of ask."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Telegram allows lower-case letters, digits and underscores, at most 32, in a
# command (Source: https://core.telegram.org/bots/features#commands). A path
# such as `/etc/passwd` is therefore a question and not a command.
_COMMAND = re.compile(r"/([a-z0-9_]{1,32})(?:\s+(.*))?\s*", re.DOTALL)

ALIASES = {"new": "reset", "stop": "cancel"}

NAMES = frozenset({"start", "help", "whoami", "cancel", "again", "reset", "adapter", *ALIASES})
"""All that the bot obeys."""

IN_ORDER = frozenset({"reset", "adapter", "again"})
"""What a conversation's next answer is made from is changed by these, or decides what they do.

So they are carried out in the order in which they were said, and what is said after one is answered after it.
"""


@dataclass(frozen=True, slots=True)
class Command:
    """A command and its words."""

    name: str
    words: tuple[str, ...] = ()


def parse(text: str) -> Command | None:
    """The command that a text is, None when it is something to answer.

    >>> parse("/reset  @sara")
    Command(name='reset', words=('@sara',))
    >>> parse("/etc/passwd holds what?") is None
    True
    """
    match = _COMMAND.fullmatch(text)
    if match is None:
        return None
    name, rest = match.groups()
    return Command(ALIASES.get(name, name), tuple((rest or "").split()))
