"""What operators hold back; acts that are not on one run."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE pauses (
            kind text COLLATE "C" NOT NULL CHECK (kind IN ('saga', 'step', 'partner')),
            name text COLLATE "C" NOT NULL,
            since timestamptz NOT NULL DEFAULT clock_timestamp(),
            until timestamptz,
            tenant_id text COLLATE "C" NOT NULL,    -- whose operator did it; it holds for all
            who text NOT NULL,
            why text NOT NULL,
            PRIMARY KEY (kind, name)
        );
        ALTER TABLE ops_acts ALTER COLUMN run_id DROP NOT NULL, ALTER COLUMN order_id DROP NOT NULL;
    """)


def downgrade() -> None:
    op.execute("""
        DROP TABLE pauses;
        DELETE FROM ops_acts WHERE run_id IS NULL;
        ALTER TABLE ops_acts ALTER COLUMN run_id SET NOT NULL, ALTER COLUMN order_id SET NOT NULL;
    """)
