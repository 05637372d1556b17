"""The same load for every contender: people who talk in turns, and what they say."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from benchmarks.engine import QUESTIONS

FOLLOW_UPS = ("Why is that so?", "Tell me more.", "Give me an example.", "And what happened then?", "Say it shorter.")
STOCK = ("harbour", "winter", "carpenter", "stairs", "lamp", "river", "letter", "market", "window", "bread", "rope")


@dataclass(frozen=True)
class Load:
    """Who says what.

    Attributes:
        people: How many take part.
        turns: How many turns each of them has.
        at_once: How many are answered or wait for an answer at one time.
        opening_words: Length of the first message; the history that all later turns stand on.
        tokens: Longest answer.
        counts_later: Only the turns after the first count, which warm everything up.
    """

    people: int
    turns: int
    at_once: int
    opening_words: int
    tokens: int
    counts_later: bool = False

    def says(self, person: int, turn: int) -> str:
        """Return what a person says in a turn; every person tells another story."""
        if turn > 0:
            return FOLLOW_UPS[(person + turn) % len(FOLLOW_UPS)]
        story = " ".join(STOCK[(person + place * (person % 5 + 1)) % len(STOCK)] for place in range(self.opening_words))
        return f"{story} {QUESTIONS[person % len(QUESTIONS)]}".strip()


SHORT = Load(people=8, turns=6, at_once=8, opening_words=0, tokens=64)
BRIEF = Load(people=8, turns=3, at_once=8, opening_words=0, tokens=32)
"""For a model ten times as large: a quarter of the tokens, so that every contender comes to its end."""
LONG = Load(people=32, turns=2, at_once=8, opening_words=700, tokens=32, counts_later=True)

Ask = Callable[[int, str, int], Awaitable[int]]
"""Person, text, longest answer; returns the tokens of the answer once it is whole."""


async def play(load: Load, ask: Ask) -> tuple[float, float]:
    """Let everybody talk; return tokens per second of all turns, and of those after the first."""
    gate = asyncio.Semaphore(load.at_once)
    counted: list[tuple[int, int]] = []

    async def one(person: int, turn: int) -> None:
        async with gate:
            counted.append((turn, await ask(person, load.says(person, turn), load.tokens)))

    begun_s = time.perf_counter()
    await asyncio.gather(*(one(person, 0) for person in range(load.people)))
    opened_s = time.perf_counter()
    if load.at_once >= load.people:

        async def talk(person: int) -> None:
            for turn in range(1, load.turns):
                await one(person, turn)

        await asyncio.gather(*map(talk, range(load.people)))
    else:
        for turn in range(1, load.turns):
            await asyncio.gather(*(one(person, turn) for person in range(load.people)))
    ended_s = time.perf_counter()
    later = sum(tokens for turn, tokens in counted if turn > 0)
    everything = sum(tokens for _, tokens in counted)
    return everything / (ended_s - begun_s), later / (ended_s - opened_s)
