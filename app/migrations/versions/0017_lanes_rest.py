"""A lane rests longer after a big cohort."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE lanes ADD COLUMN rest_s double precision NOT NULL DEFAULT 0")


def downgrade() -> None:
    op.execute("ALTER TABLE lanes DROP COLUMN rest_s")
