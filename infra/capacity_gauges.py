"""Gauges of what is taken in the running window, by zone."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from app.capacity import usage
from app.capacity.model import WINDOW_S, window_start

ZONES_AT_MOST = 50  # the fullest; a label for each zone must stay a small number of series


class Taken(Collector):
    """Capacity of all tenants together, and how many slots are or will be full."""

    def __init__(self, db: Engine) -> None:
        self._db = db

    def collect(self) -> Iterator[Metric]:
        begin = window_start(datetime.now(UTC))
        try:
            with self._db.connect() as connection:
                zones = usage.zones(connection, None, since=begin, until=begin + timedelta(seconds=WINDOW_S))
                pressing = usage.pressing(connection, since=begin)
        except SQLAlchemyError:
            return  # missing gauges say it
        taken = GaugeMetricFamily(
            "uoop_capacity_taken", "Places taken in the running window.", labels=["zone"]
        )
        capacity = GaugeMetricFamily("uoop_capacity_places", "Places that there are in it.", labels=["zone"])
        refused = GaugeMetricFamily("uoop_capacity_refused", "Orders that it refused.", labels=["zone"])
        for zone in sorted(zones, key=lambda each: each.utilisation or 0.0, reverse=True)[:ZONES_AT_MOST]:
            taken.add_metric([zone.zone], zone.taken)
            refused.add_metric([zone.zone], zone.refused)
            if zone.capacity is not None:
                capacity.add_metric([zone.zone], zone.capacity)
        yield from (taken, capacity, refused)
        yield GaugeMetricFamily(
            "uoop_capacity_full_slots",
            "Slots of running and coming windows that are full.",
            value=pressing.full,
        )
        if pressing.next_full_s is not None:
            yield GaugeMetricFamily(
                "uoop_capacity_next_full_seconds",
                "Time until the next slot is full at the present pace.",
                value=pressing.next_full_s,
            )
