"""Receivers that tenants name, and what is on its way to each."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE webhook_endpoints (
            id text COLLATE "C" PRIMARY KEY,
            tenant_id text COLLATE "C" NOT NULL REFERENCES tenants,
            url text NOT NULL,
            types text[] NOT NULL,                  -- none is all
            description text,
            secret bytea NOT NULL,                  -- sealed
            old_secret bytea,                       -- sealed; also signs until old_until
            old_until timestamptz,
            state text NOT NULL DEFAULT 'enabled' CHECK (state IN ('enabled', 'disabled')),
            reason text,                            -- why it is disabled
            events integer NOT NULL DEFAULT 0,      -- that tell of itself
            failures integer NOT NULL DEFAULT 0,    -- in a row
            failing_since timestamptz,
            quiet_until timestamptz,                -- nothing is sent before
            created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
        ) WITH (fillfactor = 50);
        CREATE INDEX webhook_endpoints_by_tenant ON webhook_endpoints (tenant_id, created_at, id);

        -- The event itself stands in outbox_log at (day, pos), and goes on the same day.
        CREATE TABLE webhook_deliveries (
            day date NOT NULL,
            endpoint_id text COLLATE "C" NOT NULL,
            pos bigint NOT NULL,
            order_id text COLLATE "C" NOT NULL,
            state "char" NOT NULL DEFAULT 'w',      -- w waiting, s being sent, d delivered, g given up
            due_at timestamptz NOT NULL DEFAULT clock_timestamp(),  -- being sent: when its sender is taken for dead
            tries smallint NOT NULL DEFAULT 0,
            answered_at timestamptz,                -- the latest try: what came of it, and how long it took
            status smallint,
            took_ms integer,
            error text,
            delivered_at timestamptz,
            replayed boolean NOT NULL DEFAULT false,
            PRIMARY KEY (endpoint_id, pos, day)
        ) PARTITION BY RANGE (day);
        CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, due_at, pos) WHERE state IN ('w', 's');
        CREATE INDEX webhook_deliveries_untried ON webhook_deliveries (endpoint_id, order_id, pos)
            WHERE state IN ('w', 's') AND tries = 0;
        CREATE INDEX webhook_deliveries_failed ON webhook_deliveries (endpoint_id, pos)
            WHERE state <> 'd' AND tries > 0;
    """)


def downgrade() -> None:
    op.execute("DROP TABLE webhook_deliveries, webhook_endpoints")
