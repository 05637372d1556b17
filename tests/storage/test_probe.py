"""The row that health writes, and the age of what is owed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from botbridge.errors import StorageUnavailable
from botbridge.messages import Part, PartState, PlatformName
from botbridge.storage.database import Database
from botbridge.storage.inbox import SqlInbox
from botbridge.storage.outbox import SqlOutbox
from botbridge.storage.probe import probe
from botbridge.storage.tables import outbox, utc_now
from tests.contracts.examples import AISHA_ALONE, PRIVATE, answered, message

HERE = {PRIVATE.platform}


async def test_a_database_that_takes_no_rows_is_found_out(database: Database) -> None:
    """One that can still be read looks well to whoever only reads."""
    assert await probe(database, HERE) == 0
    await database.write(lambda connection: connection.exec_driver_sql("PRAGMA query_only=ON"))
    with pytest.raises(StorageUnavailable, match="it is read-only"):
        await probe(database, HERE)


async def test_the_oldest_reply_that_is_owed_counts_until_it_is_settled(database: Database) -> None:
    inbox = SqlInbox(database)
    for number, age_s in (("1", 100), ("2", 50)):
        row = await inbox.accept(message(number), AISHA_ALONE)
        assert row is not None
        await inbox.finish(row.id, answered("question", "answer"))
        born = utc_now() - timedelta(seconds=age_s)
        aged = update(outbox).where(outbox.c.inbox_id == row.id).values(created_at=born)
        await database.write(lambda connection, aged=aged: connection.execute(aged))
    assert 100 <= await probe(database, HERE) < 150
    oldest, newest = await SqlOutbox(database).due()
    await SqlOutbox(database).mark(oldest.id, PartState.SENT)
    assert 50 <= await probe(database, HERE) < 100
    assert await probe(database, {PlatformName("discord")}) == 0, "what waits for a platform that is off is not late"
    await SqlOutbox(database).mark(newest.id, PartState.UNDELIVERABLE)
    assert await probe(database, HERE) == 0


async def test_a_status_message_is_not_owed(database: Database) -> None:
    """It tells of an answer to come, and nobody waits for it."""
    row = await SqlInbox(database).accept(message(), AISHA_ALONE)
    assert row is not None
    await SqlOutbox(database).open_status(row.id, PRIVATE, Part("Writing"))
    aged = update(outbox).values(created_at=utc_now() - timedelta(hours=1))
    await database.write(lambda connection: connection.execute(aged))
    assert await probe(database, HERE) == 0


async def test_a_reply_from_the_future_is_not_owed_for_long(database: Database) -> None:
    """The clock was set back."""
    row = await SqlInbox(database).accept(message(), AISHA_ALONE)
    assert row is not None
    await SqlInbox(database).finish(row.id, answered("question", "answer"))
    later = update(outbox).values(created_at=utc_now() + timedelta(hours=1))
    await database.write(lambda connection: connection.execute(later))
    assert await probe(database, HERE) == 0
