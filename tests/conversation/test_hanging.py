"""A platform that takes its time over what is shown does not hold up what people order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest
from structlog.testing import capture_logs

from botbridge.conversation.delivery import LOOK_EVERY_S
from botbridge.errors import DeliveryUnknown, PlatformUnavailable
from botbridge.messages import Address, ConversationKey, InboxId, InboxRow, InboxState, MessageId, Outcome
from botbridge.storage.memory import InMemoryHistory
from botbridge.storage.memory_store import InMemoryStore
from tests.conversation.conftest import World
from tests.fakes.in_memory_platform import InMemoryPlatform

STOPPED = [InboxState.CANCELLED, InboxState.ANSWERED]
ENDS = {
    "/cancel": ["Half\n\n⏹ Stopped.", "Stopped 1 message."],
    "/reset": ["This conversation was reset, so I do not answer this any more.", "Done. We start afresh."],
}


async def asked(world: World) -> None:
    """Return when the model has said its first word, and the status message for it hangs."""
    world.generator.hold()
    world.generator.enqueue(["Half", " whole"])
    world.platform.takes.clear()
    await world.start()
    await world.say("talk")
    await asyncio.wait_for(world.platform.sending.wait(), timeout=10)


@pytest.mark.parametrize("command", ENDS)
async def test_a_status_message_that_hangs_holds_up_no_command(world: World, command: str) -> None:
    await asked(world)
    await world.say(command)
    await world.until_stored(lambda: world.states() == STOPPED)
    await world.until_stored(lambda: len(world.generator.cancelled) == 1)
    assert [part.is_status for part in world.platform.tries] == [True]  # nothing overtakes it
    world.platform.takes.set()
    await world.until(lambda: world.platform.texts("1") == ENDS[command])


@pytest.mark.parametrize("command", ENDS)
async def test_when_it_fails_the_last_word_still_comes_before_the_answer_to_the_command(
    world: World, command: str
) -> None:
    world.platform.faults.append(PlatformUnavailable("no answer"))
    await asked(world)
    await world.say(command)
    await world.until_stored(lambda: world.states() == STOPPED)
    world.platform.takes.set()
    await world.until(lambda: world.platform.texts("1") == ENDS[command])


async def test_after_one_that_was_lost_sight_of_the_answer_comes_by_itself(world: World) -> None:
    world.platform.faults.append(DeliveryUnknown("timed out"))
    await asked(world)
    world.platform.takes.set()
    world.generator.release()
    await world.until(lambda: world.platform.texts("1") == ["Half whole"])
    assert [part.is_status for part in world.platform.tries] == [True, False]


async def test_a_database_that_is_away_when_it_arrives_leaves_no_status_message_behind(world: World) -> None:
    await asked(world)
    await world.say("/cancel")
    await world.until_stored(lambda: world.states() == STOPPED)
    world.locked["status_sent"] = 1
    world.platform.takes.set()
    await world.until(lambda: world.platform.texts("1") == ENDS["/cancel"])


async def test_a_status_message_that_arrives_while_a_cancel_waits_for_the_database_takes_its_word(world: World) -> None:
    await asked(world)
    world.locked["finish"] = 1
    await world.say("/cancel")
    await world.until_stored(lambda: world.locked["finish"] == 0)
    world.platform.takes.set()
    await world.until(lambda: world.platform.texts("1") == ENDS["/cancel"])


async def test_a_service_that_stops_waits_for_what_hangs_and_then_says_the_last_word(world: World) -> None:
    await asked(world)
    assert world.service is not None
    await world.say("/cancel")
    await world.until_stored(lambda: world.states() == STOPPED)
    drain = asyncio.create_task(world.service.drain(30))
    await asyncio.sleep(4 * LOOK_EVERY_S)
    assert not drain.done()
    world.platform.takes.set()
    await drain
    assert world.platform.texts("1") == ENDS["/cancel"]


async def test_what_others_are_owed_comes_while_a_chat_hangs(world: World) -> None:
    world.platform.stuck.add(world.platform.message("").address.chat_id)
    world.generator.hold()
    await world.start()
    await world.say("talk")
    await asyncio.wait_for(world.platform.sending.wait(), timeout=10)
    await world.say("/cancel")
    await world.until_stored(lambda: world.states() == STOPPED)
    world.generator.release()
    await world.say("and me?", user="2")
    await world.until(lambda: world.platform.texts("2") == ["echo: and me?"])


class SlowToReset(InMemoryHistory):
    """Starts conversations anew only once it is let."""

    def __init__(self, store: InMemoryStore) -> None:
        super().__init__(store)
        self.resetting = asyncio.Event()
        self.resets = asyncio.Event()

    async def reset(
        self,
        keys: Sequence[ConversationKey],
        notice: Callable[[InboxRow], Outcome | None],
        *,
        before: InboxId | None = None,
    ) -> Sequence[InboxRow]:
        self.resetting.set()
        await self.resets.wait()
        return await super().reset(keys, notice, before=before)


async def half_answered(world: World) -> SlowToReset:
    """The history of a world in which the first word of an answer is shown."""
    world.history = history = SlowToReset(world.store)
    world.generator.hold()
    world.generator.enqueue(["Half", " whole"])
    await world.start()
    await world.say("before")
    await world.until(lambda: world.platform.texts("1") == ["Half"])
    return history


async def test_a_message_that_comes_while_its_conversation_is_reset_says_nothing_more_either(world: World) -> None:
    """By the operator, who means all that was said so far."""
    history = await half_answered(world)
    assert world.acts is not None
    resetting = asyncio.create_task(world.acts.start_anew(await history.matching()))
    await history.resetting.wait()
    world.platform.takes.clear()
    world.platform.sending.clear()
    await world.say("meanwhile")
    await asyncio.wait_for(world.platform.sending.wait(), timeout=10)
    history.resets.set()
    assert await resetting == 2
    assert world.states() == [InboxState.CANCELLED] * 2
    world.platform.takes.set()
    notice, _ = ENDS["/reset"]
    await world.until(lambda: world.platform.texts("1") == [notice, notice])


async def test_a_message_that_comes_while_a_command_resets_its_conversation_is_answered_afresh(world: World) -> None:
    history = await half_answered(world)
    await world.say("/reset")
    await history.resetting.wait()
    await world.say("meanwhile")
    history.resets.set()
    world.generator.release()
    notice, done = ENDS["/reset"]
    await world.until(lambda: sorted(world.platform.texts("1")) == sorted([notice, done, "echo: meanwhile"]))
    assert [turn.text for turn in world.generator.prompts[-1].turns] == ["meanwhile"]


async def test_a_service_that_ends_waits_no_longer_for_what_hangs(world: World) -> None:
    await asked(world)
    await world.say("/cancel")
    await world.until_stored(lambda: world.states() == STOPPED)
    await world.stop()
    assert [task for task in asyncio.all_tasks() if "_let_go" in repr(task.get_coro())] == []


class SlowToEdit(InMemoryPlatform):
    """Takes the edits that show progress only once it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.editing = asyncio.Event()
        self.edits = asyncio.Event()

    async def edit(self, address: Address, message_id: MessageId, text: str) -> None:
        if not text.endswith("Stopped."):
            self.editing.set()
            await self.edits.wait()
        await super().edit(address, message_id, text)


