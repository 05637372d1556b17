"""The tables, as SQLAlchemy Core metadata; `migrations/` holds how they came to be.

Ids are integers. Those of inbox, outbox and turn are never given twice, even
after rows were deleted, because they leave the database: an outbox id becomes
the nonce of a send. Times are UTC and for display only; order is
read off ids.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)

from botbridge.characters import storable

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def utc_now() -> datetime:
    """Return the wall clock's time, in UTC."""
    return datetime.now(UTC)


class UtcTime(TypeDecorator[datetime]):
    """An aware time, stored in UTC; naive times are refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Convert to UTC."""
        if value is not None and value.tzinfo is None:
            message = f"a time without zone: {value}"
            raise ValueError(message)
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Say that it is UTC: SQLite keeps no zone."""
        return None if value is None else value.replace(tzinfo=UTC)


class StorableText(TypeDecorator[str]):
    """Text of which SQLite takes and keeps each character."""

    impl = Text()
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Replace lone surrogates and NUL."""
        return None if value is None else storable(value)


person = Table(
    "person",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("created_at", UtcTime, nullable=False, default=utc_now),
)

identity = Table(
    "identity",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("person_id", ForeignKey("person.id"), nullable=False),
    Column("platform", String, nullable=False),
    Column("bot_id", String, nullable=False),
    Column("user_id", String, nullable=False),
    Column("display_name", StorableText, nullable=False),
    Column("username", StorableText),
    Column("language", StorableText),
    Column("last_seen_at", UtcTime, nullable=False),
    UniqueConstraint("platform", "user_id", "bot_id"),
)

conversation = Table(
    "conversation",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", String, nullable=False, unique=True),
    Column("platform", String, nullable=False),
    Column("bot_id", String, nullable=False),
    Column("chat_id", String, nullable=False),
    Column("thread_id", String),
    Column("user_id", String),
    Column("epoch", Integer, nullable=False),
    Column("created_at", UtcTime, nullable=False, default=utc_now),
    Column("adapter", String),
    Index(None, "platform", "chat_id"),
    Index(None, "platform", "user_id"),
)

inbox = Table(
    "inbox",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("platform", String, nullable=False),
    Column("bot_id", String, nullable=False),
    Column("chat_id", String, nullable=False),
    Column("message_id", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("chat_kind", String, nullable=False),
    Column("conversation_id", ForeignKey("conversation.id")),
    Column("identity_id", ForeignKey("identity.id")),
    Column("username", StorableText),
    Column("epoch", Integer),
    Column("state", String, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("payload", Text),
    Column("raw", LargeBinary),
    Column("detail", StorableText, nullable=False, default=""),
    Column("accepted_at", UtcTime, nullable=False, default=utc_now),
    Column("finished_at", UtcTime),
    Column("claimed_by", String),
    Column("crashes", Integer, nullable=False, server_default=text("0")),
    UniqueConstraint("platform", "bot_id", "chat_id", "message_id", "kind"),
    Index(None, "identity_id"),
    Index("ix_inbox_seen", "platform", "bot_id", "chat_id", "username", sqlite_where=text("username IS NOT NULL")),
    Index("ix_inbox_unfinished", "conversation_id", sqlite_where=text("finished_at IS NULL")),
    sqlite_autoincrement=True,
)

turn = Table(
    "turn",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("conversation_id", ForeignKey("conversation.id"), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("parent_id", ForeignKey("turn.id", ondelete="SET NULL")),
    Column("inbox_id", ForeignKey("inbox.id")),
    Column("role", String, nullable=False),
    Column("text", StorableText, nullable=False),
    Column("created_at", UtcTime, nullable=False, default=utc_now),
    Column("finish_reason", String),
    Column("model", String),
    Column("revision", String),
    Column("engine", String),
    Column("engine_version", String),
    Column("adapter", String),
    # As text: seeds are unsigned 64-bit numbers, the integers of SQLite are signed.
    Column("seed", String),
    Column("sampling", JSON),
    Column("prompt_hash", String),
    Column("prompt_tokens", Integer),
    Column("cached_tokens", Integer),
    Column("used_turns", Integer),
    Column("completion_tokens", Integer),
    Column("completion_ids", JSON),
    Column("adapter_revision", String),
    # No reference, which SQLite could only add by writing the whole table anew.
    Column("system_hash", String),
    Index(None, "conversation_id", "epoch", "role"),
    Index(None, "parent_id"),
    Index(None, "inbox_id"),
    sqlite_autoincrement=True,
)

system_text = Table(
    "system_text",
    metadata,
    Column("hash", String, primary_key=True),
    Column("text", StorableText, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("inbox_id", ForeignKey("inbox.id"), nullable=False),
    Column("is_status", Boolean, nullable=False),
    Column("address", Text, nullable=False),
    Column("text", StorableText, nullable=False),
    Column("markup", StorableText, nullable=False),
    Column("state", String, nullable=False),
    Column("edits", String),
    Column("attempts", Integer, nullable=False, default=0),
    Column("message_id", String),
    Column("detail", StorableText, nullable=False, default=""),
    Column("created_at", UtcTime, nullable=False, default=utc_now),
    Column("settled_at", UtcTime),
    Column("is_notice", Boolean, nullable=False, server_default=text("0")),
    Index(None, "inbox_id"),
    Index("ix_outbox_unsettled", "state", sqlite_where=text("settled_at IS NULL")),
    sqlite_autoincrement=True,
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", UtcTime, nullable=False, default=utc_now),
    Column("actor", StorableText, nullable=False),
    Column("action", StorableText, nullable=False),
    Column("subject", StorableText, nullable=False),
    Column("allowed", Boolean, nullable=False),
    Column("reason", StorableText, nullable=False),
)

state = Table(
    "state",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", StorableText, nullable=False),
    Column("updated_at", UtcTime, nullable=False, default=utc_now),
)
