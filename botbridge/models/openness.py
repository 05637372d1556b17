"""`models openness`: what the four published parts of a model allow, and what they do not. Pure.

Levels: the project's study. Classes: Model Openness Framework (arXiv 2403.13784), as lfai/model_openness_tool at
8b5d30e asks for them: each class needs all of the lower ones, and every part under an open licence.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from botbridge.models.facts import CatalogueEntry, Level, Part

OPEN_LICENCES: Final = frozenset(
    {"Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "CC-BY-4.0", "CDLA-Permissive-2.0"}
)
"""Licences without limits of use; others, such as Llama's, Gemma's and RAIL, break every class of the framework."""


class FrameworkClass(StrEnum):
    """The highest class that the known parts leave open; what they lack closes the ones above."""

    NONE = "none"
    OPEN_MODEL = "III, Open Model"
    OPEN_TOOLING = "II, Open Tooling"
    OPEN_SCIENCE = "I, Open Science"


@dataclass(frozen=True, slots=True)
class Allowance:
    """What can be done with a model because of what was published; its licence may still forbid it.

    Attributes:
        use: It can be run as it is.
        fine_tune: It can be trained further.
        retrain: It can be made again from nothing, with other data or without some of it.
        inspect: What it learnt from can be looked at.
        at_most: The highest class of the Model Openness Framework that is not ruled out.
        regulated: It can be retrained on data that the law watches, with all of its training shown to an auditor.
    """

    level: Level
    use: bool
    fine_tune: bool
    retrain: bool
    inspect: Part
    at_most: FrameworkClass
    regulated: bool


def allowance(entry: CatalogueEntry) -> Allowance:
    """Return what the published parts of a model allow."""
    openness = entry.openness
    has_weights = openness.architecture is not Part.NO and openness.weights is not Part.NO
    is_full = openness.level is Level.FULL
    return Allowance(
        level=openness.level,
        use=has_weights,
        fine_tune=has_weights,
        retrain=is_full,
        inspect=openness.training_data,
        at_most=_framework_class(entry),
        regulated=is_full,
    )


def _framework_class(entry: CatalogueEntry) -> FrameworkClass:
    openness = entry.openness
    if entry.licence not in OPEN_LICENCES or openness.architecture is not Part.YES or openness.weights is not Part.YES:
        return FrameworkClass.NONE
    if openness.training_code is not Part.YES:
        return FrameworkClass.OPEN_MODEL
    if openness.training_data is not Part.YES:
        return FrameworkClass.OPEN_TOOLING
    return FrameworkClass.OPEN_SCIENCE
