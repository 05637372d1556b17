"""What the people at the terminals wait for: the reply to each question, and replies that came too late.

Nothing here reaches a screen: a slow or vanished reader holds nobody up,
because only the newest text of each reply is kept for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from botbridge.errors import PlatformUnavailable
from botbridge.messages import InboxState

LATE_REPLIES_KEPT = 100
"""More than anybody asks and walks away from; the conversation remembers the answers anyway."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a question's reply looks like now; the next one replaces it.

    Attributes:
        text: The whole text so far, free of control characters.
        is_final: Nothing comes after it.
        is_status: It is about the reply (a place in the line, say) and no piece of it.
        ending: How the question ended, with the final text.
    """

    text: str
    is_final: bool = False
    is_status: bool = False
    ending: InboxState | None = None


class AwaitedReply:
    """The reply that one question waits for: the newest text of it, and none after the final one."""

    def __init__(self) -> None:
        self.is_writing = False
        self._latest: Shown | None = None
        self._is_new = asyncio.Event()
        self._is_given_up = False

    @property
    def untold(self) -> Shown | None:
        """The final text, while nobody has taken it."""
        return self._latest if self._is_new.is_set() and self._latest is not None and self._latest.is_final else None

    def show(self, shown: Shown) -> None:
        """Let the reader have this next, instead of what it has not read yet."""
        if self._latest is None or not self._latest.is_final:
            self._latest = shown
            self._is_new.set()

    def give_up(self) -> None:
        """Wake the reader: there is nobody left who could answer."""
        self._is_given_up = True
        self._is_new.set()

    async def next(self) -> Shown:
        """The newest text that was not read yet.

        Raises:
            PlatformUnavailable: the service stopped before the reply was final.
        """
        await self._is_new.wait()
        self._is_new.clear()
        if self._latest is None or (self._is_given_up and not self._latest.is_final):
            raise PlatformUnavailable("the service stopped before it had answered")
        return self._latest


class Windows:
    """The open windows of one person, and the replies whose window was closed too early.

    Attributes:
        late: Replies to questions that nobody waits for any more, oldest first.
    """

    def __init__(self) -> None:
        self.late: deque[str] = deque(maxlen=LATE_REPLIES_KEPT)
        self.has_news = asyncio.Event()
        self._open = 0
        self._is_attended = asyncio.Event()

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Count a window as open meanwhile."""
        self._open += 1
        self._is_attended.set()
        try:
            yield
        finally:
            self._open -= 1
            if not self._open:
                self._is_attended.clear()

    async def until_attended(self) -> None:
        """Return when a window is open, or when `wake` is called."""
        await self._is_attended.wait()

    def keep(self, text: str) -> None:
        """Keep a reply for the next window that shows late ones."""
        self.late.append(text)
        self.has_news.set()

    def wake(self) -> None:
        """Let everybody who waits here look again."""
        self._is_attended.set()
        self.has_news.set()
