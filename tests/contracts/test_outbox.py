"""What every outbox does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from botbridge.messages import InboxRow, InboxState, MessageId, OutboxPart, Outcome, Part, PartState
from tests.contracts.conftest import Storage
from tests.contracts.examples import AISHA_ALONE, GROUP, PRIVATE, SHARED, answered, message


async def accepted(storage: Storage) -> InboxRow:
    """Return an unfinished row."""
    row = await storage.inbox.accept(message(), AISHA_ALONE)
    assert row is not None
    return row


async def owed(storage: Storage, *texts: str) -> list[OutboxPart]:
    """Return the parts of an answer."""
    row = await accepted(storage)
    await storage.inbox.finish(row.id, answered("hello", "hi", *texts))
    return list(await storage.outbox.due())


async def test_a_part_is_due_until_it_is_sent(storage: Storage) -> None:
    one, two = await owed(storage, "one", "two")
    await storage.outbox.mark(one.id, PartState.SENDING)
    assert await storage.outbox.due() == [two]
    assert await storage.outbox.interrupted() == [replace(one, state=PartState.SENDING, attempts=1)]
    await storage.outbox.mark(one.id, PartState.SENT, message_id=MessageId("8"))
    assert await storage.outbox.due() == [two]
    assert await storage.outbox.interrupted() == []


async def test_a_part_that_failed_is_due_again_and_knows_its_attempts(storage: Storage) -> None:
    (part,) = await owed(storage, "one")
    for attempts in (1, 2):
        await storage.outbox.mark(part.id, PartState.SENDING)
        await storage.outbox.mark(part.id, PartState.FAILED_RETRYABLE, detail="no route")
        assert await storage.outbox.due() == [replace(part, state=PartState.FAILED_RETRYABLE, attempts=attempts)]


async def test_a_part_whose_message_to_replace_is_gone_is_one_of_its_own_from_then_on(storage: Storage) -> None:
    row = await accepted(storage)
    await storage.inbox.finish(row.id, answered("hello", "hi", edits=MessageId("8")))
    (part,) = await storage.outbox.due()
    assert part.edits == MessageId("8")
    await storage.outbox.mark(part.id, PartState.SENDING)
    await storage.outbox.send_anew(part.id)
    assert [part.edits for part in await storage.outbox.interrupted()] == [None]


async def test_the_other_messages_of_a_parts_chat_are_known(storage: Storage) -> None:
    """Status messages, too; not its own, and none of another chat."""
    row = await accepted(storage)
    status = await storage.outbox.open_status(row.id, PRIVATE, Part("wait"))
    await storage.outbox.status_sent(status.id, MessageId("7"))
    await storage.inbox.finish(row.id, answered("hello", "hi", "one", "two"))
    elsewhere = await storage.inbox.accept(message(address=GROUP), SHARED)
    assert elsewhere is not None
    await storage.inbox.finish(elsewhere.id, answered("hello", "hi", "three"))
    one, two, three = await storage.outbox.due()
    assert await storage.outbox.others(one) == {"7"}
    for part, message_id in ((one, "8"), (three, "9")):
        await storage.outbox.mark(part.id, PartState.SENT, message_id=MessageId(message_id))
    assert await storage.outbox.others(two) == {"7", "8"}
    assert await storage.outbox.others(one) == {"7"}


@pytest.mark.parametrize("settled", [PartState.SENT, PartState.UNDELIVERABLE, PartState.DELIVERY_UNKNOWN])
async def test_a_settled_part_is_never_due_again(storage: Storage, settled: PartState) -> None:
    """Whoever marks it late: it must not be sent twice."""
    (part,) = await owed(storage, "one")
    await storage.outbox.mark(part.id, PartState.SENDING)
    await storage.outbox.mark(part.id, settled)
    for late in (PartState.PENDING, PartState.FAILED_RETRYABLE, PartState.SENDING):
        await storage.outbox.mark(part.id, late)
    assert await storage.outbox.due() == []
    assert await storage.outbox.interrupted() == []


async def test_parts_are_due_in_the_order_in_which_they_were_owed(storage: Storage) -> None:
    parts = await owed(storage, *"abcdef")
    await storage.outbox.mark(parts[4].id, PartState.FAILED_RETRYABLE)
    await storage.outbox.mark(parts[1].id, PartState.FAILED_RETRYABLE)
    assert [part.part.text for part in await storage.outbox.due()] == list("abcdef")


async def test_a_status_message_is_being_sent_from_the_start(storage: Storage) -> None:
    row = await accepted(storage)
    status = await storage.outbox.open_status(row.id, GROUP, Part("you are third"))
    assert status == OutboxPart(status.id, row.id, GROUP, Part("you are third"), PartState.SENDING, is_status=True)
    assert await storage.outbox.due() == []
    assert await storage.outbox.interrupted() == [replace(status, attempts=1)]


async def test_the_row_knows_its_status_message_once_that_is_sent(storage: Storage) -> None:
    row = await accepted(storage)
    status = await storage.outbox.open_status(row.id, PRIVATE, Part("you are third"))
    assert await storage.inbox.unfinished() == [row]
    await storage.outbox.status_sent(status.id, MessageId("55"))
    assert await storage.inbox.unfinished() == [replace(row, status_message_id="55")]


async def test_the_newest_status_message_that_was_sent_counts(storage: Storage) -> None:
    row = await accepted(storage)
    for message_id in ("55", "66"):
        status = await storage.outbox.open_status(row.id, PRIVATE, Part("wait"))
        await storage.outbox.status_sent(status.id, MessageId(message_id))
    lost = await storage.outbox.open_status(row.id, PRIVATE, Part("wait"))
    await storage.outbox.mark(lost.id, PartState.DELIVERY_UNKNOWN)
    assert await storage.inbox.unfinished() == [replace(row, status_message_id="66")]


async def test_a_reply_that_was_owed_before_its_status_message_was_there_takes_its_place(storage: Storage) -> None:
    """The first part of it, and nobody else's."""
    row = await accepted(storage)
    other = await storage.inbox.accept(message("2"), SHARED)
    assert other is not None
    status = await storage.outbox.open_status(row.id, PRIVATE, Part("wait"))
    for inbox_id, texts in ((other.id, ("else",)), (row.id, ("one", "two"))):
        await storage.inbox.finish(inbox_id, answered("hello", "hi", *texts))
    await storage.outbox.status_sent(status.id, MessageId("7"))
    assert [(part.part.text, part.edits) for part in await storage.outbox.due()] == [
        ("else", None),
        ("one", "7"),
        ("two", None),
    ]


