"""The pool knows whose courier may change no more."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE fleet_pool ADD COLUMN committed_at timestamptz")


def downgrade() -> None:
    op.execute("ALTER TABLE fleet_pool DROP COLUMN committed_at")
