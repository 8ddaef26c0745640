"""An order's events as Server-Sent Events (HTML, section 9.2): first those of the log, then as they happen."""

import re
from collections.abc import Sequence

from app.orders.model import FINAL
from app.outbox.model import Event, envelope
from web.services import Tracked

MEDIA_TYPE = "text/event-stream"
RETRY_MS = 2000  # after which a client whose stream has ended comes again
BEGINNING = b"retry: %d\n\n" % RETRY_MS
HEARTBEAT_S = 15.0
HEARTBEAT = b": still there\n\n"
LONGEST_S = 900.0
ENDS_AFTER_S = 5.0  # after the last status: what follows it at once is told too

_FINAL_TYPES = frozenset("order." + status.lower() for status in FINAL)
_SEQUENCE = re.compile(r"[0-9]{1,9}")


def after(last_event_id: str | None) -> int:
    """The sequence of the last event that the client has; 0 for what is not one of ours."""
    return int(last_event_id) if last_event_id and _SEQUENCE.fullmatch(last_event_id) else 0


def block(event: Event) -> bytes:
    """One event; its id in the stream is its sequence."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.sequence, event.type.encode(), envelope(event))


def is_final(event: Event) -> bool:
    """Whether the order's status will not change any more."""
    return event.type in _FINAL_TYPES


def is_over(order: Tracked, events: Sequence[Event], after: int) -> bool:
    """
    Whether all has been told, and nothing more is to come: answered 204, which ends an EventSource for good.

    :param events: all of the order's that are still in the log; it lags a little behind the order
    """
    if order.status not in FINAL:
        return False
    return after >= order.version if events else True