@pytest.mark.parametrize("tried", [PartState.SENDING, PartState.FAILED_RETRYABLE, PartState.SENT])
async def test_one_that_was_tried_already_does_not(storage: Storage, tried: PartState) -> None:
    """It may be in the chat as a message of its own."""
    row = await accepted(storage)
    status = await storage.outbox.open_status(row.id, PRIVATE, Part("wait"))
    await storage.inbox.finish(row.id, answered("hello", "hi", "one", "two"))
    one, _ = await storage.outbox.due()
    await storage.outbox.mark(one.id, tried)
    await storage.outbox.status_sent(status.id, MessageId("7"))
    left = [*await storage.outbox.due(), *await storage.outbox.interrupted()]
    assert {part.edits for part in left} == {None}


async def test_one_that_replaces_another_message_keeps_to_that(storage: Storage) -> None:
    row = await accepted(storage)
    status = await storage.outbox.open_status(row.id, PRIVATE, Part("wait"))
    await storage.inbox.finish(row.id, answered("hello", "hi", edits=MessageId("5")))
    await storage.outbox.status_sent(status.id, MessageId("7"))
    assert [part.edits for part in await storage.outbox.due()] == ["5"]


async def test_a_status_message_that_was_given_up_takes_nothing(storage: Storage) -> None:
    row = await accepted(storage)
    status = await storage.outbox.open_status(row.id, PRIVATE, Part("wait"))
    await storage.inbox.finish(row.id, answered("hello", "hi", "one"))
    await storage.outbox.mark(status.id, PartState.UNDELIVERABLE)
    await storage.outbox.status_sent(status.id, MessageId("7"))
    assert [part.edits for part in await storage.outbox.due()] == [None]


