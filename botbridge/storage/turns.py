"""One answer with all that it was computed from, read beside the running service."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, RowMapping, func, select

from botbridge.answers import FinishReason, Provenance, Role, Sampling, Turn
from botbridge.errors import TurnNotFound
from botbridge.storage.engines import reader_engine
from botbridge.storage.failures import translated
from botbridge.storage.history import newest_pairs
from botbridge.storage.migrate import require_newest
from botbridge.storage.tables import system_text, turn

BUSY_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer as it was stored, with what the model was given.

    Attributes:
        system: The system text; None for an answer from before these were kept.
        turns: The turns that the prompt held, oldest first, the question last.
        before_id: The answer before it in the same conversation, since it was reset last; None for the first.
    """

    id: int
    created_at: datetime
    system: str | None
    turns: tuple[Turn, ...]
    text: str
    finish_reason: FinishReason
    provenance: Provenance
    before_id: int | None


async def read_answer(path: Path, turn_id: int | None) -> StoredAnswer:
    """Return an answer; nothing is written, and no lock is held when this returns.

    Args:
        path: The database.
        turn_id: The id of the assistant's turn; None is the newest answer of all.

    Raises:
        TurnNotFound: There is no such answer, or what it was computed from is not kept any more.
        SchemaOutOfDate: The database has to be upgraded first.
        StorageUnavailable: It cannot be read.
    """
    await require_newest(path)
    return await asyncio.to_thread(_read, path, turn_id)


def _read(path: Path, turn_id: int | None) -> StoredAnswer:
    engine = reader_engine(path, BUSY_TIMEOUT_S, connections=1)
    try:
        with translated(path), engine.begin() as connection:
            row = _answer_row(connection, turn_id)
            return StoredAnswer(
                id=row[turn.c.id],
                created_at=row[turn.c.created_at],
                system=row[system_text.c.text],
                turns=_used_turns(connection, row),
                text=row[turn.c.text],
                finish_reason=FinishReason(row[turn.c.finish_reason]),
                provenance=_provenance(row),
                before_id=_id_before(connection, row),
            )
    finally:
        engine.dispose()


def _answer_row(connection: Connection, turn_id: int | None) -> RowMapping:
    query = (
        select(turn, system_text.c.text)
        .outerjoin(system_text, system_text.c.hash == turn.c.system_hash)
        .where(turn.c.role == Role.ASSISTANT if turn_id is None else turn.c.id == turn_id)
        .order_by(turn.c.id.desc())
        .limit(1)
    )
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise TurnNotFound("there is no answer yet" if turn_id is None else f"there is no turn {turn_id}")
    if row[turn.c.role] != Role.ASSISTANT:
        answer_id = connection.scalar(select(turn.c.id).where(turn.c.parent_id == row[turn.c.id]))
        raise TurnNotFound(f"turn {turn_id} is a question; its answer is turn {answer_id}")
    return row


def _used_turns(connection: Connection, row: RowMapping) -> tuple[Turn, ...]:
    """Return the turns of the prompt: the question, and the pairs before it as `history` reads them."""
    question = connection.scalar(select(turn.c.text).where(turn.c.id == row[turn.c.parent_id]))
    if question is None:
        raise TurnNotFound(f"the question of turn {row[turn.c.id]} is not kept any more")
    wanted = (row[turn.c.used_turns] - 1) // 2
    pairs: list[tuple[str, str]] = []
    before = row[turn.c.id]
    while len(pairs) < wanted:
        page = newest_pairs(connection, row[turn.c.conversation_id], row[turn.c.epoch], before)
        if not page:
            kept = 2 * len(pairs) + 1
            raise TurnNotFound(
                f"of the {row[turn.c.used_turns]} turns that turn {row[turn.c.id]} was computed from only {kept} "
                "are kept: the others were erased"
            )
        pairs += [(pair.question, pair.answer) for pair in page]
        before = page[-1].id
    turns = [Turn(Role.USER, question)]
    for asked, answered in pairs[:wanted]:
        turns[:0] = [Turn(Role.USER, asked), Turn(Role.ASSISTANT, answered)]
    return tuple(turns)


def _id_before(connection: Connection, row: RowMapping) -> int | None:
    query = select(func.max(turn.c.id)).where(
        turn.c.conversation_id == row[turn.c.conversation_id],
        turn.c.epoch == row[turn.c.epoch],
        turn.c.role == Role.ASSISTANT,
        turn.c.id < row[turn.c.id],
    )
    before_id: int | None = connection.scalar(query)
    return before_id


def _provenance(row: RowMapping) -> Provenance:
    ids = tuple(row[turn.c.completion_ids])
    return Provenance(
        model=row[turn.c.model],
        revision=row[turn.c.revision],
        engine=row[turn.c.engine],
        engine_version=row[turn.c.engine_version],
        sampling=Sampling(**row[turn.c.sampling]),
        prompt_hash=row[turn.c.prompt_hash],
        prompt_tokens=row[turn.c.prompt_tokens],
        cached_tokens=row[turn.c.cached_tokens],
        used_turns=row[turn.c.used_turns],
        completion_ids=ids,
        adapter=row[turn.c.adapter],
        adapter_revision=row[turn.c.adapter_revision],
        uncounted_tokens=0 if ids else row[turn.c.completion_tokens],
    )
