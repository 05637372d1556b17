"""Whose conversation a `/reset` is about.

A person is named by replying to them, by a mention that carries an id, or by
their numeric id. A `@name` is only ever translated into an id, which the
sender then confirms by sending it: names can be taken by others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from botbridge.conversation.texts import Language
from botbridge.messages import ChatId, InboxRow, Person, UserId
from botbridge.ports import People


@dataclass(frozen=True, slots=True)
class Everyone:
    """All conversations on all platforms."""

    confirmed: bool

    def __str__(self) -> str:
        return "all"


@dataclass(frozen=True, slots=True)
class WholeChat:
    """All conversations of one chat or server channel."""

    chat_id: ChatId

    def __str__(self) -> str:
        return f"chat {self.chat_id}"


@dataclass(frozen=True, slots=True)
class Somebody:
    """All conversations that are one person's own."""

    user_id: UserId

    def __str__(self) -> str:
        return f"person {self.user_id}"


@dataclass(frozen=True, slots=True)
class Unclear:
    """The words name nobody for certain; the sender is told how to say it."""

    name: str | None = None
    candidates: tuple[Person, ...] = ()

    def answer(self, language: Language) -> str:
        """The sentence for the sender."""
        if self.name is None:
            return language.say("I do not understand that. /reset alone starts our conversation afresh.")
        if len(self.candidates) == 1:
            return language.say(
                "In this chat {name} is {id}. To go on, send: /reset {id}",
                name=self.name,
                id=self.candidates[0].user_id,
            )
        return language.say(
            "I cannot tell who {name} is in this chat. Reply to one of their messages with /reset, or use their id.",
            name=self.name,
        )


Target = Everyone | WholeChat | Somebody | Unclear | None


async def choose_target(row: InboxRow, words: Sequence[str], people: People) -> Target:
    """Whose conversation is meant; None for the sender's own here."""
    incoming = row.incoming
    if not words:
        return None if incoming.target is None else Somebody(incoming.target.user_id)
    if names_somebody(words):
        seen = await people.seen(incoming.address, words[0].removeprefix("@"))
        return Unclear(words[0], tuple(seen))
    return _read(words, incoming.address.chat_id)


def names_somebody(words: Sequence[str]) -> bool:
    """Whether a person is named by name, which has to be translated into an id.

    >>> names_somebody(["@sara"]), names_somebody(["42"])
    (True, False)
    """
    return len(words) == 1 and words[0].startswith("@")


def _read(words: Sequence[str], here: ChatId) -> Target:
    match list(words):
        case ["all"]:
            return Everyone(confirmed=False)
        case ["all", "confirm"]:
            return Everyone(confirmed=True)
        case ["chat"]:
            return WholeChat(here)
        case ["chat", chat_id] if chat_id.lstrip("-").isdecimal():
            return WholeChat(ChatId(chat_id))
        case [user_id] if user_id.isdecimal():
            return Somebody(UserId(user_id))
        case _:
            return Unclear()
