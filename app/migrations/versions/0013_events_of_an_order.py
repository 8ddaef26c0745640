"""The events of one order are found without reading the log."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX outbox_log_by_order ON outbox_log (order_id)")


def downgrade() -> None:
    op.execute("DROP INDEX outbox_log_by_order")
