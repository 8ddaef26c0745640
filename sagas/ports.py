"""What the steps ask of the outside, filled once by the composition root."""

from dataclasses import dataclass

from sqlalchemy import Engine

from app.capacity.ledger import Ledger
from app.doorbell import Doorbell
from app.optimization.model import Partner
from app.providers.port import Provider


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """
    :param delivery: every delivery partner by name, the own fleet among them
    :param partners: tariffs of those among them that the plan may choose
    :param slot_capacity: orders a restaurant takes per window when nothing else is said of it
    """

    engine: Engine
    ledger: Ledger
    doorbell: Doorbell
    payment: Provider
    restaurants: Provider
    delivery: dict[str, Provider]
    partners: tuple[Partner, ...]
    slot_capacity: int
