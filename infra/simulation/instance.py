"""A recorded day with the rules it is played by: `instance_parameters.txt` beside the files of a recording."""

from dataclasses import dataclass
from pathlib import Path

from app.errors import Rejected
from app.optimization.pool.model import Pace, Spot
from infra.demo import recording
from infra.demo.recording import Placed, Rider


class BrokenInstance(Rejected):
    """The folder's rules, or a line of its files, cannot be read."""

    code = "broken-instance"

    def __str__(self) -> str:
        return f"{self.data['path']}: {self.data['reason']}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """
    :param kitchens: where they are
    :param pay_per_order: what a courier gets at least for his time is `pay_per_hour`
    """

    name: str
    orders: tuple[Placed, ...]
    kitchens: dict[str, Spot]
    riders: tuple[Rider, ...]
    pace: Pace
    pay_per_order: float
    pay_per_hour: float

    def pickup(self, order: Placed) -> Spot:
        return self.kitchens[order.restaurant]


def door(order: Placed) -> Spot:
    return Spot(order.x, order.y)


def read(folder: Path) -> Instance:
    """
    Read it; services are halved: one half until the meal is handed over, one until the courier leaves.

    :raises NoDay: if a file is missing
    :raises BrokenInstance: if something in them cannot be read
    """
    recorded = recording.read(folder)
    if recorded.rejects:
        raise BrokenInstance(path=str(folder), reason=str(recorded.rejects[0]))
    path = folder / "instance_parameters.txt"
    try:
        speed, pickup_min, dropoff_min, _, _, order, hour = map(
            float, path.read_text().splitlines()[1].split("\t")
        )
    except FileNotFoundError:
        raise recording.NoDay(path=str(path)) from None
    except (ValueError, IndexError) as error:
        raise BrokenInstance(path=str(path), reason=str(error)) from error
    if pickup_min != dropoff_min or speed <= 0:
        raise BrokenInstance(
            path=str(path), reason="pickups and drop-offs must take the same time, rides some"
        )
    return Instance(
        name=recorded.name,
        orders=recorded.orders,
        kitchens={kitchen.id: Spot(kitchen.x, kitchen.y) for kitchen in recorded.kitchens},
        riders=recorded.riders,
        pace=Pace(metres_per_min=speed, hand_min=pickup_min / 2, whole_minutes=True),
        pay_per_order=order,
        pay_per_hour=hour,
    )
