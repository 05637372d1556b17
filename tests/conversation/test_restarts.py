"""What one start of the service leaves, the next one takes up: claims, counts, and messages that nobody began with."""

from __future__ import annotations

from structlog.testing import capture_logs

from botbridge.conversation.limits import Limits
from botbridge.conversation.scope import key_for
from botbridge.conversation.sweep import SWEEP_EVERY_S
from botbridge.messages import InboxState
from botbridge.storage.memory import InMemoryInbox
from tests.conversation.conftest import World
from tests.fakes.in_memory_platform import InMemoryPlatform
from tests.fakes.scripted_generator import PoisonedGenerator


async def test_an_answer_cut_short_by_a_kill_is_given_once_by_the_next_start(world: World) -> None:
    """A3, B6: the claim of the start that is gone is put back, whoever bears its process id now."""
    world.generator.hold()
    await world.start()
    await world.say("hello")
    await world.until(lambda: world.platform.texts("1") == ["echo: hello"])  # shown, not stored
    await world.stop()
    assert world.states() == [InboxState.RUNNING]
    world.generator.release()
    with capture_logs() as logged:
        await world.start()
    assert [line["messages"] for line in logged if "earlier start" in line["event"]] == [1]
    await world.until(lambda: bool(world.store.turns))
    [message] = world.store.messages.values()
    assert (message.state, message.attempts) == (InboxState.ANSWERED, 2)
    assert world.platform.texts("1") == ["echo: hello"]


async def test_two_crashes_quarantine_a_message_though_the_service_was_restarted_between_them(world: World) -> None:
    """A8: the count is stored with the message."""
    world.generator = generator = PoisonedGenerator(slots=1)
    await world.start()
    await world.say("poison")
    await generator.died.wait()
    generator.become("unavailable")
    await world.until_stored(lambda: [message.crashes for message in world.store.messages.values()] == [1])
    await world.stop()
    generator.become("ready")
    await world.start()
    await world.until(lambda: "gave this message up" in "".join(world.platform.texts("1")))
    assert generator.deaths == 2
    assert world.states() == [InboxState.QUARANTINED]


async def test_the_innocent_are_not_charged_with_a_crash_and_outlive_it_over_a_restart(world: World) -> None:
    """A8: of three who were answered side by side, none is to blame for sure, so none is counted."""
    world.generator = generator = PoisonedGenerator(slots=4)
    generator.hold()
    await world.start()
    for user, text in (("1", "one"), ("2", "poison"), ("3", "three")):
        await world.say(text, user=user)
    await generator.died.wait()
    generator.become("unavailable")
    await world.until_stored(lambda: world.states() == [InboxState.QUEUED] * 3)
    assert {message.crashes for message in world.store.messages.values()} == {0}
    await world.stop()
    generator.release()
    generator.become("ready")
    await world.start()
    await world.until(lambda: "gave this message up" in "".join(world.platform.texts("2")))
    await world.until(lambda: world.platform.texts("1") == ["echo: one"])
    await world.until(lambda: world.platform.texts("3") == ["echo: three"])


async def test_a_message_that_nobody_began_with_is_found_in_the_database(world: World) -> None:
    """B5: its platform gave up between the commit and the word that it was done."""
    await world.start()
    for text, user in (("lost", "1"), ("/cancel", "2")):
        incoming = world.platform.message(text, user=user)
        assert await InMemoryInbox(world.store).accept(incoming, key_for(incoming, {})) is not None
    await looked_twice(world)
    await world.until(lambda: world.platform.texts("1") == ["echo: lost"])
    await world.until(lambda: world.platform.texts("2") == ["There is nothing to stop."])
    assert await world.unfinished() == {}


async def test_a_message_of_a_platform_that_is_off_is_not_taken_for_lost(world: World) -> None:
    """It waits for the start that has its platform."""
    await world.start()
    incoming = InMemoryPlatform("discord").message("for later", user="1")
    assert await InMemoryInbox(world.store).accept(incoming, key_for(incoming, {})) is not None
    with capture_logs() as logged:
        await looked_twice(world)
    assert [line for line in logged if line["log_level"] != "info"] == []
    assert await world.unfinished() == {"for later": InboxState.RECEIVED}


async def looked_twice(world: World) -> None:
    """Let the service look into the database two times."""
    for looks in (0, 1, 2):
        world.clock.ahead_s = looks * (SWEEP_EVERY_S + 1)
        await world.say(f"knock {looks}", user="3")
        await world.until(lambda looks=looks: f"echo: knock {looks}" in world.platform.texts("3"))  # type: ignore[misc]


async def test_what_waits_or_is_answered_is_not_taken_for_lost(world: World) -> None:
    """B5: however often the database is looked into."""
    world.generator.hold()
    await world.start()
    await world.say("first", user="1")
    await world.until(lambda: world.platform.texts("1") == ["echo: first"])
    await world.say("second", user="2")
    with capture_logs() as logged:
        for looks in range(5):
            world.clock.ahead_s = looks * (SWEEP_EVERY_S + 1)
            await world.say("/cancel", user="3")
            await world.until(lambda looks=looks: len(world.platform.texts("3")) == looks + 1)  # type: ignore[misc]
    world.generator.release()
    await world.until(lambda: world.platform.texts("2") == ["echo: second"])
    assert not [line for line in logged if "nobody had begun" in line["event"]]
    assert [prompt.turns[-1].text for prompt in world.generator.prompts] == ["first", "second"]


async def test_a_message_that_is_found_while_its_platform_still_hands_it_over_is_begun_with_once(world: World) -> None:
    """B5: a command is obeyed once, and whoever waits has not to wait anew."""
    world.generator.become("unavailable")
    await world.start(limits=Limits(wait_s=60))
    assert world.service is not None
    await world.say("/reset", user="1")
    await world.service.resume()
    await world.until(lambda: bool(world.platform.texts("1")))
    await world.say("waiting", user="2")
    await world.until(lambda: bool(world.platform.texts("2")))
    world.clock.ahead_s = 40
    await world.service.resume()
    world.clock.ahead_s = 61
    await world.until(lambda: "in time" in world.platform.texts("2")[0])
    assert [entry.action for entry in world.store.audit] == ["reset"]


async def test_what_waits_too_long_expires_with_a_word_and_is_not_run_later(world: World) -> None:
    """G4: also when it had a place behind somebody; whoever was begun with is not touched."""
    world.generator.hold()
    await world.start(limits=Limits(wait_s=60))
    await world.say("running", user="1")
    await world.until(lambda: world.platform.texts("1") == ["echo: running"])
    await world.say("waiting", user="2")
    await world.until_stored(lambda: world.states() == [InboxState.RUNNING, InboxState.QUEUED])
    world.clock.ahead_s = 61
    await world.until(lambda: "in time" in "".join(world.platform.texts("2")))
    world.generator.release()
    await world.say("later", user="3")
    await world.until(lambda: world.platform.texts("3") == ["echo: later"])
    assert [prompt.turns[-1].text for prompt in world.generator.prompts] == ["running", "later"]
    assert world.states() == [InboxState.ANSWERED, InboxState.EXPIRED, InboxState.ANSWERED]
