"""The customer collects the meal: a channel that nobody has to be called for."""

from collections.abc import Sequence
from datetime import datetime

from app.providers.port import Answer, Kind, Listing, Request, Verdict

PICKUP = "pickup"


class Pickup:
    """Keeps the promises of a delivery provider by having no effect: nothing is done, so nothing can be done twice."""

    name = PICKUP
    kind = Kind.DELIVERY
    bulk = True
    tombstones = True

    def do(self, resource: str, requests: Sequence[Request], *, timeout_s: float) -> list[Answer]:
        return [Answer(request.key, Verdict.DONE, reference=request.key) for request in requests]

    def undo(self, resource: str, keys: Sequence[str], *, timeout_s: float) -> list[Answer]:
        return [Answer(key, Verdict.UNDONE) for key in keys]

    def find(self, resource: str, keys: Sequence[str], *, timeout_s: float) -> list[Answer]:
        return [Answer(key, Verdict.UNKNOWN) for key in keys]

    def listing(
        self,
        resource: str,
        *,
        since: datetime,
        until: datetime,
        cursor: str | None,
        limit: int,
        timeout_s: float,
    ) -> Listing:
        return Listing(Verdict.REFUSED)
