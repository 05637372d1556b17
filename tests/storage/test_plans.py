"""The queries that run for each message read through an index, however many rows there are."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Connection, event

from botbridge.faults import Boundary
from botbridge.messages import InboxId, MessageId, Part, PartId, PartState
from botbridge.storage.database import Database
from botbridge.storage.engines import driver_connection
from botbridge.storage.history import SqlHistory, newest_pairs
from botbridge.storage.inbox import SqlInbox
from botbridge.storage.outbox import SqlOutbox
from botbridge.storage.people import SqlPeople
from botbridge.storage.probe import oldest_owed
from tests.contracts.examples import AISHA_ALONE, CANCELLED, PRIVATE, SHARED, answered, message

FILL = """
WITH RECURSIVE n(i) AS (SELECT ?1 + 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1 + ?2)
INSERT INTO turn (id, conversation_id, epoch, parent_id, role, text, created_at)
SELECT i, ?3, 0, CASE WHEN i % 2 = 0 THEN i - 1 END, CASE WHEN i % 2 = 0 THEN 'assistant' ELSE 'user' END,
       'text ' || i, '2026-01-01 00:00:00.000000' FROM n
"""


def plan(connection: Connection, statement: str, parameters: object) -> list[str]:
    """Return how SQLite would carry a statement out."""
    driver = driver_connection(connection)
    return [row[3] for row in driver.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]  # type: ignore[arg-type]


async def test_what_was_spent_lately_is_found_from_the_newest_turn_on(database: Database) -> None:
    """Once a start; no index knows when a turn was, and reading all of a long history would delay the start."""
    statements: list[tuple[str, object]] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        statements.append((statement, parameters))

    await database.read(lambda connection: event.listen(connection.engine, "before_cursor_execute", note))
    await SqlHistory(database).spent(60.0)
    [(statement, parameters)] = [(text, values) for text, values in statements if text.startswith("SELECT")]
    steps = await database.read(lambda connection: plan(connection, statement, parameters))
    assert "LIMIT" in statement
    assert not any("SCAN" in step and "newest" not in step and step != "SCAN turn" for step in steps), steps


async def test_no_step_of_a_message_scans_a_table(database: Database) -> None:
    """Each statement that the journey of one message emits is explained, on tables with rows."""
    inbox, outbox, history = SqlInbox(database), SqlOutbox(database), SqlHistory(database)
    await inbox.accept(message("0"), AISHA_ALONE)
    statements: list[tuple[str, object]] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        statements.append((statement, parameters))

    def listen(connection: Connection) -> None:
        event.listen(connection.engine, "before_cursor_execute", note)

    async def journey() -> None:
        row = await inbox.accept(message("1"), AISHA_ALONE)
        assert row is not None
        await inbox.queued(row.id)
        status = await outbox.open_status(row.id, PRIVATE, Part("wait"))
        await outbox.status_sent(status.id, MessageId("5"))
        await inbox.running(row.id)
        await history.recent(AISHA_ALONE, 1000)
        await inbox.finish(row.id, answered("hello", "hi"))
        for part in await outbox.due():
            await outbox.others(part)
            await outbox.mark(PartId(part.id), PartState.SENDING)
        await outbox.interrupted()
        await inbox.unfinished()
        await inbox.running(InboxId(row.id))
        await SqlPeople(database).seen(PRIVATE, "aisha")
        await history.reset([AISHA_ALONE, SHARED], lambda _row: CANCELLED, before=row.id)
        await SqlPeople(database).forget(PRIVATE.platform, message().sender.user_id)

    await database.write(listen, at=Boundary.STATE)
    await database.read(listen)
    await journey()
    explained = [
        (statement, step)
        for statement, parameters in statements
        if statement.startswith(("SELECT", "UPDATE", "DELETE"))
        for step in await database.read(lambda connection, s=statement, p=parameters: plan(connection, s, p))
    ]
    assert len(explained) > 20
    scans = {
        (step, statement)
        for statement, step in explained
        # A partial index over the few unfinished rows may be walked from end to end.
        if step.startswith("SCAN") and "ix_inbox_unfinished" not in step and "ix_outbox_unsettled" not in step
    }
    assert scans == set()


async def fill(database: Database, conversation_id: int, present: int, add: int) -> None:
    """Add turns to a conversation, behind those that are present in all."""
    values = (present, add, conversation_id)
    await database.write(lambda connection: connection.exec_driver_sql(FILL, values), at=Boundary.STATE)


async def steps(database: Database) -> int:
    """How many steps it takes to read the newest turns of the first conversation."""
    return await database.read(lambda connection: count_steps(connection, lambda: newest_pairs(connection, 1, 0, None)))


@pytest.mark.parametrize("turns", [50_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
async def test_a_history_of_any_length_is_read_from_its_end(database: Database, turns: int) -> None:
    """Counted in steps of SQLite's own machine: no more for a million turns than for a few."""
    await SqlInbox(database).accept(message(), AISHA_ALONE)
    await fill(database, 1, 0, 1000)
    few = await steps(database)
    await fill(database, 1, 1000, turns - 1000)
    assert await steps(database) <= few * 1.1
    newest = (await SqlHistory(database).recent(AISHA_ALONE, 30)).turns
    assert [turn.text for turn in newest] == [f"text {turns - 1}", f"text {turns}"]


async def test_a_history_is_found_by_an_index_however_much_others_said_since(database: Database) -> None:
    for number, key in enumerate((AISHA_ALONE, SHARED)):
        await SqlInbox(database).accept(message(str(number)), key)
    await fill(database, 1, 0, 1000)
    few = await steps(database)
    await fill(database, 2, 1000, 50_000)
    assert await steps(database) <= few * 1.1


async def test_health_looks_at_what_is_owed_however_much_was_delivered(database: Database) -> None:
    """It is asked all day long."""
    inbox, outbox, counts = SqlInbox(database), SqlOutbox(database), list[int]()
    for name in range(40):
        row = await inbox.accept(message(str(name)), AISHA_ALONE)
        assert row is not None
        await inbox.finish(row.id, answered("hello", "hi"))
        query = oldest_owed({PRIVATE.platform})
        counts.append(
            await database.read(
                lambda connection, query=query: count_steps(connection, lambda: connection.execute(query).all())
            )
        )
        for part in await outbox.due():
            await outbox.mark(part.id, PartState.SENT)
    assert min(counts[20:]) <= min(counts[:20])


def count_steps(connection: Connection, read: Callable[[], object]) -> int:
    """Return how many instructions of its virtual machine SQLite needs to read something."""
    driver = driver_connection(connection)
    steps: list[None] = []
    driver.set_progress_handler(lambda: steps.append(None), 1)
    read()
    driver.set_progress_handler(None, 1)
    return len(steps)
