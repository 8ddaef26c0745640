"""Breakers of delivery partners, figures of how they do, why orders were routed as they were, weights per tenant."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE breakers (
            partner text COLLATE "C" PRIMARY KEY,
            failed_at timestamptz[] NOT NULL DEFAULT '{}',  -- the latest failed calls since one was answered
            probe_at timestamptz,                           -- not closed; from then on he is probed
            probing_until timestamptz,                      -- somebody does it now
            openings integer NOT NULL DEFAULT 0,
            changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            forced text CHECK (forced IN ('open', 'closed')),
            forced_until timestamptz,
            who text,
            why text
        ) WITH (fillfactor = 50);

        CREATE TABLE partner_figures (
            partner text COLLATE "C" NOT NULL,
            minute timestamptz NOT NULL,
            calls integer NOT NULL DEFAULT 0,
            failed integer NOT NULL DEFAULT 0,
            answered_s double precision NOT NULL DEFAULT 0,  -- all answered calls together
            taken integer NOT NULL DEFAULT 0,
            refused integer NOT NULL DEFAULT 0,
            delivered integer NOT NULL DEFAULT 0,
            on_time integer NOT NULL DEFAULT 0,
            PRIMARY KEY (partner, minute)
        ) WITH (fillfactor = 50);

        -- One row per cohort that was planned: columns of numbers, a place for each of its runs.
        CREATE TABLE routing_decisions (
            cohort_id bigint NOT NULL PRIMARY KEY,
            told json NOT NULL
        ) PARTITION BY RANGE (cohort_id);

        ALTER TABLE tenants ADD COLUMN routing_weights jsonb;
    """)


def downgrade() -> None:
    op.execute("""
        ALTER TABLE tenants DROP COLUMN routing_weights;
        DROP TABLE routing_decisions, partner_figures, breakers;
    """)
