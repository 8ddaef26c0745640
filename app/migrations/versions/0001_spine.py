"""The spine: orders, keys, runs and cohorts, capacity, fleet, outbox, leases."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Ids of runs and cohorts begin with the millisecond of their making, so that tables keyed by them
# are partitioned by time without carrying a second column.
TIME_IDS = """
CREATE SEQUENCE time_id_seq MINVALUE 0 MAXVALUE 2097151 START 0 CACHE 32 CYCLE;
CREATE FUNCTION time_id() RETURNS bigint LANGUAGE sql VOLATILE AS
$$ SELECT ((extract(epoch FROM clock_timestamp()) * 1000)::bigint << 21) | nextval('time_id_seq') $$;
"""

TENANTS = """
CREATE TABLE tenants (
    id text COLLATE "C" PRIMARY KEY,
    name text NOT NULL,
    order_deadline_s integer NOT NULL DEFAULT 900,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE api_keys (
    prefix text COLLATE "C" PRIMARY KEY,
    tenant_id text COLLATE "C" NOT NULL REFERENCES tenants,
    digest bytea NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz
);
CREATE TABLE restaurants (
    tenant_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    lat double precision NOT NULL,
    lng double precision NOT NULL,
    slot_capacity integer,
    prep_minutes double precision,
    PRIMARY KEY (tenant_id, id)
);
CREATE TABLE couriers (
    tenant_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    lat double precision NOT NULL,
    lng double precision NOT NULL,
    on_from timestamptz,
    on_until timestamptz,
    max_orders smallint NOT NULL DEFAULT 3,
    PRIMARY KEY (tenant_id, id)
);
"""

# A migrated legacy order keeps its own id (any text) and may come without tenant or currency.
ORDERS = """
CREATE TABLE uoop_orders (
    id text COLLATE "C" PRIMARY KEY,
    tenant_id text COLLATE "C" NOT NULL DEFAULT 'default',
    customer_id text NOT NULL,
    restaurant_id text NOT NULL,
    status text NOT NULL CHECK (status IN ('PENDING', 'CONFIRMED', 'PREPARING', 'READY_FOR_PICKUP',
        'PICKED_UP', 'IN_TRANSIT', 'DELIVERED', 'CANCELLED', 'FAILED')),
    items jsonb NOT NULL,
    delivery_location jsonb NOT NULL,
    total_amount numeric NOT NULL,
    currency text,
    fees jsonb,
    external_order_id text,
    window_from timestamptz,
    window_until timestamptz,
    channel_preference text,
    notes text,
    run_id bigint,
    channel text,
    partner text,
    eta timestamptz,
    failure jsonb,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 75);
CREATE INDEX uoop_orders_by_tenant ON uoop_orders (tenant_id, created_at, id);

CREATE TABLE external_order_ids (
    tenant_id text COLLATE "C" NOT NULL,
    external_order_id text COLLATE "C" NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, external_order_id)
);
CREATE TABLE idempotency_keys (
    tenant_id text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    fingerprint text COLLATE "C" NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, key, created_at)
) PARTITION BY RANGE (created_at);
"""

RUNS = """
CREATE TABLE runs (
    id bigint NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    saga text COLLATE "C" NOT NULL,
    version smallint NOT NULL,
    state "char" NOT NULL DEFAULT 'w',      -- w waiting, t travelling, e ended, p parked
    direction "char" NOT NULL DEFAULT 'f',  -- f forward, b backward (compensating)
    stage smallint NOT NULL DEFAULT 0,
    attempts smallint NOT NULL DEFAULT 0,
    generation smallint NOT NULL DEFAULT 0,
    gated boolean NOT NULL DEFAULT false,
    cancel_requested boolean NOT NULL DEFAULT false,
    done integer NOT NULL DEFAULT 0,        -- bit n: step n has happened
    touched integer NOT NULL DEFAULT 0,     -- bit n: step n may have happened
    undone integer NOT NULL DEFAULT 0,      -- bit n: step n is proven undone
    lane text COLLATE "C" NOT NULL,
    due_at timestamptz NOT NULL,
    not_after timestamptz NOT NULL,
    cohort_id bigint,
    trail bigint[] NOT NULL DEFAULT '{}',   -- the cohorts it has travelled with
    failure jsonb,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE INDEX runs_waiting ON runs (lane, tenant_id, due_at, id) WHERE state = 'w';
CREATE INDEX runs_parked ON runs (id) WHERE state = 'p';

CREATE TABLE cohorts (
    id bigint NOT NULL PRIMARY KEY,
    saga text COLLATE "C" NOT NULL,
    version smallint NOT NULL,
    direction "char" NOT NULL,
    lane text COLLATE "C" NOT NULL,
    itinerary smallint[] NOT NULL,          -- the stages it passes, in order
    leg smallint NOT NULL DEFAULT 0,        -- how many of them are behind it
    epoch integer NOT NULL DEFAULT 1,
    members bigint[] NOT NULL,
    size integer NOT NULL,
    incarnation text,                       -- of the broker that carries it
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    progressed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz
) PARTITION BY RANGE (id);

-- A step execution: the intent is this row, committed before the call.
CREATE TABLE executions (
    cohort_id bigint NOT NULL,
    step smallint NOT NULL,
    epoch integer NOT NULL,
    executor text NOT NULL,
    starts smallint NOT NULL DEFAULT 1,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease_until timestamptz NOT NULL,
    finished_at timestamptz,
    PRIMARY KEY (cohort_id, step)
) PARTITION BY RANGE (cohort_id);

CREATE TABLE outcomes (
    run_id bigint NOT NULL,
    cohort_id bigint NOT NULL,
    step smallint NOT NULL,
    verdict "char" NOT NULL,                -- as app.runs.model.Verdict says
    code text,
    provider text,
    detail json,
    PRIMARY KEY (run_id, cohort_id, step)
) PARTITION BY RANGE (run_id);

-- Who was asked to deliver after the planned partner, or recalled: committed before it is done.
CREATE TABLE dispatch_attempts (
    run_id bigint NOT NULL,
    nth smallint NOT NULL,
    partner text NOT NULL,
    recall boolean NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run_id, nth)
) PARTITION BY RANGE (run_id);

