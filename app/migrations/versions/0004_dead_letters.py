"""Events that a sink would not take, and how often it was asked."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        ALTER TABLE sinks ADD COLUMN tries smallint NOT NULL DEFAULT 0;  -- of the event that stands next
        CREATE TABLE dead_letters (
            sink text COLLATE "C" NOT NULL,
            pos bigint NOT NULL,
            id bigint NOT NULL,
            tenant_id text COLLATE "C" NOT NULL,
            order_id text COLLATE "C" NOT NULL,
            sequence integer NOT NULL,
            type text COLLATE "C" NOT NULL,
            data json NOT NULL,
            at timestamptz NOT NULL,
            reason text NOT NULL,
            dead_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            delivered_at timestamptz,               -- by an operator's re-drive
            PRIMARY KEY (sink, pos, dead_at)
        ) PARTITION BY RANGE (dead_at);
        CREATE INDEX dead_letters_open ON dead_letters (sink, pos) WHERE delivered_at IS NULL;
    """)


def downgrade() -> None:
    op.execute("DROP TABLE dead_letters; ALTER TABLE sinks DROP COLUMN tries")
