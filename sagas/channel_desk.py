"""The operators' view of the channels: breakers, how partners do, and what a tenant weighs when one is chosen."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from sqlalchemy import Connection
from sqlalchemy import Engine as Database

from app import database
from app.routing import breakers, figures, standings
from app.routing.breaker import BreakerState
from app.routing.breakers import BreakerAct, BreakerView
from app.routing.choice import Weights
from app.routing.figures import Figures
from sagas.pause_desk import UnknownName


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerView:
    """
    How a delivery partner does. Calls are of the last 5 minutes, deliveries of the last 6 hours.

    `answered_share` and `on_time_share` are what the choice reckons with: near the usual while little is known.
    """

    partner: str
    breaker: BreakerView
    calls: int
    failed: int
    answered_share: float
    mean_answer_ms: float | None
    taken_in_hour: int
    delivered: int
    on_time: int
    on_time_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Channels:
    """The partners by name, what the key's tenant weighs, and what operators did to breakers lately, newest first."""

    partners: list[PartnerView]
    weights: Weights
    acts: list[BreakerAct]


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerSwitch:
    """
    What an operator wants of a breaker.

    :param tenant_id: whose operator; it holds for all
    :param state: open or closed, to hold it there
    :param for_s: for how long
    """

    partner: str
    tenant_id: str
    who: str
    why: str
    state: BreakerState = BreakerState.OPEN
    for_s: float = 0.0


class ChannelDesk:
    """
    The desk of one process; every method opens its own short transaction.

    :param partners: names of all delivery partners
    """

    def __init__(self, db: Database, partners: Callable[[], Collection[str]]) -> None:
        self._db, self._partners = db, partners

    def channels(self, tenant_id: str) -> Channels:
        """How all partners do, and what the tenant weighs."""
        names = self._partners()

        def query(connection: Connection) -> Channels:
            found = figures.latest(connection)
            return Channels(
                partners=[
                    _view(each, found.get(each.partner, Figures()))
                    for each in breakers.views(connection, names)
                ],
                weights=standings.weights(connection, tenant_id),
                acts=breakers.past_acts(connection),
            )

        return database.read(self._db, query)

    def force(self, wanted: BreakerSwitch) -> Channels:
        """
        Hold a breaker open or closed.

        :raises UnknownName:
        """
        names = self._partners()
        if wanted.partner not in names:
            raise UnknownName(
                detail=f"There is no delivery partner of that name, but {', '.join(sorted(names))}."
            )
        with self._db.begin() as connection:
            breakers.force(
                connection,
                wanted.partner,
                wanted.state,
                for_s=wanted.for_s,
                tenant_id=wanted.tenant_id,
                who=wanted.who,
                why=wanted.why,
            )
        return self.channels(wanted.tenant_id)

    def release(self, wanted: BreakerSwitch) -> Channels:
        """
        Leave a breaker to the calls again.

        :raises NotForced:
        """
        with self._db.begin() as connection:
            breakers.release(
                connection, wanted.partner, tenant_id=wanted.tenant_id, who=wanted.who, why=wanted.why
            )
        return self.channels(wanted.tenant_id)

    def weigh(self, tenant_id: str, weights: Weights, *, who: str, why: str) -> Channels:
        """Set what the tenant weighs."""
        with self._db.begin() as connection:
            standings.weigh(connection, tenant_id, weights, who=who, why=why)
        return self.channels(tenant_id)


def _view(breaker: BreakerView, its: Figures) -> PartnerView:
    return PartnerView(
        partner=breaker.partner,
        breaker=breaker,
        calls=its.calls,
        failed=its.failed,
        answered_share=round(its.answered_share, 4),
        mean_answer_ms=None if its.mean_answer_s is None else round(its.mean_answer_s * 1000, 1),
        taken_in_hour=its.taken_in_hour,
        delivered=its.delivered,
        on_time=its.on_time,
        on_time_share=round(its.on_time_share, 4),
    )