async def test_a_reply_is_no_status_message(storage: Storage) -> None:
    row = await accepted(storage)
    other = await storage.inbox.accept(message("2"), SHARED)
    await storage.inbox.finish(row.id, answered("hello", "hi"))
    (part,) = await storage.outbox.due()
    await storage.outbox.mark(part.id, PartState.SENT, message_id=MessageId("8"))
    assert await storage.inbox.unfinished() == [other]


@pytest.mark.parametrize("state", [InboxState.ANSWERED, InboxState.REFUSED, InboxState.EXPIRED])
async def test_a_reply_knows_how_its_message_ended(storage: Storage, state: InboxState) -> None:
    row = await accepted(storage)
    await storage.inbox.finish(row.id, Outcome(state, (Part("a word"),)))
    assert [part.ending for part in await storage.outbox.due()] == [state]


async def test_a_part_lost_sight_of_is_settled_and_told_once_after_the_rest_of_its_reply(storage: Storage) -> None:
    """However many parts of it are lost, and whoever reports it again; the person's language is known."""
    one, two = await owed(storage, "one", "two")
    for part in (one, two, one):
        await storage.outbox.mark(part.id, PartState.SENDING)
        await storage.outbox.lose_sight(part.id, Part("lost?"), detail="no answer")
    (notice,) = await storage.outbox.due()
    assert notice.id > two.id
    assert notice == OutboxPart(
        notice.id,
        one.inbox_id,
        one.address,
        Part("lost?"),
        PartState.PENDING,
        ending=InboxState.ANSWERED,
        is_notice=True,
        language="ar",
    )
    assert await storage.outbox.interrupted() == []


async def test_a_notice_that_is_lost_sight_of_brings_forth_no_other(storage: Storage) -> None:
    (part,) = await owed(storage, "one")
    await storage.outbox.lose_sight(part.id, Part("lost?"))
    (notice,) = await storage.outbox.due()
    await storage.outbox.mark(notice.id, PartState.SENDING)
    await storage.outbox.lose_sight(notice.id, Part("lost again?"))
    assert await storage.outbox.due() == []
    assert await storage.outbox.interrupted() == []


async def test_of_a_refused_part_there_is_one_notice_that_takes_the_place_it_was_to_take(storage: Storage) -> None:
    """However many parts of it are refused, and the notice itself."""
    row = await accepted(storage)
    outcome = Outcome(InboxState.ANSWERED, (Part("one"), Part("two")), edits=MessageId("7"))
    await storage.inbox.finish(row.id, outcome)
    one, two = await storage.outbox.due()
    for part in (one, two, one):
        await storage.outbox.mark(part.id, PartState.SENDING)
        await storage.outbox.refused(part.id, Part("refused!"), detail="AutoMod")
    (notice,) = await storage.outbox.due()
    assert (notice.id > two.id, notice.part, notice.edits) == (True, Part("refused!"), MessageId("7"))
    assert notice.is_notice
    await storage.outbox.refused(notice.id, Part("refused again!"))
    assert await storage.outbox.due() == []
    assert await storage.outbox.interrupted() == []


async def test_what_is_settled_is_not_lost_sight_of(storage: Storage) -> None:
    (part,) = await owed(storage, "one")
    await storage.outbox.mark(part.id, PartState.SENT, message_id=MessageId("8"))
    await storage.outbox.lose_sight(part.id, Part("lost?"))
    assert await storage.outbox.due() == []
