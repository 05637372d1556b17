"""Which LoRA adapter a conversation is answered with.

Revision 0003.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add a column; conversations from before are answered by the bare model, as they were."""
    op.add_column("conversation", sa.Column("adapter", sa.String(), nullable=True))
