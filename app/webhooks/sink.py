"""The sink `webhooks`: notes which receivers want an event. Sending is the sender's."""

import time
from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import Engine

from app.outbox.model import Event
from app.outbox.port import EventRefused
from app.webhooks import deliveries, endpoints

REMEMBERED_S = 1.0


class Webhooks:
    """
    Its account is the table of deliveries.

    :param ring: wakes the sender
    """

    name = "webhooks"

    def __init__(self, db: Engine, *, ring: Callable[[], None], remembered_s: float = REMEMBERED_S) -> None:
        self._db, self._ring, self._remembered_s = db, ring, remembered_s
        self._interests: Mapping[str, frozenset[str] | None] = {}
        self._looked_at = float("-inf")

    def position(self) -> None:
        """The relay's account is kept where the deliveries are."""

    def is_wanted(self) -> bool:
        """Whether there is any receiver; an endpoint is known a second after it was made."""
        if time.monotonic() - self._looked_at >= self._remembered_s:
            with self._db.connect() as connection:
                self._interests = endpoints.interests(connection)
            self._looked_at = time.monotonic()
        return bool(self._interests)

    def publish(self, events: Sequence[Event]) -> None:
        self.is_wanted()
        wanted = [event for event in events if self._wants(event)]
        if not wanted:
            return
        with self._db.begin() as connection:
            made = deliveries.queue(connection, wanted)
        if made:
            self._ring()

    def publish_again(self, events: Sequence[Event]) -> None:
        with self._db.begin() as connection:
            held = deliveries.queue_again(connection, events)
        self._ring()
        for event in events:
            if event.pos not in held:
                raise EventRefused(event, reason="the log does not hold it any more")

    def _wants(self, event: Event) -> bool:
        types = self._interests.get(event.tenant_id, frozenset())
        return types is None or event.type in types
