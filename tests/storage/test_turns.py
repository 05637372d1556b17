"""One answer, with all that it was computed from."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from botbridge.answers import Answer, FinishReason, Role, Sampling, Turn
from botbridge.errors import SchemaOutOfDate, StorageUnavailable, TurnNotFound
from botbridge.faults import Boundary
from botbridge.messages import ConversationKey, InboxState, Outcome, Part
from botbridge.storage.database import Database
from botbridge.storage.history import SqlHistory
from botbridge.storage.inbox import SqlInbox
from botbridge.storage.migrate import migrations_dir, upgrade
from botbridge.storage.people import SqlPeople
from botbridge.storage.tables import system_text, turn
from botbridge.storage.turns import read_answer
from tests.contracts.examples import AISHA, AISHA_ALONE, BILAL, GROUP, PRIVATE, PROVENANCE, SHARED, message

SYSTEM = "Be brief."


async def answer(
    database: Database,
    number: int,
    *,
    used_turns: int = 1,
    key: ConversationKey = AISHA_ALONE,
    system: str = SYSTEM,
    **sender: object,
) -> None:
    """Let question `q<number>` be answered by `a<number>`."""
    inbox = SqlInbox(database)
    row = await inbox.accept(message(str(number), f"q{number}", **sender), key)  # type: ignore[arg-type]
    assert row is not None
    origin = replace(PROVENANCE, used_turns=used_turns, adapter="poet", adapter_revision="f00")
    given = Answer(f"q{number}", f"a{number}", FinishReason.LENGTH, origin, system)
    await inbox.finish(row.id, Outcome(InboxState.ANSWERED, (Part("a"),), given))


def talk(*texts: str) -> tuple[Turn, ...]:
    roles = (Role.USER, Role.ASSISTANT) * len(texts)
    return tuple(Turn(role, text) for role, text in zip(roles, texts, strict=False))


async def test_an_answer_comes_with_everything_it_was_computed_from(database: Database) -> None:
    """While the database is open elsewhere, as it is beside a running service."""
    await answer(database, 1)
    found = await read_answer(database.path, 2)
    assert (found.id, found.text, found.finish_reason, found.system) == (2, "a1", FinishReason.LENGTH, SYSTEM)
    assert found.turns == talk("q1")
    assert found.provenance == replace(PROVENANCE, adapter="poet", adapter_revision="f00")
    assert found.provenance.sampling == Sampling(seed=2**64 - 1)


@pytest.mark.parametrize(("used_turns", "kept"), [(1, ["q3"]), (3, ["q2", "a2", "q3"])])
async def test_the_prompt_held_so_many_of_the_newest_turns(
    database: Database, used_turns: int, kept: list[str]
) -> None:
    for number in (1, 2, 3):
        await answer(database, number, used_turns=used_turns if number == 3 else 1)
    await answer(database, 4, key=SHARED, address=GROUP)
    assert (await read_answer(database.path, 6)).turns == talk(*kept)


async def test_an_answer_knows_the_one_before_it_in_its_conversation_and_epoch(database: Database) -> None:
    await answer(database, 1)
    await SqlHistory(database).reset([AISHA_ALONE], lambda _row: None)
    await answer(database, 2)
    await answer(database, 3, key=SHARED, address=GROUP)
    await answer(database, 4)
    found = [(await read_answer(database.path, turn_id)).before_id for turn_id in (2, 4, 6, 8)]
    assert found == [None, None, None, 4]


async def test_turns_of_other_conversations_epochs_and_later_ones_are_left_out(database: Database) -> None:
    await answer(database, 1)
    await SqlHistory(database).reset([AISHA_ALONE], lambda _row: None)
    await answer(database, 2)
    await answer(database, 3, key=SHARED, address=GROUP)
    await answer(database, 4, used_turns=3)
    await answer(database, 5)
    assert (await read_answer(database.path, 8)).turns == talk("q2", "a2", "q4")


async def test_a_long_prompt_is_read_page_by_page(database: Database) -> None:
    for number in range(80):
        await answer(database, number, used_turns=2 * number + 1)
    found = await read_answer(database.path, 160)
    assert found.turns == talk(*(text for n in range(79) for text in (f"q{n}", f"a{n}")), "q79")


async def test_without_an_id_it_is_the_newest_answer_of_all(database: Database) -> None:
    with pytest.raises(TurnNotFound, match="there is no answer yet"):
        await read_answer(database.path, None)
    await answer(database, 1)
    await answer(database, 2, key=SHARED, address=GROUP)
    assert (await read_answer(database.path, None)).text == "a2"


async def test_what_is_no_answer_is_named(database: Database) -> None:
    await answer(database, 1)
    with pytest.raises(TurnNotFound, match="turn 1 is a question; its answer is turn 2"):
        await read_answer(database.path, 1)
    with pytest.raises(TurnNotFound, match="there is no turn 99"):
        await read_answer(database.path, 99)


async def test_turns_that_were_erased_are_missed(database: Database) -> None:
    """Of a shared conversation one person was forgotten."""
    await answer(database, 1, key=SHARED, address=GROUP, sender=AISHA)
    await answer(database, 2, key=SHARED, address=GROUP, sender=BILAL, used_turns=3)
    await SqlPeople(database).forget(PRIVATE.platform, AISHA.user_id)
    with pytest.raises(TurnNotFound, match="of the 3 turns that turn 4 was computed from only 1 are kept"):
        await read_answer(database.path, 4)


async def test_a_system_text_is_stored_once_however_many_answers_it_has(database: Database) -> None:
    for number in range(4):
        await answer(database, number, system=SYSTEM if number % 2 else "Be long.")
    assert await database.read(lambda c: c.scalar(select(func.count()).select_from(system_text))) == 2
    assert (await read_answer(database.path, 2)).system == "Be long."
    assert (await read_answer(database.path, 4)).system == SYSTEM


async def test_an_answer_from_before_system_texts_were_kept_has_none(database: Database) -> None:
    await answer(database, 1)
    await database.write(
        lambda connection: connection.execute(update(turn).values(system_hash=None)), at=Boundary.STATE
    )
    assert (await read_answer(database.path, 2)).system is None


async def test_the_ids_that_replay_takes_are_exported_and_the_operators_system_text_is_not(database: Database) -> None:
    await answer(database, 1)
    exported = await SqlPeople(database).export(PRIVATE.platform, AISHA.user_id)
    assert [row["turn_id"] for row in exported["turns"]] == [1, 2]  # type: ignore[attr-defined]
    assert SYSTEM not in str(exported)


async def test_nothing_is_written_and_no_file_is_made(path: Path, tmp_path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(TurnNotFound):
        await read_answer(path, 1)
    assert path.read_bytes() == before
    with pytest.raises(StorageUnavailable, match="no such file"):
        await read_answer(tmp_path / "nowhere.db", 1)
    assert not (tmp_path / "nowhere.db").exists()


async def test_an_older_database_is_refused_with_the_command_that_upgrades_it(tmp_path: Path) -> None:
    first = shutil.copytree(
        migrations_dir(), tmp_path / "first", ignore=shutil.ignore_patterns("000[234]*", "__pycache__")
    )
    await upgrade(tmp_path / "b.db", tmp_path, migrations=first)
    with pytest.raises(SchemaOutOfDate, match="has the schema 0001, this version of botbridge reads 0004.*db upgrade"):
        await read_answer(tmp_path / "b.db", 1)