CREATE TABLE lanes (
    name text COLLATE "C" PRIMARY KEY,
    started_at timestamptz NOT NULL DEFAULT '-infinity'
);
CREATE TABLE slots (
    lane text COLLATE "C" NOT NULL REFERENCES lanes,
    n smallint NOT NULL,
    cohort_id bigint,
    PRIMARY KEY (lane, n)
) WITH (fillfactor = 50);
"""

CAPACITY = """
CREATE TABLE capacity_holds (
    run_id bigint NOT NULL PRIMARY KEY,
    order_id text COLLATE "C" NOT NULL,
    slot text COLLATE "C" NOT NULL,
    expires_at timestamptz NOT NULL,
    released_at timestamptz
) PARTITION BY RANGE (run_id);
CREATE INDEX capacity_holds_by_expiry ON capacity_holds USING brin (expires_at) WITH (pages_per_range = 16);
CREATE TABLE capacity_ledger (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    epoch bigint NOT NULL
);
INSERT INTO capacity_ledger (epoch) VALUES (1);

CREATE TABLE fleet_pool (
    key text COLLATE "C" PRIMARY KEY,
    order_id text COLLATE "C" NOT NULL,
    tenant_id text COLLATE "C",
    courier_id text COLLATE "C",
    state text NOT NULL CHECK (state IN ('pooled', 'recalled')),
    busy_until timestamptz,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX fleet_pool_busy ON fleet_pool (busy_until) WHERE state = 'pooled';
"""

OUTBOX = """
CREATE TABLE outbox_in (
    id bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
    tenant_id text COLLATE "C" NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    sequence integer NOT NULL,
    type text COLLATE "C" NOT NULL,
    data json NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE outbox_log (
    day date NOT NULL,
    pos bigint NOT NULL,
    id bigint NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    sequence integer NOT NULL,
    type text COLLATE "C" NOT NULL,
    data json NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (day, pos)
) PARTITION BY RANGE (day);
CREATE TABLE outbox_sequencer (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    pos bigint NOT NULL,
    day date NOT NULL
) WITH (fillfactor = 50);
INSERT INTO outbox_sequencer (pos, day) VALUES (0, current_date);
CREATE TABLE sinks (
    name text COLLATE "C" PRIMARY KEY,
    pos bigint NOT NULL DEFAULT 0,
    day date NOT NULL DEFAULT current_date
) WITH (fillfactor = 50);
CREATE TABLE deliveries (
    sink text COLLATE "C" NOT NULL,
    last_pos bigint NOT NULL,
    first_pos bigint NOT NULL,
    delivered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (sink, last_pos, delivered_at)
) PARTITION BY RANGE (delivered_at);

CREATE TABLE leases (
    name text COLLATE "C" PRIMARY KEY,
    holder text NOT NULL,
    fence bigint NOT NULL,
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);
"""


def upgrade() -> None:
    for part in (TIME_IDS, TENANTS, ORDERS, RUNS, CAPACITY, OUTBOX):
        op.execute(part)


def downgrade() -> None:
    op.execute("""
        DROP TABLE leases, deliveries, sinks, outbox_sequencer, outbox_log, outbox_in, fleet_pool, capacity_ledger,
            capacity_holds, slots, lanes, dispatch_attempts, outcomes, executions, cohorts, runs, idempotency_keys,
            external_order_ids, uoop_orders, couriers, restaurants, api_keys, tenants;
        DROP FUNCTION time_id();
        DROP SEQUENCE time_id_seq;
    """)
