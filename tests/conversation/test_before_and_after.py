"""A command is about what was said before it, and what is said after it is answered as if it was carried out at once.

However long that takes: a platform is slow to say who may do what, the database
is locked for a moment, or the service is started anew.
"""

from __future__ import annotations

import asyncio

import pytest

from botbridge.answers import KnownAdapter
from botbridge.conversation.scope import key_for
from botbridge.errors import StorageUnavailable
from botbridge.messages import Address, ChatId, InboxId, InboxState, OutboxPart, Outcome, UserId
from botbridge.storage.memory import InMemoryInbox
from botbridge.storage.memory_store import InMemoryStore
from tests.conversation.conftest import OPERATOR, World
from tests.conversation.test_restarts import looked_twice
from tests.fakes.in_memory_platform import InMemoryPlatform
from tests.fakes.scripted_generator import ScriptedGenerator

GROUP = "-5"
AFRESH = "Done. We start afresh."


class SlowToTellRights(InMemoryPlatform):
    """Says who administers a chat only once it is let."""

    def __init__(self, name: str = "telegram") -> None:
        super().__init__(name)
        self.asked = asyncio.Event()
        self.tells = asyncio.Event()

    async def is_chat_admin(self, address: Address, user_id: UserId) -> bool:
        self.asked.set()
        await self.tells.wait()
        return await super().is_chat_admin(address, user_id)


async def talked(world: World, text: str, **who: object) -> None:
    """Let somebody say something and wait until it is answered and remembered."""
    said = await world.say(text, **who)
    await world.until(lambda: f"echo: {text}" in world.platform.texts(said.address.chat_id))
    await world.until_stored(lambda: text not in unfinished_texts(world))


def unfinished_texts(world: World) -> list[str]:
    return [row.incoming.text for row in world.store.unfinished()]


def asked(world: World) -> list[list[str]]:
    """What the model was given for each answer, oldest first."""
    return [[turn.text for turn in prompt.turns] for prompt in world.generator.prompts]


@pytest.mark.parametrize("name", ["telegram", "discord"])
async def test_a_question_behind_a_reset_is_answered_afresh_though_rights_are_slow(world: World, name: str) -> None:
    """In a group the platform is asked whether its sender is an administrator; meanwhile they go on."""
    world.platform = platform = SlowToTellRights(name)
    world.generator = ScriptedGenerator(slots=4)
    await world.start()
    await talked(world, "old", chat=GROUP)
    await world.say("/reset", chat=GROUP)
    await platform.asked.wait()
    await world.say("new", chat=GROUP)
    await world.say("newer", chat=GROUP)
    await talked(world, "meanwhile", user="2")
    platform.tells.set()
    await world.until(lambda: sorted(platform.texts(GROUP)[1:]) == sorted([AFRESH, "echo: new", "echo: newer"]))
    assert asked(world)[2:] == [["new"], ["new", "echo: new", "newer"]]


async def test_what_others_said_after_a_reset_of_their_chat_is_answered_and_remembered(world: World) -> None:
    world.platform = platform = SlowToTellRights()
    platform.admins.add((ChatId(GROUP), UserId("2")))
    await world.start()
    await talked(world, "old", user="1", chat=GROUP)
    await world.say("/reset chat", user="2", chat=GROUP)
    await platform.asked.wait()
    world.generator.hold()
    world.generator.asked.clear()
    await world.say("running", user="1", chat=GROUP)
    await world.generator.asked.wait()
    await world.say("waiting", user="1", chat=GROUP)
    platform.tells.set()
    await world.until(lambda: "were reset" in platform.texts(GROUP)[-1])
    world.generator.release()
    await world.until(lambda: "echo: waiting" in platform.texts(GROUP))
    assert asked(world)[-1] == ["running", "echo: running", "waiting"]


async def test_a_question_behind_a_reset_waits_for_it_while_the_database_is_away(world: World) -> None:
    await world.start()
    await talked(world, "old")
    world.locked["reset"] = 1
    await world.say("/reset")
    await world.say("new")
    await world.until(lambda: set(world.platform.texts("1")[1:]) == {AFRESH, "echo: new"})
    assert asked(world)[1:] == [["new"]]


async def test_what_followed_a_reset_in_one_batch_is_remembered(world: World) -> None:
    await world.start()
    await asyncio.gather(world.say("/reset"), world.say("my name is Ann"))
    await world.until(lambda: "echo: my name is Ann" in world.platform.texts("1"))
    await talked(world, "who am I?")
    assert asked(world)[-1] == ["my name is Ann", "echo: my name is Ann", "who am I?"]


