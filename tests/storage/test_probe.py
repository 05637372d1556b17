"""The row that health writes, and the age of what is owed."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import Connection, select, update

from botbridge.errors import StorageUnavailable
from botbridge.faults import Boundary
from botbridge.messages import Part, PartState, PlatformName
from botbridge.storage.database import Database
from botbridge.storage.inbox import SqlInbox
from botbridge.storage.outbox import SqlOutbox
from botbridge.storage.probe import SqlProbe
from botbridge.storage.tables import outbox, utc_now
from tests.contracts.examples import AISHA_ALONE, PRIVATE, answered, message

HERE = {PRIVATE.platform}


async def test_a_database_that_takes_no_rows_is_found_out(database: Database) -> None:
    """One that can still be read looks well to whoever only reads."""
    probe = SqlProbe(database)
    assert await probe(HERE) == 0
    await database.write(lambda connection: connection.exec_driver_sql("PRAGMA query_only=ON"), at=Boundary.STATE)
    with pytest.raises(StorageUnavailable, match="it is read-only"):
        await probe(HERE)


async def test_the_oldest_reply_that_is_owed_counts_until_it_is_settled(database: Database) -> None:
    inbox, probe = SqlInbox(database), SqlProbe(database)
    for number, age_s in (("1", 100), ("2", 50)):
        row = await inbox.accept(message(number), AISHA_ALONE)
        assert row is not None
        await inbox.finish(row.id, answered("question", "answer"))
        born = utc_now() - timedelta(seconds=age_s)
        aged = update(outbox).where(outbox.c.inbox_id == row.id).values(created_at=born)
        await database.write(lambda connection, aged=aged: connection.execute(aged), at=Boundary.STATE)
    assert 100 <= await probe(HERE) < 150
    oldest, newest = await SqlOutbox(database).due()
    await SqlOutbox(database).mark(oldest.id, PartState.SENT)
    assert 50 <= await probe(HERE) < 100
    assert await probe({PlatformName("discord")}) == 0, "what waits for a platform that is off is not late"
    await SqlOutbox(database).mark(newest.id, PartState.UNDELIVERABLE)
    assert await probe(HERE) == 0


async def test_a_status_message_is_not_owed(database: Database) -> None:
    """It tells of an answer to come, and nobody waits for it."""
    row = await SqlInbox(database).accept(message(), AISHA_ALONE)
    assert row is not None
    await SqlOutbox(database).open_status(row.id, PRIVATE, Part("Writing"))
    aged = update(outbox).values(created_at=utc_now() - timedelta(hours=1))
    await database.write(lambda connection: connection.execute(aged), at=Boundary.STATE)
    assert await SqlProbe(database)(HERE) == 0


DAY_S = 86_400.0


@pytest.mark.parametrize("jump_s", [DAY_S, -DAY_S], ids=["a day forward", "a day back"])
async def test_a_jump_of_the_clock_makes_no_reply_older_or_younger(database: Database, jump_s: float) -> None:
    """What is stuck grows old all the same, and what is not does not."""
    steady_s = 0.0
    probe = SqlProbe(database, lambda: steady_s)
    await owe(database, "1")
    before_s = await probe(HERE)
    await set_clock(database, jump_s)
    steady_s = 10.0
    assert await probe(HERE) == before_s + 10


async def test_a_reply_from_the_future_is_owed_from_the_first_look_on(database: Database) -> None:
    """The clock was set back before anybody looked."""
    steady_s = 0.0
    probe = SqlProbe(database, lambda: steady_s)
    await owe(database, "1")
    await set_clock(database, -DAY_S)
    assert await probe(HERE) == 0
    steady_s = 400.0
    assert await probe(HERE) == 400


async def test_the_oldest_reply_is_the_first_row_whatever_the_clock_said_then(database: Database) -> None:
    """One that comes after the clock was set back hides none that is stuck from before."""
    steady_s = 0.0
    probe = SqlProbe(database, lambda: steady_s)
    await owe(database, "1")
    assert await probe(HERE) < 1
    await set_clock(database, -DAY_S)
    await owe(database, "2")
    steady_s = 400.0
    assert await probe(HERE) >= 400


async def owe(database: Database, name: str) -> None:
    """Answer a message, and deliver nothing."""
    row = await SqlInbox(database).accept(message(name), AISHA_ALONE)
    assert row is not None
    await SqlInbox(database).finish(row.id, answered("question", "answer"))


async def set_clock(database: Database, jump_s: float) -> None:
    """Let all that is stored look as if the wall clock had been set since."""
    for part_id, created_at in await database.read(rows):
        moved = update(outbox).where(outbox.c.id == part_id).values(created_at=created_at - timedelta(seconds=jump_s))
        await database.write(lambda connection, moved=moved: connection.execute(moved), at=Boundary.STATE)


def rows(connection: Connection) -> list[tuple[int, datetime]]:
    """When each reply was noted."""
    return [(row.id, row.created_at) for row in connection.execute(select(outbox.c.id, outbox.c.created_at))]
