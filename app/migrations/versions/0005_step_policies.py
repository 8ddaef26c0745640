"""Since when a run has been failing in its stage; who calls a provider that takes only so many calls at once."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        ALTER TABLE runs ADD COLUMN failing_since timestamptz;
        CREATE INDEX runs_failing ON runs (lane) WHERE state = 'w' AND attempts > 0;
        CREATE TABLE provider_permits (
            provider text COLLATE "C" NOT NULL,
            n smallint NOT NULL,
            holder uuid,
            held_until timestamptz NOT NULL DEFAULT '-infinity',
            PRIMARY KEY (provider, n)
        ) WITH (fillfactor = 50);
    """)


def downgrade() -> None:
    op.execute("""
        DROP TABLE provider_permits;
        DROP INDEX runs_failing;
        ALTER TABLE runs DROP COLUMN failing_since;
    """)
