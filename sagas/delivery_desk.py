"""The operators' desk for deliveries: what was reported, what of it needs a person, and what he decides."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from sqlalchemy import Connection, text
from sqlalchemy import Engine as Database

from app import database, errors
from app.deliveries import queries, service
from app.deliveries.model import BEFORE_PICKUP, Fate, Report, Reporter
from app.deliveries.queries import ReportGroup, ReportView
from app.doorbell import Bell, Doorbell
from app.fleet import pool
from app.fleet import queries as fleet
from app.fleet import service as crew
from app.fleet.service import CourierEntry
from app.orders.model import OrderNotFound, Status
from app.runs import acts
from app.runs.follow_ups import Begun, FollowUp
from sagas.deliveries import REROUTE_BY


class MoveNotAllowed(errors.Conflict):
    """The order does not move there from where it is."""

    code = "move-not-allowed"


class NotBeforePickup(errors.Conflict):
    """Only an order that is confirmed and not picked up can be given to another partner."""

    code = "not-before-pickup"


class NotWithCourier(errors.Conflict):
    """The order is not in the own fleet's pool with this courier."""

    code = "not-with-courier"


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """An order that an operator has moved by hand."""

    tracking_id: str
    before: Status
    status: Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """How many of the named reports were parked, and are not any more."""

    reports: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerouted:
    """The run that finds an order another partner."""

    tracking_id: str
    run_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """An order that its courier will not bring; the next plan of the pool gives it to another, or to a partner."""

    tracking_id: str
    courier: str


class DeliveryDesk:
    """The desk of one process; every method opens its own short transaction."""

    def __init__(self, db: Database, doorbell: Doorbell) -> None:
        self._db, self._doorbell = db, doorbell

    def reports(
        self, tenant_id: str, *, fate: Fate | None, order_id: str | None, limit: int
    ) -> list[ReportView]:
        """Reports, newest first."""
        return database.read(
            self._db, lambda c: queries.reports(c, tenant_id, fate=fate, order_id=order_id, limit=limit)
        )

    def parked(self, tenant_id: str) -> list[ReportGroup]:
        """Reports that need a person, by reason and reporter."""
        return database.read(self._db, lambda c: queries.parked(c, tenant_id))

    def settle(
        self, tenant_id: str, report_ids: Sequence[int], *, dismiss: bool, who: str, why: str
    ) -> Settled:
        """Leave parked reports alone for good, or take them up again: what was impossible may be possible now."""
        fate = Fate.DISMISSED if dismiss else Fate.NEW
        with self._db.begin() as connection:
            found = service.settle(connection, tenant_id, report_ids, fate, who=who, why=why)
        self._doorbell.ring(Bell.REPORTS)
        return Settled(reports=found)

    def mark(self, tenant_id: str, order_id: str, status: Status, *, who: str, why: str) -> Marked:
        """
        Move an order by hand, by the same table as all reports.

        :raises OrderNotFound, MoveNotAllowed:
        """
        now = datetime.now(UTC)
        report = Report(
            reporter=Reporter.OPERATOR,
            by=who,
            event_id=str(uuid4()),
            order=order_id,
            what=status,
            at=now,
            details={"why": why},
        )
        with self._db.begin() as connection:
            before, rerouting = _lock(connection, tenant_id, order_id)
            service.store(connection, [report])
            if not service.apply_one(connection, REROUTE_BY, report).moved:
                meanwhile = " and is on its way to another partner" if rerouting else ""
                raise MoveNotAllowed(detail=f"The order is {before}{meanwhile}.")
        self._doorbell.ring(Bell.RELAY)
        return Marked(tracking_id=order_id, before=before, status=status)

    def reroute(self, tenant_id: str, order_id: str, *, who: str, why: str) -> Rerouted:
        """
        Take an order from its partner and find it another.

        :raises OrderNotFound, NotBeforePickup, RunUnderWay:
        """
        with self._db.begin() as connection:
            status, _ = _lock(connection, tenant_id, order_id)
            if status not in BEFORE_PICKUP:
                raise NotBeforePickup(detail=f"The order is {status}.")
            wish = FollowUp(order_id=order_id, asked={"who": who, "why": why}, within=service.REROUTE_WITHIN)
            (begun,) = service.begin_reroutes(connection, REROUTE_BY, [wish])
            if not isinstance(begun, Begun):
                raise begun
            acts.keep_begun(connection, begun.run_id, "reroute", who=who, why=why, before={"status": status})
        self._doorbell.ring(Bell.CLAIM)
        return Rerouted(tracking_id=order_id, run_id=str(begun.run_id))

    def couriers(self, tenant_id: str) -> list[CourierEntry]:
        """The tenant's own fleet, by name."""
        return database.read(self._db, lambda c: fleet.known(c, tenant_id))

    def register(self, tenant_id: str, entries: Sequence[CourierEntry]) -> list[CourierEntry]:
        """Add couriers, or bring them to what is said now; all as they are then."""
        with self._db.begin() as connection:
            crew.register(connection, tenant_id, entries)
            return fleet.known(connection, tenant_id)

    def refuse(self, tenant_id: str, order_id: str, courier: str, *, who: str, why: str) -> Refused:
        """
        Take an order from a courier of the own fleet who will not bring it; he is not asked for it again.

        :raises OrderNotFound, NotBeforePickup, NotWithCourier:
        """
        with self._db.begin() as connection:
            status, _ = _lock(connection, tenant_id, order_id)
            if status not in BEFORE_PICKUP:
                raise NotBeforePickup(detail=f"The order is {status}.")
            if not pool.refuse(connection, order_id, courier):
                raise NotWithCourier(detail=f"The order is not with courier {courier}.")
            acts.keep_on_order(
                connection, order_id, "courier-refuses", who=who, why=why, after={"courier": courier}
            )
        self._doorbell.ring(Bell.RELAY)
        return Refused(tracking_id=order_id, courier=courier)


def _lock(connection: Connection, tenant_id: str, order_id: str) -> tuple[Status, bool]:
    """The order's status, and whether it is on its way to another partner; kept until the transaction ends."""
    row = connection.execute(
        text(
            "SELECT status, rerouting IS NOT NULL FROM uoop_orders WHERE id = :id AND tenant_id = :tenant "
            "FOR NO KEY UPDATE"
        ),
        {"id": order_id, "tenant": tenant_id},
    ).one_or_none()
    if row is None:
        raise OrderNotFound()
    return Status(row[0]), row[1]
