"""What must be there before any process starts: schema, partitions, lanes, ledger, the first tenant and its key."""

import sys
from datetime import UTC, datetime

from sqlalchemy import Connection, text

from app import database, errors, migrations, partitions
from app.capacity.ledger import Ledger
from app.runs import cohorts
from app.runs.model import COMPENSATION, EXPRESS, FRONT, RETRY, step_lane
from app.tenants import keys
from app.tenants import service as tenants
from infra import kept, wiring
from infra.settings import Settings
from sagas.all import SAGAS

EXPRESS_SLOTS = 2


class UnknownSaga(errors.Conflict):
    """Runs are in flight on a saga that this version of the platform does not know."""

    code = "unknown-saga"

    def __str__(self) -> str:
        return (
            f"runs of {self.data['unknown']} are in flight, which this version does not know: "
            "let the version that began them finish them first"
        )


def prepare(settings: Settings) -> None:
    """
    Bring the database to what this version needs; harmless when it is there already.

    :raises UnknownSaga: if runs are in flight on a saga or version that is not there
    """
    engine = database.engine(settings.database_url.get_secret_value(), pool_size=1)
    try:
        migrations.upgrade(engine)
        with engine.begin() as connection:
            _refuse_unknown_sagas(connection)
        partitions.maintain(engine, now=datetime.now(UTC))
        with engine.begin() as connection:
            cohorts.size_lane(connection, FRONT, slots=settings.front_slots)
            cohorts.open_lane(connection, EXPRESS, slots=EXPRESS_SLOTS)
            cohorts.open_lane(connection, RETRY, slots=1)
            cohorts.open_lane(connection, COMPENSATION, slots=1)
            for step, concurrency in SAGAS.concurrency.items():
                cohorts.size_lane(connection, step_lane(step), slots=concurrency)
            tenants.ensure_tenant(
                connection, tenants.DEFAULT_TENANT, name="Default", order_deadline_s=settings.order_deadline_s
            )
            if settings.runs("api"):
                keys.keep(connection, _token(settings), tenants.DEFAULT_TENANT, scopes=keys.ALL_SCOPES)
        wiring.keyring(settings)  # its key is made before two processes make one each
        wiring.reconcile(engine, Ledger(wiring.redis_client(settings.ledger_url.get_secret_value())))
    finally:
        engine.dispose()


def _token(settings: Settings) -> str:
    """The first key: made once, kept where only its owner reads it."""
    path = settings.home / "api-key"
    if not path.exists():
        kept.folder(settings.home)
        kept.write(path, keys.new_token() + "\n")  # in one step: half a key would open nothing for ever
    return path.read_text().strip()


def _refuse_unknown_sagas(connection: Connection) -> None:
    in_flight = connection.execute(
        text(
            "SELECT DISTINCT saga, version FROM runs WHERE state = 'w' UNION SELECT DISTINCT saga, version FROM runs "
            "WHERE state = 'p' UNION SELECT c.saga, c.version FROM slots s JOIN cohorts c ON c.id = s.cohort_id"
        )
    )
    unknown = sorted(
        {(row.saga, row.version) for row in in_flight} - {(saga.name, saga.version) for saga in SAGAS}
    )
    if unknown:
        raise UnknownSaga(unknown=", ".join(f"{name} version {version}" for name, version in unknown))


def main() -> int:
    """Exit status 2 with one line when this version must not start here."""
    try:
        prepare(Settings.load())
    except errors.UoopError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
