"""What must be there before any process starts: schema, partitions, lanes, ledger, the first tenant and its key."""

from datetime import UTC, datetime

from app import database, migrations, partitions
from app.capacity.ledger import Ledger
from app.runs import cohorts
from app.runs.model import COMPENSATION, FRONT, RETRY
from app.tenants import service as tenants
from infra import kept, wiring
from infra.settings import Settings


def prepare(settings: Settings) -> None:
    """Bring the database to what this version needs; harmless when it is there already."""
    engine = database.engine(settings.database_url.get_secret_value(), pool_size=1)
    try:
        migrations.upgrade(engine)
        with engine.begin() as connection:
            partitions.maintain(connection, now=datetime.now(UTC))
            cohorts.open_lane(connection, FRONT, slots=settings.front_slots)
            cohorts.open_lane(connection, RETRY, slots=1)
            cohorts.open_lane(connection, COMPENSATION, slots=1)
            tenants.ensure_tenant(
                connection, tenants.DEFAULT_TENANT, name="Default", order_deadline_s=settings.order_deadline_s
            )
            tenants.keep_key(connection, _token(settings), tenants.DEFAULT_TENANT, scopes=tenants.ALL_SCOPES)
        wiring.reconcile(engine, Ledger(wiring.redis_client(settings.ledger_url.get_secret_value())))
    finally:
        engine.dispose()


def _token(settings: Settings) -> str:
    """The first key: made once, kept where only its owner reads it."""
    path = settings.home / "api-key"
    if not path.exists():
        kept.folder(settings.home)
        kept.write(path, tenants.new_token() + "\n")  # in one step: half a key would open nothing for ever
    return path.read_text().strip()
