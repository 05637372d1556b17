"""What somebody wishes of a model, and the answer: which one, in which form, why, and why not the others."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from botbridge.models.facts import CatalogueEntry, Task, WeightsFile
from botbridge.models.fitting import Holding, MemoryNeed, Verdict
from botbridge.models.footprint import Footprint
from botbridge.models.licences import Permission
from botbridge.models.runtimes import EVERY_ENGINE, Runtime
from botbridge.sentences import Sentence

NEEDS: Final = (Task.LOGIC, Task.MATHS, Task.MULTILINGUAL, Task.ARABIC, Task.CODE, Task.CHAT)
"""What can be asked for; translation alone is no conversation."""

TASK_WORDS: Final = {
    Task.LOGIC: Sentence("logic"),
    Task.MATHS: Sentence("maths"),
    Task.MULTILINGUAL: Sentence("multilingual"),
    Task.ARABIC: Sentence("arabic"),
    Task.CODE: Sentence("code"),
    Task.CHAT: Sentence("chat"),
    Task.TRANSLATION: Sentence("translation"),
}

PERMISSION_WORDS: Final = {
    Permission.ALLOWED: Sentence("allowed"),
    Permission.CONDITIONAL: Sentence("conditional"),
    Permission.UNKNOWN: Sentence("unknown"),
    Permission.NOT_ALLOWED: Sentence("not allowed"),
}

MOST_EXACT_FIRST: Final = ("F32", "BF16", "F16", "Q8_0", "Q5_K_M", "Q4_1", "Q4_K_M", "Q4_0")
"""Forms that are offered, from the largest to the smallest."""

QUANTIZED: Final = frozenset(MOST_EXACT_FIRST[3:])

FAMILIES: Final = {
    "4-BIT": frozenset({"Q4_1", "Q4_K_M", "Q4_0"}),
    "8-BIT": frozenset({"Q8_0"}),
    "INT8": frozenset({"Q8_0"}),
    "16-BIT": frozenset({"BF16", "F16"}),
}
"""What people call forms by. 8-bit integers in a GGUF are Q8_0: 32 of them share a scale."""


def unread(_: CatalogueEntry) -> Permission:
    """Return what somebody who reads no licence can say of one."""
    return Permission.UNKNOWN


def without_preference(_: CatalogueEntry) -> tuple[str, ...]:
    """Return the engines of somebody of whose settings nothing is known."""
    return EVERY_ENGINE


@dataclass(frozen=True, slots=True)
class Room:
    """What a machine can hold, and what is free on its disk; None for no bound that is known."""

    memory_bytes: int | None = None
    disk_bytes: int | None = None


LOW_END: Final = Room(6_000_000_000)
"""A laptop of 8 GB whose system and desktop keep 2 GB: our own reckoning, not a measurement."""


def low_end(holding: Holding) -> Holding:
    """Return how a model is held on a laptop where one person at a time is answered; it does not compute bfloat16."""
    return replace(holding, conversations=1, computes_bfloat16=False)


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants of a model.

    Attributes:
        needs: Some of `NEEDS`, the most important first; none is anything that talks.
        languages: ISO 639 codes that it has to know.
        language_count: So many languages at least.
        most_billions: The largest nominal class: 7 takes a model of 7.24 thousand millions.
        forms: Those of `MOST_EXACT_FIRST` that will do.
        runtime: The one that has to compute it; None for any.
        use: What the licence has to allow, for people to read; empty where nobody asked.
        permit: What a licence says to that use.
        holding: How the settings want a model held.
        engines_for: The engines that the settings let compute a model, in the order in which they would be tried.
        engines_here: Those that are installed.
        installed: What lies in the store, by the names under which it was pulled; it takes no more disk.
    """

    needs: tuple[Task, ...] = ()
    languages: tuple[str, ...] = ()
    language_count: int = 0
    most_billions: float | None = None
    forms: frozenset[str] = QUANTIZED
    runtime: Runtime | None = None
    use: str = ""
    permit: Callable[[CatalogueEntry], Permission] = field(default=unread, compare=False)
    holding: Holding = field(default_factory=Holding)
    room: Room = Room()
    engines_for: Callable[[CatalogueEntry], Sequence[str]] = field(default=without_preference, compare=False)
    engines_here: frozenset[str] = frozenset(EVERY_ENGINE)
    installed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Offer:
    """One way to run a model.

    Attributes:
        form: One of `MOST_EXACT_FIRST`.
        footprint: Of the file that is pulled.
        file: The published file; None where its size is computed.
        need: What it takes of the memory.
        disk_bytes: What comes to the disk; None where that is not known.
        is_offered: `models pull` takes it; else somebody has to be found who offers it.
        is_here: It was pulled already.
        command: Fetches it, or looks for it.
    """

    runtime: Runtime
    form: str
    footprint: Footprint
    file: WeightsFile | None
    need: MemoryNeed
    disk_bytes: int | None
    is_offered: bool
    is_here: bool
    command: str


