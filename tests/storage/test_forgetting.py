"""What is forgotten is on the disk no more."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from botbridge.errors import StorageUnavailable
from botbridge.messages import AuditEntry, MessageId, Part, PartState, Person, UserId
from botbridge.storage.audit import SqlAudit
from botbridge.storage.database import Database
from botbridge.storage.inbox import SqlInbox
from botbridge.storage.outbox import SqlOutbox
from botbridge.storage.people import SqlPeople
from botbridge.storage.tables import turn
from tests.contracts.examples import AISHA, AISHA_ALONE, BILAL, GROUP, PRIVATE, SHARED, answered, message

CANARY = "kanarienvogel"
KNOWN = Person(AISHA.user_id, f"{CANARY} name", f"{CANARY}_user", "ar")


async def fill(database: Database) -> None:
    """Let a person leave traces in every place there is, between those of others."""
    inbox, outbox = SqlInbox(database), SqlOutbox(database)

    async def talk(number: int) -> None:
        own = number % 2 == 0
        text = f"{CANARY} {'x' * (number * 40)}" if own else f"kept {'y' * (number * 40)}"
        address, key = (PRIVATE, AISHA_ALONE) if own and number % 4 == 0 else (GROUP, SHARED)
        incoming = message(str(number), text, sender=KNOWN if own else BILAL, address=address)
        row = await inbox.accept(incoming, key)
        assert row is not None
        status = await outbox.open_status(row.id, address, Part(text))
        await outbox.mark(status.id, PartState.UNDELIVERABLE, detail=text)
        if number < 140:
            await inbox.finish(row.id, answered(text, text, text, text))

    await asyncio.gather(*(talk(number) for number in range(150)))
    await inbox.ignore(PRIVATE, MessageId("bad"), CANARY.encode(), CANARY)
    await inbox.ignore(GROUP, MessageId("bad"), CANARY.encode(), CANARY)
    await SqlAudit(database).record(AuditEntry("telegram:9", "reset", "telegram:1", allowed=True))


def on_disk(directory: Path) -> bytes:
    """Return every byte of the database and its companions."""
    return b"".join(file.read_bytes() for file in directory.glob("botbridge.db*"))


async def test_no_byte_of_a_forgotten_person_is_left(database: Database, tmp_path: Path) -> None:
    """While the database is open and its log in use, and also after a clean end."""
    await fill(database)
    assert CANARY.encode() in on_disk(tmp_path)
    counts = await SqlPeople(database).forget(PRIVATE.platform, AISHA.user_id)
    # 70 questions and answers; 5 unfinished messages; a username on all 75, and 2 malformed ones.
    assert counts == {"messages": 77, "turns": 140, "replies": 75 + 140, "names": 1}
    assert CANARY.encode() not in on_disk(tmp_path)
    assert b"kept" in on_disk(tmp_path)


async def test_what_stays_of_a_forgotten_person_is_ids(database: Database) -> None:
    await fill(database)
    people = SqlPeople(database)
    await people.forget(PRIVATE.platform, AISHA.user_id)
    left = await people.export(PRIVATE.platform, AISHA.user_id)
    assert CANARY not in json.dumps(left)
    assert left["turns"] == []
    kept = await database.read(lambda connection: connection.execute(select(turn.c.text)))
    assert all(text.startswith("kept") for (text,) in kept)


async def test_a_person_without_a_name_is_forgotten_too(database: Database) -> None:
    """The language alone can be known."""
    await SqlInbox(database).accept(message(sender=Person(AISHA.user_id, "", None, "ar")), AISHA_ALONE)
    people = SqlPeople(database)
    assert (await people.forget(PRIVATE.platform, AISHA.user_id))["names"] == 1
    assert '"ar"' not in json.dumps(await people.export(PRIVATE.platform, AISHA.user_id))


async def test_malformed_messages_of_other_chats_are_kept(database: Database, tmp_path: Path) -> None:
    elsewhere = replace(GROUP, chat_id="-200")
    inbox = SqlInbox(database)
    await inbox.accept(message(sender=KNOWN), AISHA_ALONE)
    await inbox.ignore(elsewhere, MessageId("1"), b"of somebody else", "not JSON")
    await SqlPeople(database).forget(PRIVATE.platform, AISHA.user_id)
    assert b"of somebody else" in on_disk(tmp_path)


async def test_forgetting_says_so_when_the_log_could_not_be_cut(database: Database, tmp_path: Path) -> None:
    """A reader that sees an older state keeps it alive; when it is gone, a repetition succeeds."""
    await fill(database)
    people = SqlPeople(database)

    looked, go_on = threading.Event(), threading.Event()

    def look(connection: Connection) -> None:
        connection.execute(select(turn.c.id).limit(1))
        looked.set()
        go_on.wait()

    reader = asyncio.create_task(database.read(look))
    await asyncio.to_thread(looked.wait)
    with pytest.raises(StorageUnavailable, match="could not be cut; try again"):
        await people.forget(PRIVATE.platform, UserId("1"))
    go_on.set()
    await reader
    await people.forget(PRIVATE.platform, UserId("1"))
    assert CANARY.encode() not in on_disk(tmp_path)
