"""What the steps ask of the outside, filled once by the composition root."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Engine

from app.capacity.ledger import Ledger
from app.doorbell import Doorbell
from app.optimization.model import Partner
from app.providers.port import Provider
from app.routing.breakers import Breakers
from app.routing.standings import Standings


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """
    :param delivery: every delivery partner by name, the own fleet and the customer who collects among them
    :param breakers: say which of them may be called
    :param standings: say how they do
    :param partners: tariffs of those among them that the plan may choose
    :param silence_s: how long those partners may be silent who are known to report
    :param slot_capacity: orders a restaurant takes per window when nothing else is said of it
    """

    engine: Engine
    ledger: Ledger
    doorbell: Doorbell
    payment: Provider
    restaurants: Provider
    delivery: dict[str, Provider]
    breakers: Breakers
    standings: Standings
    partners: tuple[Partner, ...]
    slot_capacity: int
    silence_s: Mapping[str, float] = field(default_factory=dict)
