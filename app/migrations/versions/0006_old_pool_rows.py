"""Old rows of the own fleet's pool are found without reading all of it."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX fleet_pool_by_age ON fleet_pool USING brin (at) WITH (pages_per_range = 16)")


def downgrade() -> None:
    op.execute("DROP INDEX fleet_pool_by_age")
