"""What every history does."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from botbridge.answers import Role, Turn
from botbridge.messages import (
    ConversationKey,
    InboxId,
    InboxRow,
    InboxState,
    MessageKind,
    Outcome,
    Part,
    Person,
)
from tests.contracts.conftest import Storage
from tests.contracts.examples import (
    AISHA,
    AISHA_ALONE,
    BILAL,
    BILAL_IN_TOPIC,
    CANCELLED,
    GROUP,
    SHARED,
    TOPIC,
    answered,
    message,
)


async def remember(storage: Storage, key: ConversationKey, *pairs: tuple[str, str]) -> None:
    """Let a conversation hold these questions and answers."""
    for number, (question, answer) in enumerate(pairs):
        row = await storage.inbox.accept(message(f"{key.text}-{number}", question), key)
        assert row is not None
        assert await storage.inbox.finish(row.id, answered(question, answer))


LAST = InboxId(2**40)
"""A message that comes after all others."""


def texts(turns: tuple[Turn, ...]) -> list[str]:
    """Return what was said."""
    return [turn.text for turn in turns]


async def test_an_unknown_conversation_remembers_nothing(storage: Storage) -> None:
    assert (await storage.history.recent(AISHA_ALONE, 1000)).turns == ()


async def test_turns_come_in_pairs_oldest_first(storage: Storage) -> None:
    await remember(storage, AISHA_ALONE, ("q1", "a1"), ("q2", "a2"))
    assert (await storage.history.recent(AISHA_ALONE, 1000)).turns == (
        Turn(Role.USER, "q1"),
        Turn(Role.ASSISTANT, "a1"),
        Turn(Role.USER, "q2"),
        Turn(Role.ASSISTANT, "a2"),
    )


@pytest.mark.parametrize(
    ("limit_chars", "kept"), [(0, 0), (3, 0), (4, 1), (7, 1), (8, 2), (11, 2), (12, 3), (10**9, 3)]
)
async def test_the_newest_whole_pairs_that_fit_are_kept(storage: Storage, limit_chars: int, kept: int) -> None:
    pairs = [("q1", "a1"), ("q2", "a2"), ("q3", "a3")]
    await remember(storage, AISHA_ALONE, *pairs)
    expected = [text for pair in pairs[len(pairs) - kept :] for text in pair]
    assert texts((await storage.history.recent(AISHA_ALONE, limit_chars)).turns) == expected


async def test_a_pair_that_does_not_fit_hides_the_older_ones(storage: Storage) -> None:
    """A history with a hole in it would make the model answer something that was never asked so."""
    await remember(storage, AISHA_ALONE, ("q1", "a1"), ("q" * 100, "a2"), ("q3", "a3"))
    assert texts((await storage.history.recent(AISHA_ALONE, 50)).turns) == ["q3", "a3"]


async def test_a_long_history_is_read_page_by_page(storage: Storage) -> None:
    pairs = [(f"q{number:03}", f"a{number:03}") for number in range(70)]
    await remember(storage, AISHA_ALONE, *pairs)
    assert texts((await storage.history.recent(AISHA_ALONE, 10**6)).turns) == [text for pair in pairs for text in pair]
    assert len((await storage.history.recent(AISHA_ALONE, 8 * 50)).turns) == 100


async def test_conversations_never_meet(storage: Storage) -> None:
    """One person, one chat, one thread: each combination is a conversation of its own."""
    keys = [
        AISHA_ALONE,
        SHARED,
        BILAL_IN_TOPIC,
        replace(AISHA_ALONE, platform="discord"),
        replace(AISHA_ALONE, bot_id="8"),
        replace(SHARED, thread_id="5"),
        replace(SHARED, user_id="1"),
    ]
    for key in keys:
        await remember(storage, key, (key.text, "answer"))
    for key in keys:
        assert texts((await storage.history.recent(key, 1000)).turns) == [key.text, "answer"]


async def test_conversations_are_found_by_platform_bot_chat_and_person(storage: Storage) -> None:
    former = replace(SHARED, bot_id="8")
    for key in (AISHA_ALONE, SHARED, BILAL_IN_TOPIC, former):
        await remember(storage, key, ("q", "a"))
    matching = storage.history.matching
    assert set(await matching()) == {AISHA_ALONE, SHARED, BILAL_IN_TOPIC, former}
    assert set(await matching(bot_id=SHARED.bot_id)) == {AISHA_ALONE, SHARED, BILAL_IN_TOPIC}
    assert set(await matching(platform=GROUP.platform, chat_id=GROUP.chat_id)) == {SHARED, BILAL_IN_TOPIC, former}
    assert set(await matching(user_id=BILAL.user_id)) == {BILAL_IN_TOPIC}
    assert set(await matching(chat_id=GROUP.chat_id, user_id="1")) == set()
    assert set(await matching(platform="discord")) == set()


async def test_a_reset_empties_the_conversation_and_no_other(storage: Storage) -> None:
    await remember(storage, AISHA_ALONE, ("q", "a"))
    await remember(storage, SHARED, ("q", "a"))
    assert await storage.history.reset([AISHA_ALONE], lambda _row: CANCELLED) == []
    assert (await storage.history.recent(AISHA_ALONE, 1000)).turns == ()
    assert texts((await storage.history.recent(SHARED, 1000)).turns) == ["q", "a"]
    row = await storage.inbox.accept(message("after"), AISHA_ALONE)
    assert row is not None
    assert row.epoch == 1


async def test_a_reset_ends_what_was_accepted_before_it(storage: Storage) -> None:
    """They come back as they were, so that the caller knows what to stop."""
    waiting = await storage.inbox.accept(message("1"), SHARED)
    running = await storage.inbox.accept(message("2"), BILAL_IN_TOPIC)
    other = await storage.inbox.accept(message("3"), AISHA_ALONE)
    assert waiting is not None
    assert running is not None
    await storage.inbox.running(running.id)

    def notice(row: InboxRow) -> Outcome:
        return Outcome(InboxState.CANCELLED, (Part(f"stopped {row.incoming.message_id}"),))

    ended = await storage.history.reset([SHARED, BILAL_IN_TOPIC], notice)
    assert ended == [waiting, replace(running, state=InboxState.RUNNING, attempts=1)]
    assert await storage.inbox.unfinished() == [other]
    assert [part.part.text for part in await storage.outbox.due()] == ["stopped 1", "stopped 2"]


async def test_a_reset_leaves_alone_what_the_notice_does_not_end(storage: Storage) -> None:
    """The command that asked for the reset is unfinished itself; its answer is told and never remembered."""
    waiting = await storage.inbox.accept(message("1"), AISHA_ALONE)
    command = await storage.inbox.accept(message("2", "/reset"), AISHA_ALONE)
    assert command is not None
    ended = await storage.history.reset([AISHA_ALONE], lambda row: None if row.id == command.id else CANCELLED)
    assert ended == [waiting]
    assert await storage.inbox.unfinished() == [command]
    assert await storage.inbox.finish(command.id, answered("/reset", "done"))
    assert [part.part.text for part in await storage.outbox.due()] == ["stopped", "done"]
    exported = await storage.people.export(AISHA_ALONE.platform, AISHA.user_id)
    assert exported["turns"] == []


async def test_nothing_of_the_old_epoch_enters_the_new_one(storage: Storage) -> None:
    """The answer comes after the reset: the first end counts, and it was the reset."""
    row = await storage.inbox.accept(message(), AISHA_ALONE)
    assert row is not None
    await storage.history.reset([AISHA_ALONE], lambda _row: CANCELLED)
    assert not await storage.inbox.finish(row.id, answered("hello", "late"))
    assert (await storage.history.recent(AISHA_ALONE, 1000)).turns == ()


async def test_a_message_accepted_after_a_reset_is_left_alone(storage: Storage) -> None:
    """The calls are made at one moment; their order decides."""
    before, ended, after = await asyncio.gather(
        storage.inbox.accept(message("1"), AISHA_ALONE),
        storage.history.reset([AISHA_ALONE], lambda _row: CANCELLED),
        storage.inbox.accept(message("2"), AISHA_ALONE),
    )
    assert after is not None
    assert (ended, after.epoch) == ([before], 1)
    assert await storage.inbox.unfinished() == [after]


async def test_a_reset_by_a_command_ends_and_forgets_what_came_before_it_and_nothing_else(storage: Storage) -> None:
    """However late it is carried out: what came after it was said in the new epoch."""
    await remember(storage, AISHA_ALONE, ("old", "answer"))
    older = await storage.inbox.accept(message("1"), AISHA_ALONE)
    command = await storage.inbox.accept(message("2", "/reset"), AISHA_ALONE)
    assert command is not None
    answered_since = await storage.inbox.accept(message("3", "new"), AISHA_ALONE)
    newer = await storage.inbox.accept(message("4"), AISHA_ALONE)
    assert answered_since is not None
    assert newer is not None
    await storage.inbox.finish(answered_since.id, answered("new", "answer"))
    assert await storage.history.reset([AISHA_ALONE], lambda _row: CANCELLED, before=command.id) == [older]
    assert [row.id for row in await storage.inbox.unfinished()] == [command.id, newer.id]
    assert texts((await storage.history.recent(AISHA_ALONE, 1000)).turns) == ["new", "answer"]
    await storage.inbox.finish(newer.id, answered("newer", "answer"))
    assert texts((await storage.history.recent(AISHA_ALONE, 1000)).turns) == ["new", "answer", "newer", "answer"]


async def test_a_reset_that_is_carried_out_twice_forgets_nothing_that_came_after_its_command(storage: Storage) -> None:
    await remember(storage, AISHA_ALONE, ("old", "answer"))
    command = await storage.inbox.accept(message("c", "/reset"), AISHA_ALONE)
    assert command is not None
    await storage.history.reset([AISHA_ALONE], lambda _row: CANCELLED, before=command.id)
    row = await storage.inbox.accept(message("2"), AISHA_ALONE)
    assert row is not None
    await storage.inbox.finish(row.id, answered("new", "answer"))
    assert await storage.history.reset([AISHA_ALONE], lambda _row: CANCELLED, before=command.id) == []
    assert texts((await storage.history.recent(AISHA_ALONE, 1000)).turns) == ["new", "answer"]


async def test_what_a_later_reset_forgot_an_earlier_one_does_not_bring_back(storage: Storage) -> None:
    """The earlier one was held up longer."""
    first = await storage.inbox.accept(message("a", "/reset"), AISHA_ALONE)
    assert first is not None
    await remember(storage, AISHA_ALONE, ("between", "answer"))
    second = await storage.inbox.accept(message("b", "/reset"), AISHA_ALONE)
    assert second is not None
    for command in (second, first):
        await storage.history.reset([AISHA_ALONE], lambda _row: None, before=command.id)
    assert (await storage.history.recent(AISHA_ALONE, 1000)).turns == ()


async def test_a_reset_by_a_command_carries_nothing_over_elsewhere(storage: Storage) -> None:
    command = await storage.inbox.accept(message("c", "/reset"), AISHA_ALONE)
    assert command is not None
    await remember(storage, SHARED, ("q", "a"))
    await storage.history.reset([AISHA_ALONE], lambda _row: CANCELLED, before=command.id)
    assert texts((await storage.history.recent(SHARED, 1000)).turns) == ["q", "a"]


async def test_a_reset_of_a_conversation_that_does_not_exist_is_no_error(storage: Storage) -> None:
    assert await storage.history.reset([AISHA_ALONE], lambda _row: CANCELLED) == []
    row = await storage.inbox.accept(message(), AISHA_ALONE)
    assert row is not None
    assert row.epoch == 0


async def test_a_conversation_keeps_the_adapter_that_was_chosen_for_it(storage: Storage) -> None:
    """Through resets, until another one is chosen; nobody else has it, and a conversation that is not there none."""
    for key in (AISHA_ALONE, SHARED):
        await remember(storage, key, ("q", "a"))
    history = storage.history
    assert await history.adapter(AISHA_ALONE) is None
    await history.choose_adapter([AISHA_ALONE], "org/poet")
    await history.reset([AISHA_ALONE], lambda _row: CANCELLED)
    await history.choose_adapter([BILAL_IN_TOPIC], "org/poet")  # nobody wrote there yet
    keys = (AISHA_ALONE, SHARED, BILAL_IN_TOPIC)
    assert [await history.adapter(key) for key in keys] == ["org/poet", None, None]
    assert [(await history.recent(key, 1000)).adapter for key in keys] == ["org/poet", None, None]
    exported = await storage.people.export(AISHA_ALONE.platform, AISHA.user_id)
    assert "org/poet" in str(exported["conversations"])
    await history.choose_adapter([AISHA_ALONE], None)
    assert await history.adapter(AISHA_ALONE) is None


async def test_the_same_key_twice_is_reset_once(storage: Storage) -> None:
    row = await storage.inbox.accept(message(), AISHA_ALONE)
    assert await storage.history.reset([AISHA_ALONE, AISHA_ALONE], lambda _row: CANCELLED) == [row]
    after = await storage.inbox.accept(message("2"), AISHA_ALONE)
    assert after is not None
    assert after.epoch == 1


async def test_a_reset_that_fails_changes_nothing(storage: Storage) -> None:
    row = await storage.inbox.accept(message(address=TOPIC), SHARED)
    await remember(storage, SHARED, ("q", "a"))

    def fail(_row: InboxRow) -> Outcome:
        raise LookupError

    with pytest.raises(LookupError):
        await storage.history.reset([SHARED], fail)
    assert await storage.inbox.unfinished() == [row]
    assert texts((await storage.history.recent(SHARED, 1000)).turns) == ["q", "a"]


async def ask(storage: Storage, number: int, text: str, *, end: Outcome, user: Person = AISHA) -> None:
    """Let somebody ask in the chat that all share."""
    row = await storage.inbox.accept(message(f"again-{number}", text, sender=user, address=GROUP), SHARED)
    assert row is not None
    await storage.inbox.finish(row.id, end)


async def test_the_last_question_is_each_persons_own(storage: Storage) -> None:
    await ask(storage, 1, "q1", end=answered("Aisha: q1", "a1"))
    await ask(storage, 2, "q2", end=answered("Bilal: q2", "a2"), user=BILAL)
    assert await storage.history.last_question(SHARED, AISHA.user_id, before=LAST) == "Aisha: q1"
    assert await storage.history.last_question(SHARED, BILAL.user_id, before=LAST) == "Bilal: q2"
    assert await storage.history.last_question(AISHA_ALONE, AISHA.user_id, before=LAST) is None


async def test_a_last_question_that_was_not_answered_is_not_known_any_more(storage: Storage) -> None:
    """Better none than the one before it; commands are no questions."""
    await ask(storage, 1, "q1", end=answered("Aisha: q1", "a1"))
    row = await storage.inbox.accept(message("c", "/help", address=GROUP, kind=MessageKind.COMMAND), SHARED)
    assert row is not None
    await storage.inbox.finish(row.id, Outcome(InboxState.ANSWERED, (Part("help"),)))
    assert await storage.history.last_question(SHARED, AISHA.user_id, before=LAST) == "Aisha: q1"
    await ask(storage, 2, "q2", end=CANCELLED)
    assert await storage.history.last_question(SHARED, AISHA.user_id, before=LAST) is None
    await ask(storage, 3, "q3", end=answered("Aisha: q3", "a3"))
    assert await storage.inbox.accept(message("later", "q4", address=GROUP), SHARED) is not None
    assert await storage.history.last_question(SHARED, AISHA.user_id, before=LAST) == "Aisha: q3"


async def test_what_was_asked_after_a_message_is_not_the_last_question_before_it(storage: Storage) -> None:
    """Answered or not."""
    await ask(storage, 1, "q1", end=answered("Aisha: q1", "a1"))
    command = await storage.inbox.accept(message("c", "/again", address=GROUP, kind=MessageKind.COMMAND), SHARED)
    assert command is not None
    await ask(storage, 2, "q2", end=answered("Aisha: q2", "a2"))
    assert await storage.history.last_question(SHARED, AISHA.user_id, before=command.id) == "Aisha: q1"
    await ask(storage, 3, "q3", end=CANCELLED)
    assert await storage.history.last_question(SHARED, AISHA.user_id, before=command.id) == "Aisha: q1"


async def test_a_question_before_a_reset_is_not_known_any_more(storage: Storage) -> None:
    await ask(storage, 1, "q1", end=answered("Aisha: q1", "a1"))
    await storage.history.reset([SHARED], lambda _: None)
    assert await storage.history.last_question(SHARED, AISHA.user_id, before=LAST) is None


async def test_what_was_computed_of_late_is_told_by_person_without_what_a_cache_had(storage: Storage) -> None:
    """12 tokens of the prompt, 3 of them cached, and 3 of the reply."""
    for number, (sender, key) in enumerate([(AISHA, AISHA_ALONE), (BILAL, SHARED), (AISHA, AISHA_ALONE)]):
        row = await storage.inbox.accept(message(str(number), sender=sender), key)
        assert row is not None
        assert await storage.inbox.finish(row.id, answered("q", "a"))
    await storage.inbox.accept(message("waits"), AISHA_ALONE)
    found = await storage.history.spent(3600.0)
    assert [(spent.platform, spent.user_id, spent.tokens) for spent in found] == [
        (GROUP.platform, user.user_id, 12) for user in (AISHA, BILAL, AISHA)
    ]
    assert all(0 <= spent.age_s < 3600 for spent in found)
    assert [spent.age_s for spent in found] == sorted((spent.age_s for spent in found), reverse=True)
    assert list(await storage.history.spent(0.0)) == []
