"""What is owed and what waits goes by the order of the rows, whatever the clock said meanwhile."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import update

from botbridge.faults import Boundary
from botbridge.storage.database import Database
from botbridge.storage.inbox import SqlInbox
from botbridge.storage.outbox import SqlOutbox
from botbridge.storage.tables import outbox, utc_now
from tests.contracts.examples import AISHA_ALONE, answered, message


async def test_replies_are_due_in_the_order_in_which_they_were_written(database: Database) -> None:
    """The clock was set back between the two."""
    inbox = SqlInbox(database)
    for text in ("first", "second"):
        row = await inbox.accept(message(text), AISHA_ALONE)
        assert row is not None
        await inbox.finish(row.id, answered("hello", "hi", text))
    first, second = await SqlOutbox(database).due()
    later = utc_now() + timedelta(days=1)
    await database.write(
        lambda connection: connection.execute(update(outbox).where(outbox.c.id == first.id).values(created_at=later)),
        at=Boundary.REPLY,
    )
    assert [part.part.text for part in (first, second)] == ["first", "second"]
    assert await SqlOutbox(database).due() == [first, second]
