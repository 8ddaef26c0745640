"""Where events go: a sink."""

from collections.abc import Sequence
from typing import Protocol

from app import errors
from app.outbox.model import Event, envelope


class SinkAway(errors.Unavailable):
    """The sink takes no events now."""

    code = "sink-away"


class EventRefused(errors.Rejected):
    """The sink will not take this event, however often it is asked; those before it may have been taken."""

    code = "event-refused"

    def __init__(self, event: Event, *, reason: str) -> None:
        super().__init__(pos=event.pos, reason=reason)
        self.event, self.reason = event, reason


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
        :raises EventRefused: if it takes all but this one, and those after it
        """

    def publish_again(self, events: Sequence[Event]) -> None:
        """
        Take events that stand before others that it has already: a person wants them to be heard again.

        :raises SinkAway, EventRefused: as `publish` does; some may have been taken
        """


def envelopes(events: Sequence[Event]) -> list[bytes]:
    """
    The events as they are sent.

    :raises EventRefused: if one cannot be written down
    """
    written = []
    for event in events:
        try:
            written.append(envelope(event))
        except (TypeError, ValueError, UnicodeError) as error:
            raise EventRefused(event, reason=f"no envelope: {error}") from error
    return written
