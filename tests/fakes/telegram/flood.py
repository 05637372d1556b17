"""Telegram's limits: about one message a second in a chat, 20 a minute in a group, 30 a second overall.

Source: https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

CHAT_BURST, CHAT_WINDOW_S = 5, 4.0
GROUP_MOST, GROUP_WINDOW_S = 20, 60.0
OVERALL_MOST, OVERALL_WINDOW_S = 30, 1.0


class Flood:
    """Counts what was let through; what is too much is told how long to wait."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.is_on = True
        self.early_calls = 0
        """Calls made in spite of a pause that Telegram had asked for."""
        self._clock = clock
        self._chats: dict[int, deque[float]] = {}
        self._all: deque[float] = deque()
        self._closed_until_s: dict[int, float] = {}

    def penalty_s(self, chat_id: int) -> int:
        """Let a message through (0), or say how many whole seconds to wait."""
        if not self.is_on:
            return 0
        now_s = self._clock()
        closed_s = self._closed_until_s.get(chat_id, 0.0) - now_s
        if closed_s > 0:
            self.early_calls += 1
            return math.ceil(closed_s)
        past = self._chats.setdefault(chat_id, deque(maxlen=GROUP_MOST))
        wait_s = max(
            _wait_s(past, CHAT_BURST, CHAT_WINDOW_S, now_s),
            _wait_s(past, GROUP_MOST, GROUP_WINDOW_S, now_s) if chat_id < 0 else 0.0,
            _wait_s(self._all, OVERALL_MOST, OVERALL_WINDOW_S, now_s),
        )
        if wait_s > 0:
            return self.close(chat_id, math.ceil(wait_s))
        past.append(now_s)
        self._all.append(now_s)
        while len(self._all) > OVERALL_MOST:
            self._all.popleft()
        return 0

    def close(self, chat_id: int, retry_after_s: int) -> int:
        """Refuse everything in a chat for a while."""
        self._closed_until_s[chat_id] = self._clock() + retry_after_s
        return retry_after_s


def _wait_s(past: deque[float], most: int, window_s: float, now_s: float) -> float:
    return 0.0 if len(past) < most else past[-most] + window_s - now_s
