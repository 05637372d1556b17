"""A filter took the rest of an answer, or all of it: its person is told, and what is kept is marked as cut."""

from __future__ import annotations

import pytest

from botbridge.answers import FinishReason
from tests.conversation.conftest import World

REST = "The server that I ask for answers withheld the rest of this one, because its filter objected."
ALL = "The server that I ask for answers withheld this one, because its filter objected. Please put it another way."


@pytest.mark.parametrize(
    ("pieces", "kept"),
    [
        (["Paris is nice. It", " lies"], "Paris is nice."),
        (["Paris", " is"], "Paris is […]"),
    ],
    ids=["at a sentence", "in the middle of one"],
)
async def test_the_rest_is_said_to_be_withheld_and_not_remembered_as_words(
    world: World, pieces: list[str], kept: str
) -> None:
    world.generator.finish_reason = FinishReason.FILTERED
    world.generator.enqueue(pieces)
    await world.start()
    await world.say("where?")
    await world.until(lambda: world.platform.texts("1") == [f"{kept}\n\n{REST}"])
    await world.say("and?")
    await world.until(lambda: len(world.generator.prompts) > 1)
    assert [turn.text for turn in world.generator.prompts[1].turns] == ["where?", kept, "and?"]


async def test_an_answer_that_is_withheld_whole_is_told_and_not_remembered(world: World) -> None:
    world.generator.finish_reason = FinishReason.FILTERED
    world.generator.enqueue([])
    await world.start()
    await world.say("where?")
    await world.until(lambda: world.platform.texts("1") == [ALL])
    assert not world.store.turns


async def test_it_is_told_in_arabic(world: World) -> None:
    world.generator.finish_reason = FinishReason.FILTERED
    world.generator.enqueue(["باريس"])
    await world.start()
    await world.say("أين؟", language="ar")
    await world.until(lambda: "حجب الخادم" in "".join(world.platform.texts("1")))
