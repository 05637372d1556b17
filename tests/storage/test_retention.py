"""What is older than the operator wants it kept goes; nothing else does, whatever the clock says."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from botbridge.messages import MessageId, PartState
from botbridge.storage.database import Database
from botbridge.storage.history import SqlHistory
from botbridge.storage.inbox import SqlInbox
from botbridge.storage.outbox import SqlOutbox
from botbridge.storage.people import SqlPeople
from botbridge.storage.retention import (
    BATCH_ROWS,
    EVEN_FOR_S,
    LOOK_EVERY_S,
    EvenClock,
    delete_older,
    keep_tidy,
    kept_tidy,
)
from botbridge.storage.tables import identity, inbox, outbox, turn, utc_now
from tests.contracts.examples import AISHA, AISHA_ALONE, BILAL, GROUP, PRIVATE, SHARED, answered, message

NOW = datetime(2026, 11, 25, tzinfo=UTC)
MONTH = NOW - timedelta(days=30)


async def ended(database: Database, name: str, at: datetime, *, is_delivered: bool = True) -> None:
    """Let a message of Aisha's be answered at a time."""
    row = await SqlInbox(database).accept(message(name, f"text {name}"), AISHA_ALONE)
    assert row is not None
    await SqlInbox(database).finish(row.id, answered(f"question {name}", f"answer {name}"))
    if is_delivered:
        for part in await SqlOutbox(database).due():
            await SqlOutbox(database).mark(part.id, PartState.SENT, message_id=MessageId("5"))
    for change in (
        update(inbox).where(inbox.c.id == row.id).values(finished_at=at, accepted_at=at),
        update(turn).where(turn.c.inbox_id == row.id).values(created_at=at),
        update(identity).values(last_seen_at=at),
    ):
        await database.write(lambda connection, change=change: connection.execute(change))


async def count(database: Database) -> list[int]:
    """How many messages, turns and replies there are."""
    tables = (inbox, turn, outbox)
    queries = [select(func.count()).select_from(table) for table in tables]
    return [await database.read(lambda connection, query=query: connection.scalar(query)) for query in queries]


async def test_what_is_older_goes_and_what_is_younger_stays(database: Database) -> None:
    await ended(database, "old", MONTH - timedelta(seconds=1))
    await ended(database, "young", MONTH + timedelta(seconds=1))
    assert await delete_older(database, MONTH) == {"messages": 1, "turns": 2, "replies": 1, "names": 0}
    assert await count(database) == [1, 2, 1]
    remembered = await SqlHistory(database).recent(AISHA_ALONE, 10_000)
    assert [said.text for said in remembered] == ["question young", "answer young"]
    assert sum((await delete_older(database, MONTH)).values()) == 0


async def test_what_waits_or_is_owed_is_never_too_old(database: Database) -> None:
    """However long a platform was off."""
    await SqlInbox(database).accept(message("waits"), AISHA_ALONE)
    await ended(database, "owed", MONTH - timedelta(days=1), is_delivered=False)
    assert sum((await delete_older(database, NOW + timedelta(days=365))).values()) == 0
    assert len(await SqlInbox(database).unfinished()) == 1
    assert len(await SqlOutbox(database).due()) == 1


async def test_turns_whose_message_is_gone_go_by_their_own_age(database: Database) -> None:
    await ended(database, "old", MONTH - timedelta(seconds=1))
    await ended(database, "young", MONTH + timedelta(seconds=1))
    await database.write(lambda connection: connection.execute(update(turn).values(inbox_id=None)))
    assert (await delete_older(database, MONTH))["turns"] == 2
    remembered = await SqlHistory(database).recent(AISHA_ALONE, 10_000)
    assert [said.text for said in remembered] == ["question young", "answer young"]


async def test_the_name_of_whoever_has_a_message_left_stays(database: Database) -> None:
    """However long ago they were seen: the message waits."""
    await SqlInbox(database).accept(message("waits"), AISHA_ALONE)
    assert (await delete_older(database, utc_now() + timedelta(days=365)))["names"] == 0


async def test_names_go_with_the_last_message(database: Database) -> None:
    await ended(database, "1", MONTH - timedelta(days=1))
    await SqlInbox(database).accept(message("2", sender=BILAL, address=GROUP), SHARED)
    assert (await delete_older(database, MONTH))["names"] == 1
    assert await SqlPeople(database).seen(PRIVATE, AISHA.username or "") == []
    names = await database.read(lambda connection: connection.scalars(select(identity.c.display_name)))
    assert sorted(names) == ["", BILAL.display_name]


async def test_more_than_one_transaction_takes_go_too(database: Database) -> None:
    ignore = SqlInbox(database).ignore
    more = BATCH_ROWS + 1
    await asyncio.gather(*(ignore(PRIVATE, MessageId(str(number)), b"{", "malformed") for number in range(more)))
    assert (await delete_older(database, utc_now() + timedelta(seconds=1)))["messages"] == more


async def test_a_start_deletes_nothing_by_a_clock_that_it_does_not_know_yet(database: Database) -> None:
    await ended(database, "old", MONTH - timedelta(days=1))
    async with kept_tidy(database, days=1):
        await asyncio.sleep(0)
        await database.write(lambda _: None)  # comes after what the retention would have written
    assert await count(database) == [1, 2, 1]


async def test_who_keeps_everything_has_nothing_run(database: Database) -> None:
    async with asyncio.timeout(5):
        await keep_tidy(database, None)


async def test_no_byte_of_what_was_deleted_is_in_the_file_after_a_clean_end(path: Path) -> None:
    async with Database(path) as database:
        await ended(database, "kanarienvogel", MONTH - timedelta(days=1))
        await delete_older(database, MONTH)
    assert b"kanarienvogel" not in path.read_bytes()


def looked(*times: tuple[float, float]) -> EvenClock:
    """What is known after looks at both clocks."""
    clock = EvenClock()
    for wall_s, steady_s in times:
        clock = clock.look(wall_s, steady_s)
    return clock


@pytest.mark.parametrize("jump_s", [-3600.0, 365 * 86_400.0], ids=["an hour back", "a year forward"])
def test_a_clock_that_jumped_deletes_nothing_for_an_hour(jump_s: float) -> None:
    even = [(step * LOOK_EVERY_S, step * LOOK_EVERY_S) for step in range(7)]
    end_s = even[-1][1]
    assert looked(*even).is_trusted(end_s)
    jumped = [*even, (end_s + LOOK_EVERY_S + jump_s, end_s + LOOK_EVERY_S)]
    assert not looked(*jumped).is_trusted(end_s + LOOK_EVERY_S)
    after_s = end_s + LOOK_EVERY_S + EVEN_FOR_S
    assert looked(*jumped, (after_s + jump_s, after_s)).is_trusted(after_s)


def test_a_clock_is_not_believed_at_once() -> None:
    """A machine without a battery begins with a time of long ago, or of the future."""
    assert not EvenClock().is_trusted(1e9)
    assert not looked((5.0, 1e9)).is_trusted(1e9)
