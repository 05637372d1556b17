"""A line and an engine's steps on a clock that only counts: what the queue model is held against.

A step is what `BatchEngine` makes of it, a token for each answer and a piece of
the prompts; only its time is computed instead of taken. Who is next is decided
by the bot's own line, or by arrival alone.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from botbridge.answers import RequestId
from botbridge.conversation import line as lines
from botbridge.inference.engines.batch import BESIDE_ANSWERS, share_out
from botbridge.inference.options import EngineOptions
from botbridge.machine.queueing import Service
from botbridge.messages import ChatId, ConversationKey, InboxId, InboxRow, InboxState, UserId
from tests.fakes.in_memory_platform import InMemoryPlatform

PREFILL_TOKENS = EngineOptions().prefill_tokens
HELLO = InMemoryPlatform().message("hello", user="0")


@dataclass
class Asked:
    """One message, from its arrival to the last word of its answer."""

    number: int
    person: int
    arrived_s: float
    prompt_left: int
    reply_tokens: int
    reply_left: int
    first_word_s: float | None = None
    ended_s: float = 0.0


class Waiting(Protocol):
    """Messages that wait for a slot."""

    def join(self, asked: Asked) -> None: ...

    def next(self) -> Asked | None: ...

    def leave(self, asked: Asked) -> None: ...


class FirstComeFirstServed:
    """As the model has it."""

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._waiting: deque[Asked] = deque()

    def join(self, asked: Asked) -> None:
        self._waiting.append(asked)

    def next(self) -> Asked | None:
        if not self._free or not self._waiting:
            return None
        self._free -= 1
        return self._waiting.popleft()

    def leave(self, asked: Asked) -> None:
        self._free += 1


class TheBotsLine:
    """Fair by tokens, one answer at a time for each person; every answer is thought to be of mean length."""

    def __init__(self, slots: int, reply_tokens: float) -> None:
        self._slots = slots
        self._reply_tokens = reply_tokens
        self._line = lines.Line()
        self._asked: dict[InboxId, Asked] = {}

    def join(self, asked: Asked) -> None:
        row = _row(asked)
        self._asked[row.id] = asked
        self._line = lines.join(self._line, row, self._reply_tokens)

    def next(self) -> Asked | None:
        entry = lines.next_entry(self._line, self._slots)
        if entry is None:
            return None
        self._line = lines.start(self._line, entry)
        return self._asked.pop(entry.row.id)

    def leave(self, asked: Asked) -> None:
        self._line = lines.leave(self._line, InboxId(asked.number), spent=asked.reply_tokens)


def _row(asked: Asked) -> InboxRow:
    user = UserId(str(asked.person))
    incoming = replace(HELLO, sender=replace(HELLO.sender, user_id=user))
    key = ConversationKey(HELLO.address.platform, HELLO.address.bot_id, ChatId(user), None, user)
    return InboxRow(InboxId(asked.number), key, 1, incoming, InboxState.QUEUED)


def ask(service: Service, messages_s: float, *, count: int, seed: int, people: int = 10**6) -> list[Asked]:
    """Return what people say: at random times, by random people, for answers of log-normal lengths."""
    chance = random.Random(seed)
    spread = math.sqrt(math.log1p(service.talk.variation**2))
    said, now_s = [], 0.0
    for number in range(1, count + 1):
        now_s += chance.expovariate(messages_s)
        length = service.talk.reply_tokens * math.exp(chance.gauss(-spread * spread / 2, spread))
        tokens = max(round(length), 1)
        said.append(Asked(number, chance.randrange(people), now_s, round(service.talk.prompt_tokens), tokens, tokens))
    return said


def answer(service: Service, said: Sequence[Asked], line: Waiting) -> None:
    """Note in each message when it had its first and its last word."""
    coming = deque(said)
    running: list[Asked] = []
    now_s = 0.0
    while coming or running:
        if not running:
            now_s = max(now_s, coming[0].arrived_s)
        while coming and coming[0].arrived_s <= now_s:
            line.join(coming.popleft())
        running += _taken(line)
        now_s += _step(service, running, (coming[0].arrived_s if coming else math.inf) - now_s)
        for asked in running:
            if asked.first_word_s is None and not asked.prompt_left:
                asked.first_word_s = now_s
            if not asked.reply_left:
                asked.ended_s = now_s
                line.leave(asked)
        running = [asked for asked in running if asked.reply_left] + _taken(line)


def _taken(line: Waiting) -> list[Asked]:
    """Take from the line for as long as there are slots."""
    taken = []
    while (asked := line.next()) is not None:
        taken.append(asked)
    return taken


def _step(service: Service, running: Sequence[Asked], until_next_s: float) -> float:
    """Compute one step, or as many as go by until something changes; return the seconds that they take."""
    writing = [asked for asked in running if not asked.prompt_left]
    reading = {RequestId(str(asked.number)): asked for asked in running if asked.prompt_left}
    words_s = len(writing) / service.speed.together_tokens_s(len(writing)) if writing else 0.0
    if not reading:
        steps = min(asked.reply_left for asked in writing)
        if until_next_s < steps * words_s:
            steps = max(math.ceil(until_next_s / words_s), 1)
        for asked in writing:
            asked.reply_left -= steps
        return steps * words_s
    budget = PREFILL_TOKENS // BESIDE_ANSWERS if writing else PREFILL_TOKENS
    pieces = share_out({name: asked.prompt_left for name, asked in reading.items()}, budget)
    for asked in writing:
        asked.reply_left -= 1
    for name, tokens in pieces.items():
        reading[name].prompt_left -= tokens
        if not reading[name].prompt_left:
            reading[name].reply_left -= 1  # the end of a prompt gives the first token
    return words_s + sum(pieces.values()) / service.speed.prefill_tokens_s


def mean_and_p95(said: Sequence[Asked], time_s: Callable[[Asked], float | None]) -> tuple[float, float]:
    """Return both of the seconds from the messages to some moment of theirs; the first tenth warms up."""
    times = sorted((time_s(asked) or 0.0) - asked.arrived_s for asked in said[len(said) // 10 :])
    return sum(times) / len(times), times[math.ceil(0.95 * len(times)) - 1]
