"""What is older than the operator wants it kept goes; nothing else does, whatever the clock says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, select, update
from structlog.testing import capture_logs

from botbridge.faults import Boundary
from botbridge.messages import MessageId, PartState
from botbridge.storage.database import Database
from botbridge.storage.history import SqlHistory
from botbridge.storage.inbox import SqlInbox
from botbridge.storage.outbox import SqlOutbox
from botbridge.storage.people import SqlPeople
from botbridge.storage.retention import (
    BATCH_ROWS,
    EVEN_FOR_S,
    JUMP_S,
    LOOK_EVERY_S,
    EvenClock,
    delete_older,
    keep_tidy,
    kept_tidy,
)
from botbridge.storage.tables import identity, inbox, outbox, turn, utc_now
from tests.contracts.examples import AISHA, AISHA_ALONE, BILAL, GROUP, PRIVATE, SHARED, answered, message
from tests.fakes.locked import Locked

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
        await database.write(lambda connection, change=change: connection.execute(change), at=Boundary.STATE)


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
    remembered = (await SqlHistory(database).recent(AISHA_ALONE, 10_000)).turns
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
    await database.write(lambda connection: connection.execute(update(turn).values(inbox_id=None)), at=Boundary.STATE)
    assert (await delete_older(database, MONTH))["turns"] == 2
    remembered = (await SqlHistory(database).recent(AISHA_ALONE, 10_000)).turns
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


async def test_the_name_of_who_was_seen_lately_stays(database: Database) -> None:
    await ended(database, "1", MONTH - timedelta(days=1))
    await database.write(
        lambda connection: connection.execute(update(identity).values(last_seen_at=NOW)), at=Boundary.STATE
    )
    assert await delete_older(database, MONTH) == {"messages": 1, "turns": 2, "replies": 1, "names": 0}
    names = await database.read(lambda connection: connection.scalars(select(identity.c.display_name)))
    assert list(names) == [AISHA.display_name]


async def test_turns_without_a_message_go_by_their_own_age(database: Database) -> None:
    """Those of a study, say, that no platform brought."""
    await ended(database, "old", MONTH - timedelta(seconds=1))
    await ended(database, "young", MONTH + timedelta(seconds=1))
    await database.write(lambda connection: connection.execute(update(turn).values(inbox_id=None)), at=Boundary.STATE)
    assert (await delete_older(database, MONTH))["turns"] == 2
    remembered = (await SqlHistory(database).recent(AISHA_ALONE, 10_000)).turns
    assert [said.text for said in remembered] == ["question young", "answer young"]


class Counting:
    """Stands before a database, and notes how many messages each transaction deletes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.batches: list[int] = []

    async def write(self, work: Callable[[Connection], dict[str, int]], *, at: Boundary) -> dict[str, int]:
        """Write, and count."""
        counts = await self._database.write(work, at=at)
        self.batches.append(counts["messages"])
        return counts


async def test_more_than_one_transaction_takes_go_too_each_in_its_turn(database: Database) -> None:
    ignore = SqlInbox(database).ignore
    count = BATCH_ROWS + 1
    await asyncio.gather(*(ignore(PRIVATE, MessageId(str(number)), b"{", "malformed") for number in range(count)))
    counting = Counting(database)
    gone = await delete_older(counting, utc_now() + timedelta(seconds=1))  # type: ignore[arg-type]
    assert gone["messages"] == count
    assert counting.batches == [BATCH_ROWS, 1, 0]


async def test_a_start_deletes_nothing_by_a_clock_that_it_does_not_know_yet(database: Database) -> None:
    await ended(database, "old", MONTH - timedelta(days=1))
    async with kept_tidy(database, days=1):
        await asyncio.sleep(0)
        await database.write(lambda _: None, at=Boundary.STATE)  # comes after what the retention would have written
    assert await count(database) == [1, 2, 1]


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


def test_a_clock_that_is_slewed_has_not_jumped() -> None:
    """As NTP does it: a little at each look, and an hour in all."""
    slewed = [(step * (LOOK_EVERY_S + JUMP_S), step * LOOK_EVERY_S) for step in range(61)]
    assert looked(*slewed).is_trusted(slewed[-1][1])