async def test_words_that_are_still_on_their_way_do_not_overwrite_the_last_one(world: World) -> None:
    world.platform = platform = SlowToEdit()
    world.generator.hold()
    world.generator.enqueue(["Half", " whole"])
    await world.start()
    await world.say("talk")
    await asyncio.wait_for(platform.editing.wait(), timeout=10)
    await world.say("/cancel")
    await world.until_stored(lambda: world.states() == STOPPED)
    await world.say("/help", user="2")
    await world.until(lambda: bool(platform.texts("2")))
    assert platform.texts("1") == ["Writing…"], "the last word overtook them"
    platform.edits.set()
    await world.until(lambda: platform.texts("1") == ENDS["/cancel"])
    words, *_ = platform.ledger
    assert words.texts == ["Writing…", "Half", "Half\n\n⏹ Stopped."]


class Broken(InMemoryPlatform):
    """Has a bug in all that only shows progress."""

    async def typing(self, address: Address) -> None:
        raise LookupError("a bug")

    async def edit(self, address: Address, message_id: MessageId, text: str) -> None:
        if text == "Half":
            raise LookupError("a bug")
        await super().edit(address, message_id, text)


async def test_a_bug_in_what_is_shown_on_the_way_costs_no_answer(world: World) -> None:
    world.platform = Broken()
    world.generator.hold()
    world.generator.enqueue(["Half", " whole"])
    await world.start()
    with capture_logs() as logs:
        await world.say("talk")
        await world.until(lambda: world.platform.texts("1") == ["Writing…"])
        world.generator.release()
        await world.until(lambda: world.platform.texts("1") == ["Half whole"])
    assert world.states() == [InboxState.ANSWERED]
    assert [line["event"] for line in logs if line["log_level"] == "error"] == [
        "unforeseen failure of what is shown"
    ] * 2
