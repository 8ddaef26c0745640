"""What couriers have (a vehicle, skills), and which of them have refused an order of the pool."""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        ALTER TABLE couriers ADD COLUMN has text[];
        ALTER TABLE fleet_pool ADD COLUMN refused_by text[];
    """)


def downgrade() -> None:
    op.execute("""
        ALTER TABLE fleet_pool DROP COLUMN refused_by;
        ALTER TABLE couriers DROP COLUMN has;
    """)
