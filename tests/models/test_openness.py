"""What the published parts of a model allow."""

from __future__ import annotations

import pytest

from botbridge.models.catalogue import load_catalogue
from botbridge.models.facts import Level, Openness, Part
from botbridge.models.openness import FrameworkClass, allowance

ENTRY = load_catalogue().find("olmo-2-1b-instruct")
YES, PARTLY, NO = Part.YES, Part.PARTLY, Part.NO


def of(*parts: Part, licence: str = "Apache-2.0") -> object:
    architecture, weights, code, data = parts
    openness = Openness(architecture=architecture, weights=weights, training_code=code, training_data=data)
    return allowance(ENTRY.model_copy(update={"openness": openness, "licence": licence}))


@pytest.mark.parametrize(
    ("parts", "level", "use", "retrain", "inspect"),
    [
        ((YES, YES, YES, YES), Level.FULL, True, True, YES),
        ((YES, YES, YES, PARTLY), Level.WEIGHTS, True, False, PARTLY),
        ((YES, YES, NO, NO), Level.WEIGHTS, True, False, NO),
        ((YES, NO, NO, NO), Level.ARCHITECTURE, False, False, NO),
        ((YES, NO, YES, YES), Level.ARCHITECTURE, False, False, YES),
    ],
)
def test_what_a_level_allows(parts: tuple[Part, ...], level: Level, use: bool, retrain: bool, inspect: Part) -> None:
    found = of(*parts)
    assert (found.level, found.use, found.fine_tune) == (level, use, use)
    assert (found.retrain, found.inspect, found.regulated) == (retrain, inspect, retrain)


@pytest.mark.parametrize(
    ("parts", "licence", "highest"),
    [
        ((YES, YES, YES, YES), "Apache-2.0", FrameworkClass.OPEN_SCIENCE),
        ((YES, YES, YES, PARTLY), "MIT", FrameworkClass.OPEN_TOOLING),
        ((YES, YES, PARTLY, YES), "MIT", FrameworkClass.OPEN_MODEL),
        ((YES, YES, NO, NO), "Apache-2.0", FrameworkClass.OPEN_MODEL),
        ((YES, PARTLY, YES, YES), "Apache-2.0", FrameworkClass.NONE),
        ((YES, YES, YES, YES), "bigscience-rail-1.0", FrameworkClass.NONE),
        ((YES, YES, YES, YES), "llama3.2", FrameworkClass.NONE),
    ],
)
def test_each_class_needs_the_lower_ones_and_an_open_licence(
    parts: tuple[Part, ...], licence: str, highest: FrameworkClass
) -> None:
    assert of(*parts, licence=licence).at_most is highest
