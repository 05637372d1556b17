"""What many people say on both platforms, drawn from a seed; every word of it is unique in the world."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Literal

PEOPLE = 24
"""On each platform."""

GROUPS = 3
GROUP_SHARE = 0.06
"""Of what is said: a group on Telegram takes 20 messages a minute from a bot."""

MENU_SHARE = 0.5
"""Of the commands on Discord."""

LONG_WORDS = 750
TOO_LONG_WORDS = 2_500
"""More than 16,000 characters."""


@dataclass(frozen=True)
class Saying:
    """Something to say: by person `person`, in group or channel `group` (None: in private).

    Attributes:
        number: Of the question; commands have one, too, and no words of it.
        pause_s: After what came before in the same act.
        by_menu: A command that is chosen from Discord's menu instead of typed.
    """

    number: int
    platform: Literal["telegram", "discord"]
    person: int
    group: int | None
    text: str
    pause_s: float = 0.0
    by_menu: bool = False


class Load:
    """An endless row of acts: a question, a burst of one person, one that is stopped, forgotten or asked again.

    Who stops or forgets something asks something else right behind it.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._numbers = count(1)

    def acts(self) -> Iterator[list[Saying]]:
        """What one person does at a time."""
        makers = {
            self._short: 58,
            self._long: 5,
            self._too_long: 1,
            self._burst: 6,
            self._stopped: 8,
            self._begun_anew: 6,
            self._asked_again: 6,
            self._fatal: 0.7,
        }
        while True:
            (make,) = self._chance.choices(list(makers), weights=list(makers.values()))
            platform: Literal["telegram", "discord"] = self._chance.choice(("telegram", "discord"))
            in_group = self._chance.random() < (GROUP_SHARE if platform == "telegram" else 0.5)
            group = self._chance.randrange(GROUPS if platform == "telegram" else PEOPLE // 2) if in_group else None
            person = self._chance.randrange(PEOPLE)
            by_menu = platform == "discord" and self._chance.random() < MENU_SHARE
            yield [
                Saying(next(self._numbers), platform, person, group, text, pause_s, by_menu and text.startswith("/"))
                for text, pause_s in make()
            ]

    def _words(self, number: int) -> str:
        return " ".join(f"q#w{index}" for index in range(number))

    def _short(self) -> list[tuple[str, float]]:
        pace = self._chance.choice(["", "!slow:0.02 ", "!slow:0.05 ", "!slow:0.1 "])
        return [(pace + self._words(self._chance.randint(2, 10)), 0.0)]

    def _long(self) -> list[tuple[str, float]]:
        return [(self._words(LONG_WORDS), 0.0)]

    def _too_long(self) -> list[tuple[str, float]]:
        return [(self._words(TOO_LONG_WORDS), 0.0)]

    def _burst(self) -> list[tuple[str, float]]:
        return [(self._words(3), 0.0) for _ in range(self._chance.randint(3, 7))]

    def _stopped(self) -> list[tuple[str, float]]:
        return [
            ("!slow:0.3 " + self._words(12), 0.0),
            ("/cancel", self._chance.uniform(0.0, 1.5)),
            self._right_behind(),
        ]

    def _begun_anew(self) -> list[tuple[str, float]]:
        return [("!slow:0.1 " + self._words(8), 0.0), ("/reset", self._chance.uniform(0.0, 0.5)), self._right_behind()]

    def _right_behind(self) -> tuple[str, float]:
        return self._words(4), 0.0

    def _asked_again(self) -> list[tuple[str, float]]:
        return [(self._words(6), 0.0), ("/again", self._chance.uniform(0.5, 5.0))]

    def _fatal(self) -> list[tuple[str, float]]:
        return [(f"!exit0 {self._words(3)}", 0.0)]


def spoken(saying: Saying) -> str:
    """The text with its number in each word.

    >>> spoken(Saying(7, "telegram", 1, None, "!slow:0.1 q#w0 q#w1"))
    '!slow:0.1 q7w0 q7w1'
    """
    return saying.text.replace("q#", f"q{saying.number}")
