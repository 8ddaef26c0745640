"""Money given back to customers, and how many further runs an order has had."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # NULL is none: an order without further runs, as nearly all are, grows by nothing
    op.execute("""
        ALTER TABLE uoop_orders ADD COLUMN follow_ups smallint;
        CREATE TABLE refunds (
            run_id bigint NOT NULL PRIMARY KEY,     -- the run that gave it back
            order_id text COLLATE "C" NOT NULL,
            amount numeric NOT NULL CHECK (amount > 0),
            at timestamptz NOT NULL DEFAULT clock_timestamp()
        );
        CREATE INDEX refunds_by_order ON refunds (order_id);
    """)


def downgrade() -> None:
    op.execute("DROP TABLE refunds; ALTER TABLE uoop_orders DROP COLUMN follow_ups")