@dataclass(frozen=True, slots=True)
class Yardstick:
    """One source that measured several of the models alike.

    Attributes:
        source: Its id in the catalogue.
        benchmarks: Each with its shots.
    """

    source: str
    benchmarks: tuple[tuple[str, str | None], ...]

    @property
    def sentence(self) -> Sentence:
        """Both.

        >>> Yardstick("tii", (("GSM8K", "5, strict"), ("MMLU", None))).sentence
        'GSM8K (5, strict), MMLU of tii'
        """
        named = (name if shots is None else f"{name} ({shots})" for name, shots in self.benchmarks)
        return Sentence("{benchmarks} of {source}", benchmarks=", ".join(named), source=self.source)

    def __str__(self) -> str:
        """Name both."""
        return self.sentence


@dataclass(frozen=True, slots=True)
class Match:
    """A model that fits, or of which nothing says that it does not.

    Attributes:
        verdict: Which of the two.
        percent: Its mean by the yardstick; None where that did not measure it.
        permit: None where nobody asked for a use.
        reasons: Why it stands where it does, each one clause.
    """

    entry: CatalogueEntry
    offer: Offer
    verdict: Verdict
    percent: float | None
    permit: Permission | None
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A model that does not fit, and the first reason why."""

    entry: CatalogueEntry
    reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Best first; `advice` says what would help where nothing fits."""

    matches: tuple[Match, ...]
    refusals: tuple[Refusal, ...]
    yardstick: Yardstick | None
    advice: tuple[str, ...] = ()


def languages_wanted(text: str) -> tuple[int, tuple[str, ...]]:
    """Read how many languages, or which.

    >>> languages_wanted("5"), languages_wanted("ar, en")
    ((5, ()), (0, ('ar', 'en')))

    Raises:
        ValueError: It is neither.
    """
    if text.strip().isdecimal():
        return int(text), ()
    codes = tuple(re.findall(r"[^,\s]+", text.lower()))
    if not codes or not all(re.fullmatch(r"[a-z]{2,3}", code) for code in codes):
        raise ValueError(f"{text!r} is neither a number nor a list of language codes such as ar,en")
    return 0, codes


def forms_called(text: str) -> frozenset[str]:
    """Return the forms that a name means.

    >>> sorted(forms_called("int8")), sorted(forms_called("q4_k_m"))
    (['Q8_0'], ['Q4_K_M'])

    Raises:
        ValueError: Nobody calls any so.
    """
    name = text.strip().upper()
    if name in FAMILIES:
        return FAMILIES[name]
    if name not in MOST_EXACT_FIRST:
        known = ", ".join((*FAMILIES, *MOST_EXACT_FIRST))
        raise ValueError(f"{text!r} is no form of weights that can be asked for: one of {known}")
    return frozenset({name})
