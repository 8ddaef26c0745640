"""Limits of slots that change at run time, zones, what slots have taken, and forecasts."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

# As app.capacity.model.zone_of.
ZONES = """
ALTER TABLE restaurants ADD COLUMN zone text COLLATE "C";
UPDATE restaurants SET zone = to_char(floor(lat / 0.02) * 0.02, 'FM990.00') || ',' ||
    to_char(floor(lng / 0.02) * 0.02, 'FM990.00');
"""
# A limit holds for one window, or with -infinity for all of them; without capacity it says nothing any more, but the
# row stays, so that whoever gives places back knows where an order may have held one. `highest` is the most that
# was ever allowed: what was held before a limit was lowered is not oversold.
LIMITS = """
CREATE TABLE capacity_limits (
    tenant_id text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('kitchen', 'zone', 'channel')),
    name text COLLATE "C" NOT NULL,
    window_from timestamptz NOT NULL,
    capacity integer CHECK (capacity >= 0),
    highest integer NOT NULL,
    PRIMARY KEY (tenant_id, kind, name, window_from)
);
ALTER TABLE capacity_holds ADD COLUMN more text[];
"""
USAGE = """
CREATE TABLE capacity_usage (
    slot text COLLATE "C" PRIMARY KEY,
    tenant_id text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    window_from timestamptz NOT NULL,
    capacity integer,
    taken integer NOT NULL DEFAULT 0,
    held integer NOT NULL DEFAULT 0,
    peak integer NOT NULL DEFAULT 0,
    refused integer NOT NULL DEFAULT 0,
    per_s double precision NOT NULL DEFAULT 0,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 60);
CREATE INDEX capacity_usage_by_window ON capacity_usage (window_from, tenant_id);
"""
FORECASTS = """
CREATE TABLE demand (
    tenant_id text COLLATE "C" NOT NULL,
    zone text COLLATE "C" NOT NULL,
    hour timestamptz NOT NULL,
    orders integer NOT NULL,
    PRIMARY KEY (tenant_id, zone, hour)
);
CREATE TABLE demand_counted (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    counted_until timestamptz NOT NULL
);
CREATE TABLE forecasts (
    tenant_id text COLLATE "C" NOT NULL,
    made_at timestamptz NOT NULL,
    document json NOT NULL,
    PRIMARY KEY (tenant_id, made_at)
);
"""


def upgrade() -> None:
    for part in (ZONES, LIMITS, USAGE, FORECASTS):
        op.execute(part)


def downgrade() -> None:
    op.execute("""
        DROP TABLE forecasts, demand_counted, demand, capacity_usage, capacity_limits;
        ALTER TABLE capacity_holds DROP COLUMN more;
        ALTER TABLE restaurants DROP COLUMN zone;
        DELETE FROM ops_acts WHERE act IN ('limit', 'unlimit');
    """)
