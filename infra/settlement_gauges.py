"""Gauges of what differs between our books and the providers' own lists."""

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from app.settlement import checks, differences


class Differing(Collector):
    """Open differences with the money at stake, and how late their finding is."""

    def __init__(self, db: Engine) -> None:
        self._db = db

    def collect(self) -> Iterator[Metric]:
        try:
            with self._db.connect() as connection:
                groups = differences.groups(connection, None)
                unfinished_s = checks.oldest_unfinished_s(connection)
        except SQLAlchemyError:
            return  # missing gauges say it
        count = GaugeMetricFamily(
            "uoop_differences_open",
            "Open differences between our books and a provider's.",
            labels=["provider", "resource", "kind"],
        )
        money = GaugeMetricFamily(
            "uoop_differences_open_amount",
            "Money at stake in open differences.",
            labels=["provider", "resource", "kind", "currency"],
        )
        counts: Counter[tuple[str, str, str]] = Counter()
        for group in groups:
            place = (group.provider, group.resource, str(group.kind))
            counts[place] += group.differences
            if group.amount is not None:
                money.add_metric([*place, group.currency or ""], float(group.amount))
        for place, number in counts.items():
            count.add_metric(place, number)
        yield from (count, money)
        yield GaugeMetricFamily(
            "uoop_settlement_unfinished_seconds",
            "For how long the oldest unfinished comparison with a provider has been due.",
            value=unfinished_s,
        )
