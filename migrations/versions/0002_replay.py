"""What an answer was computed from besides its turns: the system text, and the revision of its adapter.

Revision 0002.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add a table and two columns; answers from before have neither."""
    op.create_table(
        "system_text",
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_system_text")),
    )
    # Without batch mode, which writes the table anew and forgets which ids were ever given.
    op.add_column("turn", sa.Column("adapter_revision", sa.String(), nullable=True))
    op.add_column("turn", sa.Column("system_hash", sa.String(), nullable=True))
