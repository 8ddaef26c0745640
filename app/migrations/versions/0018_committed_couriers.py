"""The pool knows whose courier may change no more."""

from alembic import op

revision = "0018"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE fleet_pool ADD COLUMN committed_at timestamptz")


def downgrade() -> None:
    op.execute("ALTER TABLE fleet_pool DROP COLUMN committed_at")