def test_a_clock_is_not_believed_at_once() -> None:
    """A machine without a battery begins with a time of long ago, or of the future."""
    assert not EvenClock().is_trusted(1e9)
    assert not looked((5.0, 1e9)).is_trusted(1e9)


class OverError(Exception):
    """The test has seen enough."""


class Hours:
    """Two clocks that go on only while somebody pauses; what is left of the messages is noted at each pause.

    Args:
        database: Whose messages are counted.
        jumps_s: By how much the wall clock is set in each pause; after the last one it is over.
    """

    def __init__(self, database: Database, *jumps_s: float) -> None:
        self._database = database
        self._jumps_s = iter(jumps_s)
        self._steady_s = 0.0
        self._wall_s = NOW.timestamp()
        self.left: list[int] = []

    async def pause(self, seconds: float) -> None:
        """Let the time pass."""
        self.left.append((await count(self._database))[0])
        jump_s = next(self._jumps_s, None)
        if jump_s is None:
            raise OverError
        self._steady_s += seconds
        self._wall_s += seconds + jump_s

    async def keep_tidy(self, database: Database, days: int | None) -> None:
        """Keep it tidy until it is over."""
        with contextlib.suppress(OverError):
            await keep_tidy(
                database, days, wall_s=lambda: self._wall_s, steady_s=lambda: self._steady_s, pause=self.pause
            )


HOUR = int(EVEN_FOR_S / LOOK_EVERY_S)
"""So many looks."""


async def test_after_an_hour_what_is_old_goes_and_later_what_has_become_old(database: Database) -> None:
    await ended(database, "old", MONTH - timedelta(seconds=1))
    await ended(database, "young", MONTH + timedelta(seconds=EVEN_FOR_S + LOOK_EVERY_S / 2))
    hours = Hours(database, *[0.0] * (HOUR + 2))
    await hours.keep_tidy(database, 30)
    assert hours.left == [*[2] * HOUR, 1, 0, 0]


@pytest.mark.parametrize(("back_s", "left"), [(0.0, 0), (-365 * 86_400.0, 1)], ids=["it stays", "it is put right"])
async def test_what_a_jump_of_the_clock_makes_old_has_an_hour_left(
    database: Database, back_s: float, left: int
) -> None:
    """In which somebody may put it right again."""
    await ended(database, "young", NOW)
    year_s = 365 * 86_400.0
    hours = Hours(database, *[0.0] * HOUR, year_s, *[0.0] * (HOUR - 1), back_s, *[0.0] * HOUR)
    await hours.keep_tidy(database, 30)
    assert hours.left == [*[1] * (2 * HOUR + 1), *[left] * (HOUR + 1)]


async def test_without_an_age_everything_is_kept(database: Database) -> None:
    await ended(database, "old", MONTH - timedelta(days=9_999))
    hours = Hours(database, *[0.0] * (HOUR + 1))
    await hours.keep_tidy(database, None)
    assert await count(database) == [1, 2, 1]
    assert hours.left == [], "there is nothing to wait for"


async def test_what_cannot_be_deleted_now_goes_at_the_next_look(database: Database) -> None:
    await ended(database, "old", MONTH - timedelta(days=1))
    hours = Hours(database, *[0.0] * (HOUR + 1))
    with capture_logs() as logs:
        await hours.keep_tidy(Locked(database, {"write": 1}), 30)  # type: ignore[arg-type]
    assert hours.left == [*[1] * (HOUR + 1), 0]
    assert [(entry["log_level"], entry["event"]) for entry in logs] == [
        ("error", "old messages not deleted"),
        ("info", "old messages deleted"),
    ]


async def test_tidying_goes_on_after_a_failure_that_nobody_foresaw(database: Database) -> None:
    turns = iter(("fails", "is begun again"))
    goes_on = asyncio.Event()

    async def pause(_seconds: float) -> None:
        match next(turns, None):
            case "fails":
                raise LookupError("a bug")
            case None:
                goes_on.set()
                await asyncio.Event().wait()

    async with kept_tidy(database, 30, pause):
        await asyncio.wait_for(goes_on.wait(), timeout=10)


async def test_tidying_ends_with_the_block(database: Database) -> None:
    async with kept_tidy(database, 30):
        assert "retention" in {task.get_name() for task in asyncio.all_tasks()}
    assert "retention" not in {task.get_name() for task in asyncio.all_tasks()}
