"""Gauges of delivery partners: their breakers, and how they do."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from app.routing import breakers, figures
from app.routing.breaker import BreakerState

_KNOWN = "SELECT partner FROM breakers UNION SELECT partner FROM partner_figures WHERE minute > now() - interval '1 h'"
_VALUES = {BreakerState.CLOSED: 0.0, BreakerState.HALF_OPEN: 0.5, BreakerState.OPEN: 1.0}


class Channels(Collector):
    """Who is not asked, and how those who are answer and deliver."""

    def __init__(self, db: Engine) -> None:
        self._db = db

    def collect(self) -> Iterator[Metric]:
        try:
            with self._db.connect() as connection:
                names = connection.execute(text(_KNOWN)).scalars().all()
                views, latest = breakers.views(connection, names), figures.latest(connection)
        except SQLAlchemyError:
            return  # missing gauges say it
        state = _gauge(
            "uoop_breaker_open",
            "1 while nothing new is asked of the partner, 0.5 while he is probed, else 0.",
        )
        held = _gauge("uoop_breaker_forced", "1 while an operator holds the partner's breaker, else 0.")
        openings = CounterMetricFamily(
            "uoop_breaker_openings", "How often the partner's breaker has opened.", labels=["partner"]
        )
        for view in views:
            state.add_metric([view.partner], _VALUES[view.state])
            held.add_metric([view.partner], float(view.forced_until is not None))
            openings.add_metric([view.partner], view.openings)
        yield from (state, held, openings)
        answered = _gauge("uoop_partner_answered_share", "Share of calls answered within 5 minutes.")
        seconds = _gauge("uoop_partner_answer_seconds", "Mean time of answered calls within 5 minutes.")
        on_time = _gauge(
            "uoop_partner_on_time_share", "Share of deliveries within 6 hours that kept their time."
        )
        for partner, its in latest.items():
            answered.add_metric([partner], its.answered_share)
            on_time.add_metric([partner], its.on_time_share)
            if its.mean_answer_s is not None:
                seconds.add_metric([partner], its.mean_answer_s)
        yield from (answered, seconds, on_time)


def _gauge(name: str, meaning: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, meaning, labels=["partner"])
