"""What a reasoning model writes for itself reaches neither its person nor the history."""

from __future__ import annotations

import pytest

from botbridge.answers import FinishReason
from botbridge.messages import InboxState
from tests.conversation.conftest import World

SILENT = "The model had nothing to say to that. Please put it another way."


async def test_thoughts_are_neither_shown_nor_remembered(world: World) -> None:
    world.generator.enqueue(["<thin", "k>\nThe user ", "greets.</thin", "k>\n\n", "Hello ", "there"])
    await world.start()
    await world.say("hi")
    await world.until(lambda: world.platform.texts("1") == ["Hello there"])
    await world.say("and?")
    await world.until(lambda: len(world.generator.prompts) > 1)
    assert [turn.text for turn in world.generator.prompts[1].turns] == ["hi", "Hello there", "and?"]
    assert not [text for shown in world.platform.ledger for text in shown.texts if "greets" in text or "<th" in text]


@pytest.mark.parametrize("reason", [FinishReason.STOP, FinishReason.LENGTH])
@pytest.mark.parametrize("pieces", [[], ["\n "], ["<think>The user ", "greets"]], ids=["nothing", "blanks", "thoughts"])
async def test_what_has_no_words_is_no_answer(world: World, pieces: list[str], reason: FinishReason) -> None:
    """The length limit may come before the first word; there is nothing then to mark as cut."""
    world.generator.finish_reason = reason
    world.generator.enqueue(pieces)
    await world.start()
    await world.say("hi")
    await world.until(lambda: world.platform.texts("1") == [SILENT])
    assert not world.store.turns


async def test_what_is_stopped_while_the_model_thinks_shows_nothing_of_it(world: World) -> None:
    world.generator.enqueue(["<think>The user greets", "."])
    world.generator.hold()
    await world.start()
    await world.say("hi")
    await world.generator.asked.wait()
    await world.say("/cancel")
    await world.until_stored(lambda: world.states() == [InboxState.CANCELLED, InboxState.ANSWERED])
    await world.until(lambda: len(world.platform.texts("1")) > 1)
    assert "greets" not in " ".join(text for shown in world.platform.ledger for text in shown.texts)


async def test_an_answer_that_only_begins_like_thoughts_comes_whole(world: World) -> None:
    world.generator.enqueue(["<th", "e> is a tag"], ["<thin"])
    await world.start()
    await world.say("what is it?")
    await world.until(lambda: world.platform.texts("1") == ["<the> is a tag"])
    await world.say("and half of it?")
    await world.until(lambda: world.platform.texts("1")[1:] == ["<thin"])