@pytest.mark.parametrize("command", ["/reset", "/cancel"])
async def test_a_command_of_an_earlier_start_stops_nothing_that_was_said_after_it(world: World, command: str) -> None:
    """It was carried out or not when its process died, and its end was not stored; what followed stands in the line."""
    world.generator.become("unavailable")
    await world.start()
    world.locked["finish"] = world.locked["reset"] = 10**6
    for text in ("before", command, "after"):
        await world.say(text)
    await world.until_stored(lambda: world.states()[2] is InboxState.QUEUED)
    await world.stop()
    world.locked.clear()
    world.generator.become("ready")
    await world.start()
    await world.until(lambda: "echo: after" in world.platform.texts("1"))
    await world.until_stored(lambda: world.states() == [InboxState.CANCELLED, *[InboxState.ANSWERED] * 2])
    assert asked(world)[-1] == ["after"]


class LockedInMidCancel(InMemoryInbox):
    """Its database is locked for a moment at the second message that is cancelled."""

    def __init__(self, store: InMemoryStore) -> None:
        super().__init__(store)
        self.is_locked = asyncio.Event()
        self._cancelled = 0

    async def finish(self, inbox_id: InboxId, outcome: Outcome) -> tuple[OutboxPart, ...] | None:
        self._cancelled += outcome.state is InboxState.CANCELLED
        if self._cancelled == 2 and not self.is_locked.is_set():
            self.is_locked.set()
            raise StorageUnavailable("the database is locked")
        return await super().finish(inbox_id, outcome)


async def test_a_cancel_that_waits_for_the_database_stops_what_it_was_about(world: World) -> None:
    world.inbox = inbox = LockedInMidCancel(world.store)
    world.generator.hold()
    await world.start()
    await world.say("first")
    await world.until(lambda: world.platform.texts("1") == ["echo: first"])
    await world.say("second")
    await world.say("/cancel")
    await inbox.is_locked.wait()
    await world.say("after")
    await world.until(lambda: "Stopped 2 messages." in world.platform.texts("1"))
    world.generator.release()
    await world.until(lambda: "echo: after" in world.platform.texts("1"))
    assert [text for text in world.platform.texts("1") if "⏹" in text] == ["echo: first\n\n⏹ Stopped.", "⏹ Stopped."]


async def test_again_is_about_the_question_before_it(world: World) -> None:
    """Whatever is asked behind it: it is neither unanswered yet nor the last one."""
    await world.start()
    await talked(world, "one")
    world.locked["last_question"] = 1
    await world.say("/again")
    await world.say("two")
    await world.until(lambda: sorted(world.platform.texts("1")) == ["echo: one", "echo: one", "echo: two"])
    assert [words[-1] for words in asked(world)] == ["one", "one", "two"]


@pytest.mark.parametrize(
    ("command", "seen"),
    [("/again", ["one", "two", "one"]), ("/reset", ["one", "two"]), ("/cancel", ["one", "two"])],
)
async def test_a_command_that_is_found_late_is_about_what_came_before_it(
    world: World, command: str, seen: list[str]
) -> None:
    """It was committed, and whoever was to begin with it was gone; meanwhile its person went on."""
    await world.start()
    await talked(world, "one")
    message = world.platform.message(command)
    assert await InMemoryInbox(world.store).accept(message, key_for(message, {})) is not None
    await talked(world, "two")
    await looked_twice(world)
    await world.until_stored(lambda: command not in unfinished_texts(world))
    await world.until(lambda: len(world.platform.texts("1")) == 3)
    assert [words[-1] for words in asked(world) if "knock" not in words[-1]] == seen
    await talked(world, "three")
    assert asked(world)[-1][-3:] == [*(["one", "echo: one"] if command == "/again" else ["two", "echo: two"]), "three"]
    assert ("one" in asked(world)[-1]) == (command != "/reset")


async def test_a_question_behind_an_adapter_is_answered_with_it_and_the_last_choice_stays(world: World) -> None:
    """The first choice is held up by the database, what follows it is not."""
    world.generator.tell_adapters(KnownAdapter("org/poet", "f00"), KnownAdapter("org/cook", "f01"))
    await world.start()
    world.locked["choose_adapter"] = 1
    await world.say("/adapter org/cook", user=OPERATOR)
    await world.say("/adapter org/poet", user=OPERATOR)
    await world.say("a poem", user=OPERATOR)
    await world.until(lambda: "echo: a poem" in world.platform.texts(OPERATOR))
    assert [prompt.adapter for prompt in world.generator.prompts] == ["org/poet"]


async def test_a_command_that_is_slow_holds_up_no_other_conversation_and_no_help(world: World) -> None:
    world.platform = platform = SlowToTellRights()
    await world.start()
    await world.say("/reset", chat=GROUP)
    await platform.asked.wait()
    await world.say("/help", chat=GROUP)
    await world.until(lambda: "/cancel" in "".join(platform.texts(GROUP)))
    await world.say("elsewhere", user="2", chat=GROUP)
    await world.until(lambda: "echo: elsewhere" in platform.texts(GROUP))
    assert AFRESH not in platform.texts(GROUP)
