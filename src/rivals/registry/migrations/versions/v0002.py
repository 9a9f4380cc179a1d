"""Stores have revisions: a rivals that knows of none refuses them, for what comes after would be strange to it."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Forwards."""
    op.execute("UPDATE schema_version SET version = 2")


def downgrade() -> None:
    """Backwards."""
    op.execute("UPDATE schema_version SET version = 1")
