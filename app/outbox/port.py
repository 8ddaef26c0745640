"""Where events go: a sink."""

from collections.abc import Sequence
from typing import Protocol

from app import errors
from app.outbox.model import Event


class SinkAway(errors.Unavailable):
    """The sink takes no events now."""

    code = "sink-away"


class Sink(Protocol):
    """One place that takes the log's events in order."""

    @property
    def name(self) -> str: ...

    def position(self) -> int | None:
        """
        The last place that the sink itself holds; None if it keeps no account, 0 if it is empty.

        :raises SinkAway: if it does not answer
        """

    def publish(self, events: Sequence[Event]) -> None:
        """
        Take the events, in order; those it has already do no harm.

        :raises SinkAway: if it did not take them all
        """
