"""`models compare`: the study's table. Which figures stand side by side, and which must not. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from botbridge.models.facts import CatalogueEntry, Score
from botbridge.models.footprint import Footprint, footprint

QUANTIZATION: Final = "Q4_K_M"
"""The form in which models are set side by side: what llama.cpp's users take by default."""

CONTEXT_TOKENS: Final = 4096
"""The conversation whose cache is counted in; a shorter context of the model's own counts instead."""

ARABIC_BENCHMARKS: Final = frozenset(
    {"MMMLU (ar)", "INCLUDE (ar)", "Belebele (Afro-Asiatic)", "Alyah", "OALL", "XStoryCloze (ar)", "XNLI (ar)",
     "HellaSwag (ar)"}
)  # fmt: skip
"""What says something of a model's Arabic. Belebele's Afro-Asiatic group holds eight languages, six of them varieties
of Arabic (Qwen3 report, table 37)."""


@dataclass(frozen=True, slots=True)
class Group:
    """Scores that can be compared: one benchmark, one source, the same examples shown.

    Attributes:
        percents: In the order of the models; None where this source has none.
    """

    benchmark: str
    shots: str | None
    of_relatives: bool
    source: str
    percents: tuple[float | None, ...]

    @property
    def is_arabic(self) -> bool:
        """It says something of Arabic."""
        return self.benchmark in ARABIC_BENCHMARKS


@dataclass(frozen=True, slots=True)
class Comparison:
    """Some models side by side.

    Attributes:
        footprints: What each takes in `QUANTIZATION` with one conversation of `CONTEXT_TOKENS`.
        comparable: The groups that hold two or more of them.
        alone: The other scores of each model: nothing here can be compared with them.
    """

    entries: tuple[CatalogueEntry, ...]
    footprints: tuple[Footprint, ...]
    comparable: tuple[Group, ...]
    alone: tuple[tuple[Score, ...], ...]


def compare(entries: Sequence[CatalogueEntry]) -> Comparison:
    """Set models side by side."""
    groups = _groups(entries)
    comparable = tuple(group for group in groups if sum(each is not None for each in group.percents) > 1)
    shared = {(group.benchmark, group.shots, group.of_relatives, group.source) for group in comparable}
    return Comparison(
        entries=tuple(entries),
        footprints=tuple(
            footprint(entry, QUANTIZATION, context_tokens=CONTEXT_TOKENS, conversations=1) for entry in entries
        ),
        comparable=comparable,
        alone=tuple(tuple(score for score in entry.scores if _key(score) not in shared) for entry in entries),
    )


def _groups(entries: Sequence[CatalogueEntry]) -> tuple[Group, ...]:
    keys = dict.fromkeys(_key(score) for entry in entries for score in entry.scores)
    return tuple(
        Group(
            *key, percents=tuple(next((s.percent for s in entry.scores if _key(s) == key), None) for entry in entries)
        )
        for key in keys
    )


def _key(score: Score) -> tuple[str, str | None, bool, str]:
    """Return what two scores must share; results of base models are compared with such only."""
    return score.benchmark, score.shots, score.of is not None, score.source
