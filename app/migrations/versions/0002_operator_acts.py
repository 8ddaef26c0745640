"""What operators did to runs: who, when, why, and how the run stood before and after."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE ops_acts (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            at timestamptz NOT NULL DEFAULT clock_timestamp(),
            tenant_id text COLLATE "C" NOT NULL,
            run_id bigint NOT NULL,
            order_id text COLLATE "C" NOT NULL,
            act text COLLATE "C" NOT NULL,
            step text COLLATE "C",
            who text NOT NULL,
            why text NOT NULL,
            before jsonb NOT NULL,
            after jsonb NOT NULL
        );
        CREATE INDEX ops_acts_by_run ON ops_acts (run_id, id);
        CREATE INDEX ops_acts_by_tenant ON ops_acts (tenant_id, id);
    """)


def downgrade() -> None:
    op.execute("DROP TABLE ops_acts")
