"""Limits of what delivery partners take per window."""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_KINDS = """
    ALTER TABLE capacity_limits DROP CONSTRAINT capacity_limits_kind_check,
        ADD CONSTRAINT capacity_limits_kind_check CHECK (kind IN ({kinds}))
"""


def upgrade() -> None:
    op.execute(_KINDS.format(kinds="'kitchen', 'zone', 'channel', 'partner'"))


def downgrade() -> None:
    op.execute("DELETE FROM capacity_limits WHERE kind = 'partner'")
    op.execute(_KINDS.format(kinds="'kitchen', 'zone', 'channel'"))
