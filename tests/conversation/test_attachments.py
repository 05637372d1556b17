"""A photo or file beside a text is not read, and its person is told so."""

from __future__ import annotations

from tests.conversation.conftest import World

NOTE = "I have read only the text of your message: I cannot see what is attached to it."


async def test_an_answer_says_that_the_attachment_was_not_read_and_the_next_one_nothing_of_it(world: World) -> None:
    await world.start()
    await world.say("what is this?", has_attachment=True)
    await world.until(lambda: world.platform.texts("1") == [f"echo: what is this?\n\n{NOTE}"])
    await world.say("and?")
    await world.until(lambda: world.platform.texts("1")[1:] == ["echo: and?"])
    assert [turn.text for turn in world.generator.prompts[1].turns] == ["what is this?", "echo: what is this?", "and?"]


async def test_it_is_told_in_arabic(world: World) -> None:
    await world.start()
    await world.say("ما هذا؟", language="ar", has_attachment=True)
    await world.until(lambda: "لا أستطيع رؤية ما أُرفق بها" in "".join(world.platform.texts("1")))
