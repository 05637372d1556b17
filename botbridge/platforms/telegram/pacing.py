"""How fast Telegram may be spoken to, for each chat apart.

Covered: about one message a second in a private chat, 20 a minute in a group,
30 a second overall, each with a little room for a burst; a pause that Telegram
asks for holds for that chat alone, and exactly as long. When all chats together
are too fast, each is given a turn of its own, so that they come one after the
other and none is overtaken by whoever asks more often.

Nothing waits here: what comes too early is told how long it has to wait, so
that its sender can note that nothing was sent.

Source: https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

from botbridge.errors import RateLimited
from botbridge.messages import Address, ChatId, ChatKind


@dataclass(frozen=True, slots=True)
class Rate:
    """A bucket of `burst` tokens that gains `per_s` a second."""

    burst: float
    per_s: float


# A minute can see a whole bucket and a minute's refill: 4 + 16 = 20.
GROUP = Rate(burst=4, per_s=16 / 60)
PRIVATE = Rate(burst=3, per_s=1)
OVERALL = Rate(burst=10, per_s=20)
TYPING = Rate(burst=1, per_s=1 / 4)

TURN_KEPT_S = 2.0
"""Whoever comes later than this after its turn has lost it, so that old turns cannot be used all at once."""

_MANY = 1000
_NO_TIME_S = 1e-6
"""Less than this is an error of rounding and no wait."""


class _Bucket:
    def __init__(self, rate: Rate, now_s: float) -> None:
        self._rate = rate
        self._level = rate.burst
        self._seen_s = now_s
        self.closed_until_s = now_s

    def wait_s(self, now_s: float) -> float:
        """Seconds until there is a token; 0 when there is one."""
        self._level = min(self._rate.burst, self._level + (now_s - self._seen_s) * self._rate.per_s)
        self._seen_s = now_s
        missing_s = max(0.0, 1 - self._level) / self._rate.per_s
        return max(missing_s, self.closed_until_s - now_s)

    def take(self) -> None:
        self._level -= 1

    def is_idle(self, now_s: float) -> bool:
        return self.wait_s(now_s) <= 0 and self._level >= self._rate.burst


class Pacing:
    """One bucket for each chat and one for all."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin with full buckets.

        Args:
            clock: Monotonic seconds.
        """
        self._clock = clock
        self._overall = _Bucket(OVERALL, clock())
        self._buckets: dict[Hashable, _Bucket] = {}
        self._turns_s: dict[ChatId, float] = {}

    def take(self, address: Address) -> None:
        """Use up one message of a chat's budget.

        Raises:
            RateLimited: It is too early; nothing of the chat's budget was used up.
        """
        now_s = self._clock()
        bucket = self._chat(address, now_s)
        # First the chat's own: while that is closed it must not hold a turn among the others.
        wait_s = bucket.wait_s(now_s)
        if wait_s <= _NO_TIME_S:
            wait_s = self._until_turn_s(address.chat_id, now_s)
        if wait_s > _NO_TIME_S:
            raise RateLimited(wait_s)
        bucket.take()

    def _until_turn_s(self, chat_id: ChatId, now_s: float) -> float:
        """Seconds until a chat may use up one of all chats' messages; 0 uses it up."""
        turn_s = self._turns_s.get(chat_id)
        if turn_s is None or now_s > turn_s + TURN_KEPT_S:
            turn_s = now_s + self._overall.wait_s(now_s)
            self._overall.take()
            if len(self._turns_s) >= _MANY:
                self._turns_s = {chat: turn for chat, turn in self._turns_s.items() if now_s <= turn + TURN_KEPT_S}
            self._turns_s[chat_id] = turn_s
        if turn_s - now_s > _NO_TIME_S:
            return turn_s - now_s
        del self._turns_s[chat_id]
        return 0.0

    def take_typing(self, address: Address) -> bool:
        """Use up the chat's next sign of typing; False when it would be too much."""
        now_s = self._clock()
        chat = self._chat(address, now_s)
        typing = self._bucket((address.chat_id, address.thread_id), TYPING, now_s)
        if max(chat.wait_s(now_s), typing.wait_s(now_s)) > _NO_TIME_S:
            return False
        typing.take()
        return True

    def pause(self, address: Address, retry_after_s: float) -> None:
        """Say nothing more in a chat for so many seconds."""
        now_s = self._clock()
        self._chat(address, now_s).closed_until_s = now_s + retry_after_s

    def _chat(self, address: Address, now_s: float) -> _Bucket:
        return self._bucket(address.chat_id, GROUP if address.chat_kind is ChatKind.GROUP else PRIVATE, now_s)

    def _bucket(self, key: Hashable, rate: Rate, now_s: float) -> _Bucket:
        if key not in self._buckets:
            if len(self._buckets) >= _MANY:
                self._buckets = {name: bucket for name, bucket in self._buckets.items() if not bucket.is_idle(now_s)}
            self._buckets[key] = _Bucket(rate, now_s)
        return self._buckets[key]
