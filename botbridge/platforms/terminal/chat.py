"""A conversation as one terminal window has it, wherever the service runs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from botbridge.answers import Sampling
from botbridge.errors import ConversationError, GenerationFailed, GenerationTimeout
from botbridge.messages import InboxState, Person
from botbridge.platforms.terminal.adapter import TerminalPlatform
from botbridge.platforms.terminal.window import Shown

LEAVING_WORDS = frozenset({"exit", "quit"})


class Chat(Protocol):
    """What a window needs: the service in this process, or the one behind the control socket."""

    def ask(self, text: str) -> AsyncGenerator[Shown, None]:
        """Say something; yields what the reply looks like until it is final.

        Raises:
            BotBridgeError: there will be no reply; the sentence says why.
        """
        ...

    def late_replies(self) -> AsyncGenerator[str, None]:
        """Yield the replies to questions whose window was closed, as they come."""
        ...


@dataclass(frozen=True, slots=True)
class LocalChat:
    """`Chat` with the service in this process."""

    terminal: TerminalPlatform
    person: Person
    sampling: Sampling | None = None

    def ask(self, text: str) -> AsyncGenerator[Shown, None]:
        """Say something; yields what the reply looks like until it is final."""
        return self.terminal.ask(self.person, text, sampling=self.sampling)

    def late_replies(self) -> AsyncGenerator[str, None]:
        """Yield the replies to questions whose window was closed, as they come."""
        return self.terminal.late_replies(self.person)


async def final_reply(replies: AsyncGenerator[Shown, None], status: Callable[[str], None] | None = None) -> Shown:
    """The final text of a reply.

    Args:
        status: Told each new line about the reply that comes before its first word.

    Raises:
        BotBridgeError: there will be none.
    """
    final = Shown("")
    async with aclosing(replies):
        async for shown in replies:
            if status is not None and shown.is_status and shown.text != final.text:
                status(shown.text)
            final = shown
    return final


def answer_in(shown: Shown) -> str:
    """The answer in a final text, which may say why there is none instead.

    Raises:
        GenerationTimeout: it was given up because it took too long.
        GenerationFailed: the model failed on it.
        ConversationError: it was refused or stopped.
    """
    match shown.ending:
        case InboxState.EXPIRED:
            raise GenerationTimeout(shown.text)
        case InboxState.QUARANTINED:
            raise GenerationFailed(shown.text)
        case InboxState.REFUSED | InboxState.CANCELLED:
            raise ConversationError(shown.text)
        case _:
            return shown.text


def is_leaving(text: str) -> bool:
    """Whether somebody says goodbye.

    >>> is_leaving(" EXIT ")
    True
    """
    return text.strip().casefold() in LEAVING_WORDS
