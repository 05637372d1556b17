"""How a message ends: its state, the turns to remember and the parts to send, in one transaction."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from sqlalchemy import Connection, bindparam, func, insert, select, update

from botbridge.answers import Answer, Role
from botbridge.characters import storable
from botbridge.messages import InboxId, OutboxPart, Outcome, Part, PartId, PartState
from botbridge.storage.codec import decode_message, encode_address, plain
from botbridge.storage.rules import addresses, require_final
from botbridge.storage.tables import conversation, inbox, outbox, system_text, turn, utc_now

_UNFINISHED = (
    select(inbox.c.conversation_id, inbox.c.epoch, inbox.c.payload, conversation.c.epoch.label("current_epoch"))
    .join(conversation)
    .where(inbox.c.id == bindparam("of_id"), inbox.c.finished_at.is_(None))
)
_END = update(inbox).where(inbox.c.id == bindparam("of_id")).values(payload=None)
_NEWEST_ANSWER = select(func.max(turn.c.id)).where(
    turn.c.conversation_id == bindparam("of_conversation"),
    turn.c.epoch == bindparam("of_epoch"),
    turn.c.role == Role.ASSISTANT,
)
_NEW_QUESTION = insert(turn).values(parent_id=_NEWEST_ANSWER.scalar_subquery(), role=Role.USER).returning(turn.c.id)
_NEW_ANSWER = insert(turn).values(role=Role.ASSISTANT)
_KNOWN_SYSTEM_TEXT = select(system_text.c.hash).where(system_text.c.hash == bindparam("of_hash"))
_NEW_SYSTEM_TEXT = insert(system_text)
_NEW_PART = insert(outbox).returning(outbox.c.id)


def end(connection: Connection, inbox_id: InboxId, outcome: Outcome) -> tuple[OutboxPart, ...] | None:
    """End a message inside the caller's transaction; what is owed now, None when it was final and nothing is stored.

    The answer is remembered only if no reset came since the message was
    accepted. The message's own content is dropped: turns and parts hold what is kept.

    Raises:
        ValueError: the outcome's state is not final.
    """
    require_final(outcome)
    row = connection.execute(_UNFINISHED, {"of_id": inbox_id}).one_or_none()
    if row is None:
        return None
    connection.execute(_END, {"of_id": inbox_id, "state": outcome.state, "finished_at": utc_now()})
    if outcome.answer is not None and row.epoch == row.current_epoch:
        _remember(connection, inbox_id, row.conversation_id, row.epoch, outcome.answer)
    incoming = decode_message(row.payload)
    places = addresses(incoming.address, len(outcome.parts))
    return tuple(
        _owe(
            connection,
            OutboxPart(
                PartId(0),
                inbox_id,
                place,
                Part(storable(part.text), storable(part.markup)),
                PartState.PENDING,
                edits=outcome.edits if position == 0 else None,
                ending=outcome.state,
                language=incoming.sender.language,
            ),
        )
        for position, (part, place) in enumerate(zip(outcome.parts, places, strict=True))
    )


def _remember(connection: Connection, inbox_id: InboxId, conversation_id: int, epoch: int, answer: Answer) -> None:
    place = {"conversation_id": conversation_id, "epoch": epoch, "inbox_id": inbox_id}
    question = place | {"text": answer.question, "of_conversation": conversation_id, "of_epoch": epoch}
    origin = answer.provenance
    connection.execute(
        _NEW_ANSWER,
        place
        | {
            "parent_id": connection.execute(_NEW_QUESTION, question).scalar_one(),
            "text": answer.text,
            "finish_reason": answer.finish_reason,
            "model": origin.model,
            "revision": origin.revision,
            "engine": origin.engine,
            "engine_version": origin.engine_version,
            "adapter": origin.adapter,
            "adapter_revision": origin.adapter_revision,
            "system_hash": _keep_system_text(connection, answer.system),
            "seed": None if origin.sampling.seed is None else str(origin.sampling.seed),
            "sampling": plain(origin.sampling),
            "prompt_hash": origin.prompt_hash,
            "prompt_tokens": origin.prompt_tokens,
            "cached_tokens": origin.cached_tokens,
            "used_turns": origin.used_turns,
            "completion_tokens": origin.completion_tokens,
            "completion_ids": list(origin.completion_ids),
        },
    )


def _keep_system_text(connection: Connection, text: str) -> str:
    """Store a system text unless it is known; the hash that names it. An answer can be computed again only with it."""
    name = sha256(text.encode("utf-8", "replace")).hexdigest()
    if connection.scalar(_KNOWN_SYSTEM_TEXT, {"of_hash": name}) is None:
        connection.execute(_NEW_SYSTEM_TEXT, {"hash": name, "text": text})
    return name


def _owe(connection: Connection, part: OutboxPart) -> OutboxPart:
    """Store a part; the part with its id."""
    new = {
        "inbox_id": part.inbox_id,
        "is_status": part.is_status,
        "address": encode_address(part.address),
        "text": part.part.text,
        "markup": part.part.markup,
        "state": part.state,
        "edits": part.edits,
    }
    return replace(part, id=PartId(connection.execute(_NEW_PART, new).scalar_one()))
