"""Runs that an order has after the one that fulfilled it: cancelled, refunded, given to another partner."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE follow_ups (
            run_id bigint NOT NULL,
            order_id text COLLATE "C" NOT NULL,
            nth smallint NOT NULL,                  -- also the generation of its keys
            asked jsonb NOT NULL,                   -- what its saga is to do, and who wants it why
            PRIMARY KEY (run_id)
        ) PARTITION BY RANGE (run_id);
        CREATE INDEX follow_ups_by_order ON follow_ups (order_id, nth);
    """)


def downgrade() -> None:
    op.execute("DROP TABLE follow_ups")
