"""The comparison with the providers' own lists: checks, what was listed meanwhile, differences and acts on them."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE settlement_checks (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            provider text COLLATE "C" NOT NULL,
            resource text COLLATE "C" NOT NULL,
            since timestamptz NOT NULL,
            until timestamptz NOT NULL,
            daily boolean NOT NULL,
            margin_s double precision NOT NULL,
            phase text NOT NULL DEFAULT 'list' CHECK (phase IN ('list', 'compare', 'review', 'clear', 'done')),
            cursor text,                      -- in the provider's list
            position bigint NOT NULL DEFAULT 0,  -- in ours: of runs, then of differences
            listed boolean NOT NULL DEFAULT true,
            theirs bigint NOT NULL DEFAULT 0,
            ours bigint NOT NULL DEFAULT 0,
            trouble text,
            due_at timestamptz NOT NULL DEFAULT now(),
            created_at timestamptz NOT NULL DEFAULT now(),
            finished_at timestamptz,
            UNIQUE (since, until, provider, resource)
        );
        CREATE INDEX settlement_checks_open ON settlement_checks (id) WHERE finished_at IS NULL;

        -- What the provider says stands, for as long as its check goes on.
        CREATE TABLE settlement_lines (
            check_id bigint NOT NULL,
            key text COLLATE "C" NOT NULL,
            PRIMARY KEY (check_id, key)
        );

        CREATE TABLE differences (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            tenant_id text COLLATE "C" NOT NULL,
            kind text COLLATE "C" NOT NULL,
            provider text COLLATE "C" NOT NULL,
            resource text COLLATE "C" NOT NULL,
            key text COLLATE "C" NOT NULL,
            order_id text COLLATE "C",
            ours text NOT NULL,
            theirs text NOT NULL,
            amount numeric,
            currency text,
            first_seen timestamptz NOT NULL DEFAULT clock_timestamp(),
            last_seen timestamptz NOT NULL DEFAULT clock_timestamp(),
            undo_asked_at timestamptz,
            undo_asked_by text,
            undo_asked_why text,
            undo_due_at timestamptz,
            undo_trouble text,
            resolved_at timestamptz,
            resolved_by text,
            resolved_why text,
            UNIQUE (provider, resource, key, kind)
        );
        CREATE INDEX differences_open ON differences (tenant_id, id) WHERE resolved_at IS NULL;
        CREATE INDEX differences_by_tenant ON differences (tenant_id, id);

        CREATE TABLE difference_acts (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            at timestamptz NOT NULL DEFAULT clock_timestamp(),
            difference_id bigint NOT NULL,
            act text COLLATE "C" NOT NULL,
            who text NOT NULL,
            why text NOT NULL
        );
        CREATE INDEX difference_acts_by_difference ON difference_acts (difference_id, id);

        CREATE INDEX fleet_pool_by_change ON fleet_pool (at, key);
    """)


def downgrade() -> None:
    op.execute("""
        DROP INDEX fleet_pool_by_change;
        DROP TABLE difference_acts, differences, settlement_lines, settlement_checks;
    """)
