"""The trace of the request that brought an order, with the order and with its events."""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_TABLES = ("uoop_orders", "outbox_in", "outbox_log", "dead_letters")


def upgrade() -> None:
    for table in _TABLES:
        op.execute(f'ALTER TABLE {table} ADD COLUMN trace text COLLATE "C"')


def downgrade() -> None:
    for table in reversed(_TABLES):
        op.execute(f"ALTER TABLE {table} DROP COLUMN trace")
