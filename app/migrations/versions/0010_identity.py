"""Keys that are named, rotated and revoked, how much tenants and keys may ask, and what the platform signs with."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        ALTER TABLE tenants ADD COLUMN rate_per_s integer CHECK (rate_per_s > 0);
        ALTER TABLE api_keys ADD COLUMN label text NOT NULL DEFAULT '',
            ADD COLUMN rate_per_s integer CHECK (rate_per_s > 0);
        CREATE INDEX api_keys_by_tenant ON api_keys (tenant_id, created_at);
        CREATE TABLE key_acts (
            id bigint NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            at timestamptz NOT NULL DEFAULT now(),
            prefix text COLLATE "C" NOT NULL,
            tenant_id text COLLATE "C" NOT NULL,
            act text NOT NULL,                      -- created, rotated, revoked
            who text NOT NULL,
            about jsonb
        );
        CREATE INDEX key_acts_by_key ON key_acts (prefix, id);
        CREATE TABLE signing_secrets (
            name text COLLATE "C" PRIMARY KEY,
            secret bytea NOT NULL
        );
        INSERT INTO signing_secrets (name, secret)
            VALUES ('cursors', sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())));
    """)


def downgrade() -> None:
    op.execute("""
        DROP TABLE signing_secrets, key_acts;
        DROP INDEX api_keys_by_tenant;
        ALTER TABLE api_keys DROP COLUMN label, DROP COLUMN rate_per_s;
        ALTER TABLE tenants DROP COLUMN rate_per_s;
    """)
