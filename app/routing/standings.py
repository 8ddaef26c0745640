"""What a choice between channels is made by, besides the orders: read every few seconds by each process that plans."""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import InterfaceError, OperationalError

from app.capacity import limits
from app.capacity.limits import Limits
from app.database import rows
from app.routing import figures
from app.routing.choice import USUAL, Weights
from app.routing.figures import Figures

FRESH_S = 5.0


@dataclass(frozen=True, slots=True)
class Latest:
    """
    :param figures: by partner, of those who have done something lately
    :param weights: of the tenants that have weights of their own
    :param places: what partners take per window, where a tenant has said it
    """

    figures: Mapping[str, Figures] = field(default_factory=dict)
    weights: Mapping[str, Weights] = field(default_factory=dict)
    places: Limits = field(default_factory=Limits)


class Standings:
    """As one process sees them."""

    def __init__(self, engine: Engine, *, fresh_s: float = FRESH_S) -> None:
        """:param fresh_s: for how long what was read is believed"""
        self._engine, self._fresh_s = engine, fresh_s
        self._latest, self._until = Latest(), 0.0

    def latest(self) -> Latest:
        """What is known; while the database is away, what was."""
        if time.monotonic() >= self._until:
            with suppress(OperationalError, InterfaceError), self._engine.begin() as connection:
                self._latest = Latest(
                    figures.latest(connection), _all_weights(connection), limits.of_partners(connection)
                )
            self._until = time.monotonic() + self._fresh_s
        return self._latest


def weights(connection: Connection, tenant_id: str) -> Weights:
    """One tenant's."""
    found = connection.execute(
        text("SELECT routing_weights FROM tenants WHERE id = :id"), {"id": tenant_id}
    ).scalar_one_or_none()
    return _weights(found) if found else USUAL


def weigh(connection: Connection, tenant_id: str, wanted: Weights, *, who: str, why: str) -> None:
    """Set one tenant's, with a line in the log of acts."""
    before = weights(connection, tenant_id)
    connection.execute(
        text("UPDATE tenants SET routing_weights = CAST(:weights AS jsonb) WHERE id = :id"),
        {"id": tenant_id, "weights": rows(wanted)},
    )
    connection.execute(
        text(
            "INSERT INTO ops_acts (tenant_id, act, who, why, before, after) VALUES (:tenant, 'routing-weights', "
            ":who, :why, CAST(:before AS jsonb), CAST(:after AS jsonb))"
        ),
        {"tenant": tenant_id, "who": who, "why": why, "before": rows(before), "after": rows(wanted)},
    )


def _all_weights(connection: Connection) -> dict[str, Weights]:
    result = connection.execute(
        text("SELECT id, routing_weights FROM tenants WHERE routing_weights IS NOT NULL")
    )
    return {row.id: _weights(row.routing_weights) for row in result}


def _weights(kept: Any) -> Weights:
    return msgspec.convert(kept, Weights)
