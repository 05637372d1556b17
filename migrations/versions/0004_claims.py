"""Which start of the service works on a message, how often it crashed a worker, and what part of a reply is a notice.

Revision 0004.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add columns; what an older version left running has no claim, so the next start puts it back."""
    op.add_column("inbox", sa.Column("claimed_by", sa.String(), nullable=True))
    op.add_column("inbox", sa.Column("crashes", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("outbox", sa.Column("is_notice", sa.Boolean(), server_default=sa.text("0"), nullable=False))
