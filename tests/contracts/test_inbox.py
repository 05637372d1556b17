"""What every inbox does."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from botbridge.messages import InboxState, MessageId, MessageKind, Outcome, Part, PartState
from tests.contracts.conftest import Storage
from tests.contracts.examples import (
    AISHA_ALONE,
    BILAL,
    CANCELLED,
    GROUP,
    PRIVATE,
    PROVENANCE,
    SHARED,
    answered,
    message,
)


async def test_an_accepted_message_is_unfinished_until_it_ends(storage: Storage) -> None:
    row = await storage.inbox.accept(message(), AISHA_ALONE)
    assert row is not None
    assert (row.state, row.epoch, row.attempts, row.key) == (InboxState.RECEIVED, 0, 0, AISHA_ALONE)
    assert await storage.inbox.unfinished() == [row]
    assert await storage.inbox.finish(row.id, answered("hello", "hi"))
    assert await storage.inbox.unfinished() == []


async def test_a_message_comes_back_as_it_was_accepted(storage: Storage) -> None:
    """Every field survives, the target of a command and the address included."""
    sent = replace(message(address=GROUP, kind=MessageKind.COMMAND, sender=BILAL), target=message().sender)
    await storage.inbox.accept(sent, SHARED)
    (row,) = await storage.inbox.unfinished()
    assert row.incoming == sent


async def test_a_duplicate_is_success_and_stores_nothing(storage: Storage) -> None:
    row = await storage.inbox.accept(message(text="first"), AISHA_ALONE)
    assert row is not None
    assert await storage.inbox.accept(message(text="second"), AISHA_ALONE) is None
    assert [known.incoming.text for known in await storage.inbox.unfinished()] == ["first"]
    await storage.inbox.finish(row.id, answered("first", "hi"))
    assert await storage.inbox.accept(message(text="third"), AISHA_ALONE) is None


async def test_of_equal_messages_at_the_same_moment_one_is_accepted(storage: Storage) -> None:
    rows = await asyncio.gather(*(storage.inbox.accept(message(), AISHA_ALONE) for _ in range(10)))
    assert sum(row is not None for row in rows) == 1


async def test_the_same_id_elsewhere_is_another_message(storage: Storage) -> None:
    """Platforms count messages per chat, and a bot may run under several accounts."""
    for incoming in (
        message(),
        message(address=GROUP),
        message(kind=MessageKind.COMMAND),
        message(address=replace(PRIVATE, bot_id="8")),
        message(address=replace(PRIVATE, platform="discord")),
    ):
        assert await storage.inbox.accept(incoming, SHARED) is not None


async def test_messages_are_numbered_in_the_order_of_the_calls(storage: Storage) -> None:
    rows = await asyncio.gather(
        *(storage.inbox.accept(message(str(number), str(number)), AISHA_ALONE) for number in range(50))
    )
    ids = [row.id for row in rows if row is not None]
    assert ids == sorted(ids)
    assert len(ids) == 50
    assert [row.incoming.text for row in await storage.inbox.unfinished()] == [str(number) for number in range(50)]


async def test_text_that_no_database_takes_is_cleaned_when_it_is_accepted(storage: Storage) -> None:
    """What comes back, and is answered, is what is stored."""
    row = await storage.inbox.accept(
        message(text="a\ud800b\0", sender=replace(BILAL, display_name="\udfff")), AISHA_ALONE
    )
    assert row is not None
    assert (row.incoming.text, row.incoming.sender.display_name) == ("a\ufffdb\ufffd", "\ufffd")
    assert await storage.inbox.unfinished() == [row]


async def test_each_run_counts_an_attempt(storage: Storage) -> None:
    row = await storage.inbox.accept(message(), AISHA_ALONE)
    assert row is not None
    await storage.inbox.queued(row.id)
    assert await storage.inbox.unfinished() == [replace(row, state=InboxState.QUEUED)]
    assert await storage.inbox.running(row.id)
    assert await storage.inbox.unfinished() == [replace(row, state=InboxState.RUNNING, attempts=1)]
    await storage.inbox.requeued(row.id)
    assert await storage.inbox.running(row.id)
    assert await storage.inbox.unfinished() == [replace(row, state=InboxState.RUNNING, attempts=2)]


async def test_nothing_moves_a_message_that_is_final(storage: Storage) -> None:
    row = await storage.inbox.accept(message(), AISHA_ALONE)
    assert row is not None
    await storage.inbox.finish(row.id, CANCELLED)
    assert not await storage.inbox.running(row.id)
    await storage.inbox.queued(row.id)
    await storage.inbox.requeued(row.id)
    assert await storage.inbox.unfinished() == []


async def test_of_two_ends_the_first_counts(storage: Storage) -> None:
    row = await storage.inbox.accept(message(), AISHA_ALONE)
    assert row is not None
    first, second = await asyncio.gather(
        storage.inbox.finish(row.id, CANCELLED), storage.inbox.finish(row.id, answered("hello", "hi"))
    )
    assert first is not None
    assert second is None
    assert [part.part.text for part in await storage.outbox.due()] == ["stopped"]
    assert (await storage.history.recent(AISHA_ALONE, 1000)).turns == ()


async def test_an_end_that_is_none_is_refused(storage: Storage) -> None:
    row = await storage.inbox.accept(message(), AISHA_ALONE)
    assert row is not None
    with pytest.raises(ValueError, match="queued is not"):
        await storage.inbox.finish(row.id, Outcome(InboxState.QUEUED))
    assert await storage.inbox.unfinished() == [row]


async def test_the_parts_of_a_reply_are_owed_in_order(storage: Storage) -> None:
    """Only the first one replaces the status message and quotes the question."""
    row = await storage.inbox.accept(message(address=GROUP), SHARED)
    assert row is not None
    parts = await storage.inbox.finish(row.id, answered("hello", "long", "one", "two", "three", edits=MessageId("77")))
    assert parts is not None
    assert [part.part for part in parts] == [Part(text, '[{"type": "bold"}]') for text in ("one", "two", "three")]
    assert [part.edits for part in parts] == ["77", None, None]
    assert [part.address.reply_to for part in parts] == ["9", None, None]
    assert {replace(part.address, reply_to=None) for part in parts} == {replace(GROUP, reply_to=None)}
    assert {(part.inbox_id, part.state, part.attempts) for part in parts} == {(row.id, PartState.PENDING, 0)}


async def test_an_end_tells_what_is_owed_as_the_outbox_has_it(storage: Storage) -> None:
    """So that it can be sent without asking for it; texts that no database takes are cleaned in both."""
    row = await storage.inbox.accept(message(address=GROUP), SHARED)
    assert row is not None
    owed = await storage.inbox.finish(row.id, answered("hello", "hi", "one", "two \ud800", edits=MessageId("77")))
    assert owed == tuple(await storage.outbox.due())
    assert len(owed) == 2


async def test_a_refusal_is_told_and_not_remembered(storage: Storage) -> None:
    row = await storage.inbox.accept(message(), AISHA_ALONE)
    assert row is not None
    await storage.inbox.finish(row.id, Outcome(InboxState.REFUSED, (Part("too long"),)))
    assert [part.part.text for part in await storage.outbox.due()] == ["too long"]
    assert (await storage.history.recent(AISHA_ALONE, 1000)).turns == ()


async def test_what_was_not_understood_is_kept_and_never_waits(storage: Storage) -> None:
    """The same malformed message again is success; the message itself may still come in a form we know."""
    await storage.inbox.ignore(PRIVATE, MessageId("1"), b"\xff{", "not JSON")
    await storage.inbox.ignore(PRIVATE, MessageId("1"), b"\xff{", "not JSON")
    assert await storage.inbox.unfinished() == []
    assert await storage.inbox.accept(message(), AISHA_ALONE) is not None


async def test_an_answer_survives_any_text(storage: Storage) -> None:
    row = await storage.inbox.accept(message(), AISHA_ALONE)
    assert row is not None
    assert await storage.inbox.finish(row.id, answered("\N{GRINNING FACE}", "مرحبا \u200f" + "x" * 100_000))
    turns = (await storage.history.recent(AISHA_ALONE, 200_000)).turns
    assert [len(turn.text) for turn in turns] == [1, 100_007]
    assert PROVENANCE.sampling.seed == 2**64 - 1


async def test_a_crash_is_counted_when_the_message_is_to_blame(storage: Storage) -> None:
    """Apart from attempts, which the innocent make, too (A8)."""
    row = await storage.inbox.accept(message(), AISHA_ALONE)
    assert row is not None
    for is_to_blame in (False, True):
        await storage.inbox.running(row.id)
        await storage.inbox.requeued(row.id, is_to_blame=is_to_blame)
    assert await storage.inbox.unfinished() == [replace(row, state=InboxState.QUEUED, attempts=2, crashes=1)]


async def test_what_an_earlier_start_was_running_is_put_back_and_what_this_one_runs_is_not(storage: Storage) -> None:
    """A claim names the start of the service (B6); attempts and crashes stay counted."""
    rows = [await storage.inbox.accept(message(str(number)), AISHA_ALONE) for number in (1, 2, 3)]
    left, taken, waiting = (row for row in rows if row is not None)
    await storage.inbox.running(left.id)
    await storage.inbox.requeued(left.id, is_to_blame=True)
    await storage.inbox.running(left.id)
    restarted = storage.restarted()
    await restarted.running(taken.id)
    assert await restarted.release() == 1
    assert await restarted.release() == 0
    assert await restarted.unfinished() == [
        replace(left, state=InboxState.QUEUED, attempts=2, crashes=1),
        replace(taken, state=InboxState.RUNNING, attempts=1),
        waiting,
    ]


async def test_a_message_may_be_answered_by_other_words_than_its_own(storage: Storage) -> None:
    row = await storage.inbox.accept(message(text="/again"), AISHA_ALONE)
    assert row is not None
    await storage.inbox.queued(row.id, text="what is a\ud800 town?")
    reworded = replace(row.incoming, text="what is a\ufffd town?")
    assert await storage.inbox.unfinished() == [replace(row, state=InboxState.QUEUED, incoming=reworded)]
    await storage.inbox.finish(row.id, CANCELLED)
    await storage.inbox.queued(row.id, text="too late")
    assert await storage.inbox.unfinished() == []
