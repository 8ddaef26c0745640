"""What is reported of deliveries, whose reports are due, and which orders are on their way to another partner."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE delivery_reports (
            id bigint NOT NULL DEFAULT time_id(),
            reporter text COLLATE "C" NOT NULL,
            by text COLLATE "C" NOT NULL,
            event_id text COLLATE "C" NOT NULL,     -- the reporter's own
            order_id text COLLATE "C" NOT NULL,     -- of an order, if there is one of that name
            what text NOT NULL,
            at timestamptz NOT NULL,
            details json,
            state "char" NOT NULL DEFAULT 'n',      -- as app.deliveries.model.Fate says
            reason text,
            due_at timestamptz NOT NULL DEFAULT now(),
            acts jsonb,                             -- what operators did about it: who, when, why
            PRIMARY KEY (id)
        ) PARTITION BY RANGE (id);
        CREATE INDEX delivery_reports_by_event ON delivery_reports (by, event_id);
        CREATE INDEX delivery_reports_new ON delivery_reports (id) WHERE state = 'n';
        CREATE INDEX delivery_reports_waiting ON delivery_reports (due_at) WHERE state = 'w';
        CREATE INDEX delivery_reports_parked ON delivery_reports (id) WHERE state = 'p';

        -- Orders of partners who report: when somebody looks whether they have.
        CREATE TABLE delivery_watch (
            order_id text COLLATE "C" PRIMARY KEY,
            look_at timestamptz NOT NULL
        );
        CREATE INDEX delivery_watch_due ON delivery_watch (look_at);

        ALTER TABLE uoop_orders ADD COLUMN rerouting bigint;    -- the run that finds it another partner
    """)


def downgrade() -> None:
    op.execute("""
        ALTER TABLE uoop_orders DROP COLUMN rerouting;
        DROP TABLE delivery_watch, delivery_reports;
    """)
