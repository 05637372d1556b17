"""How many tokens a minute are computed for one person: told in their language, and not forgotten by a restart."""

from __future__ import annotations

from botbridge.conversation.limits import RATE_WINDOW_S, Limits
from tests.conversation.conftest import OPERATOR, World

TWO_ANSWERS = Limits(tokens_per_minute=6)
"""The scripted model reads a token for each turn of the prompt and says one for each piece: 2, then 4."""


async def talk(world: World, *texts: str, user: str = "1", **who: object) -> None:
    """Let somebody write, each message after the answer to the one before."""
    for text in texts:
        await world.say(text, user=user, **who)
        await world.until(lambda text=text: f"echo: {text}" in world.platform.texts(user))


async def refused(world: World, user: str = "1", **who: object) -> str:
    """What somebody is told who writes once more; an echo when it is taken."""

    def told() -> list[str]:
        return [
            text for text in world.platform.texts(user) if text == "echo: more" or "minute" in text or "دقيقة" in text
        ]

    await world.say("more", user=user, **who)
    await world.until(lambda: bool(told()))
    return told()[-1]


async def test_who_has_spent_the_minute_is_told_to_wait_and_nobody_else(world: World) -> None:
    await world.start(limits=TWO_ANSWERS)
    await talk(world, "one", "two")
    assert "wait a minute and send it again" in await refused(world)
    assert await refused(world, user="2") == "echo: more"
    assert len(world.generator.prompts) == 3
    assert await world.unfinished() == {}


async def test_it_is_said_in_the_language_of_the_person(world: World) -> None:
    await world.start(limits=Limits(tokens_per_minute=1))
    await talk(world, "one", language="ar")
    assert "انتظر دقيقة من فضلك" in await refused(world, language="ar")


async def test_after_a_minute_there_is_a_new_one(world: World) -> None:
    await world.start(limits=TWO_ANSWERS)
    await talk(world, "one", "two")
    world.clock.ahead_s += RATE_WINDOW_S
    assert await refused(world) == "echo: more"


async def test_a_restart_gives_no_new_minute(world: World) -> None:
    """What was computed is read from the database."""
    await world.start(limits=TWO_ANSWERS)
    await talk(world, "one", "two")
    await world.stop()
    await world.start()
    assert "wait a minute" in await refused(world)


async def test_what_was_computed_of_an_answer_that_was_stopped_counts(world: World) -> None:
    """Else /cancel would make it free."""
    world.generator.hold()
    await world.start(limits=Limits(tokens_per_minute=2))
    await world.say("one")
    await world.until(lambda: "echo: one" in world.platform.texts("1"))
    await world.say("/cancel")
    await world.until(lambda: any("Stopped" in text for text in world.platform.texts("1")))
    world.generator.release()
    assert "wait a minute" in await refused(world)


async def test_a_command_is_obeyed_but_again_asks_for_an_answer(world: World) -> None:
    await world.start(limits=TWO_ANSWERS)
    await talk(world, "one", "two")
    told = len(world.platform.texts("1"))
    await world.say("/again")
    await world.until(lambda: len(world.platform.texts("1")) > told)
    assert "wait a minute" in world.platform.texts("1")[-1]
    await world.say("/whoami")
    await world.until(lambda: "telegram" in world.platform.texts("1")[-1])


async def test_for_an_operator_nothing_is_counted(world: World) -> None:
    await world.start(limits=Limits(tokens_per_minute=1))
    await talk(world, "one", "two", "three", user=OPERATOR)
