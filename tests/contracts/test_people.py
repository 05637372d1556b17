"""What every record of people, acts and small facts does."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from botbridge.answers import Turn
from botbridge.messages import (
    AuditEntry,
    InboxState,
    MessageId,
    Part,
    PartState,
    Person,
)
from tests.contracts.conftest import Storage
from tests.contracts.examples import (
    AISHA,
    AISHA_ALONE,
    BILAL,
    GROUP,
    PRIVATE,
    SHARED,
    answered,
    message,
)


async def say(
    storage: Storage, message_id: str, text: str, answer: str, sender: Person, *, alone: bool = False
) -> None:
    """Let somebody ask something and be answered."""
    address, key = (PRIVATE, AISHA_ALONE) if alone else (GROUP, SHARED)
    row = await storage.inbox.accept(message(message_id, text, sender=sender, address=address), key)
    assert row is not None
    await storage.inbox.finish(row.id, answered(text, answer))


async def settle(storage: Storage) -> None:
    """Mark everything as sent."""
    for part in await storage.outbox.due():
        await storage.outbox.mark(part.id, PartState.SENT, message_id=MessageId("0"))


@pytest.mark.parametrize("username", ["bilal_b", "BILAL_B", "@Bilal_B"])
async def test_a_person_is_found_by_username_in_any_case(storage: Storage, username: str) -> None:
    await say(storage, "1", "q", "a", AISHA)
    await say(storage, "2", "q", "a", BILAL)
    assert await storage.people.seen(GROUP, username) == [BILAL]


async def test_only_who_wrote_in_this_chat_is_found(storage: Storage) -> None:
    await say(storage, "1", "q", "a", AISHA, alone=True)
    assert await storage.people.seen(GROUP, "aisha") == []
    assert await storage.people.seen(PRIVATE, "aisha") == [AISHA]
    assert await storage.people.seen(replace(PRIVATE, bot_id="8"), "aisha") == []


async def test_two_people_who_bore_one_username_are_both_found(storage: Storage) -> None:
    """Whoever took over a username must not be taken for its former bearer."""
    await say(storage, "1", "q", "a", AISHA)
    heir = Person(BILAL.user_id, "Bilal", "Aisha")
    await say(storage, "2", "q", "a", heir)
    assert {person.user_id for person in await storage.people.seen(GROUP, "aisha")} == {"1", "2"}


async def test_a_person_is_known_as_last_seen(storage: Storage) -> None:
    await say(storage, "1", "q", "a", AISHA)
    renamed = replace(AISHA, display_name="Aisha A.", language="en")
    await say(storage, "2", "q", "a", renamed, alone=True)
    assert await storage.people.seen(GROUP, "aisha") == [renamed]


async def test_an_export_holds_everything_of_a_person_and_nothing_of_others(storage: Storage) -> None:
    await say(storage, "1", "private question", "private answer", AISHA, alone=True)
    await say(storage, "2", "shared question", "shared answer", AISHA)
    await say(storage, "3", "other question", "other answer", BILAL)
    await storage.inbox.accept(message("4", "waiting question"), AISHA_ALONE)
    exported = json.dumps(await storage.people.export(PRIVATE.platform, AISHA.user_id))
    for text in ("private question", "private answer", "shared question", "shared answer", "waiting question"):
        assert text in exported
    for text in (AISHA_ALONE.text, SHARED.text, "Aisha", "aisha"):
        assert text in exported
    assert "other" not in exported
    assert "Bilal" not in exported


async def test_an_export_of_a_stranger_is_empty(storage: Storage) -> None:
    exported = await storage.people.export(PRIVATE.platform, AISHA.user_id)
    assert exported == {
        "platform": "telegram",
        "user_id": "1",
        "identities": [],
        "conversations": [],
        "messages": [],
        "turns": [],
        "replies": [],
    }


async def test_forgetting_erases_a_person_and_leaves_the_others(storage: Storage) -> None:
    await say(storage, "1", "private question", "private answer", AISHA, alone=True)
    await say(storage, "2", "shared question", "shared answer", AISHA)
    await say(storage, "3", "other question", "other answer", BILAL)
    await settle(storage)
    counts = await storage.people.forget(PRIVATE.platform, AISHA.user_id)
    assert counts == {"messages": 2, "turns": 4, "replies": 2, "names": 1}
    left = json.dumps(await storage.people.export(PRIVATE.platform, AISHA.user_id))
    for text in ("private question", "private answer", "shared question", "shared answer", "Aisha", "aisha"):
        assert text not in left
    assert await storage.people.seen(GROUP, "aisha") == []
    assert (await storage.history.recent(AISHA_ALONE, 1000)).turns == ()
    turns = (await storage.history.recent(SHARED, 1000)).turns
    assert [turn.text for turn in turns] == ["other question", "other answer"]
    assert await storage.people.seen(GROUP, "bilal_b") == [BILAL]


async def test_forgetting_twice_is_safe(storage: Storage) -> None:
    await say(storage, "1", "q", "a", AISHA)
    await storage.people.forget(PRIVATE.platform, AISHA.user_id)
    counts = await storage.people.forget(PRIVATE.platform, AISHA.user_id)
    assert counts == {"messages": 0, "turns": 0, "replies": 0, "names": 0}


async def test_forgetting_ends_what_waits_and_drops_what_is_unsent(storage: Storage) -> None:
    """A running answer finds its message ended; nothing empty is sent."""
    await say(storage, "1", "q", "unsent", AISHA, alone=True)
    running = await storage.inbox.accept(message("2"), AISHA_ALONE)
    assert running is not None
    await storage.inbox.running(running.id)
    status = await storage.outbox.open_status(running.id, PRIVATE, Part("wait"))
    await storage.people.forget(PRIVATE.platform, AISHA.user_id)
    assert await storage.inbox.unfinished() == []
    assert not await storage.inbox.finish(running.id, answered("hello", "late"))
    await storage.outbox.status_sent(status.id, MessageId("5"))
    assert await storage.outbox.due() == []
    assert await storage.outbox.interrupted() == []
    assert (await storage.history.recent(AISHA_ALONE, 1000)).turns == ()


async def test_a_forgotten_person_begins_anew(storage: Storage) -> None:
    """A message that the platform delivers again is still known; a new one starts the next epoch."""
    await say(storage, "1", "q", "a", AISHA, alone=True)
    await storage.people.forget(PRIVATE.platform, AISHA.user_id)
    assert await storage.inbox.accept(message("1", "q"), AISHA_ALONE) is None
    row = await storage.inbox.accept(message("2"), AISHA_ALONE)
    assert row is not None
    assert (row.epoch, row.state) == (1, InboxState.RECEIVED)
    await storage.inbox.finish(row.id, answered("hello", "hi"))
    assert (await storage.history.recent(AISHA_ALONE, 1000)).turns == (Turn("user", "hello"), Turn("assistant", "hi"))
    assert await storage.people.seen(PRIVATE, "aisha") == [AISHA]


async def test_the_same_id_on_another_platform_is_another_person(storage: Storage) -> None:
    await say(storage, "1", "q", "a", AISHA, alone=True)
    counts = await storage.people.forget("discord", AISHA.user_id)
    assert not any(counts.values())
    assert await storage.people.seen(PRIVATE, "aisha") == [AISHA]


async def test_acts_are_recorded_in_order(storage: Storage) -> None:
    entries = [
        AuditEntry("telegram:1", "reset", "telegram:2", allowed=True),
        AuditEntry("telegram:2", "reset", "everything", allowed=False, reason="not an operator"),
    ]
    for entry in entries:
        await storage.audit.record(entry)
    assert await storage.audited() == entries


async def test_a_small_fact_is_kept_until_it_is_replaced(storage: Storage) -> None:
    assert await storage.state.get("commands") is None
    await storage.state.put("commands", "1")
    await storage.state.put("other", "x")
    await storage.state.put("commands", "2")
    assert await storage.state.get("commands") == "2"
