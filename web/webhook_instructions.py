"""What tenants send about their webhooks."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from app.orders.document import Moment, Name
from app.orders.faults import Fault
from app.outbox.model import EventType
from app.webhooks.address import MAX_LENGTH
from app.webhooks.model import Changes, Replay
from web import cursors, queries
from web.instructions import InvalidAct

A_WEEK_S = 7 * 86_400

Url = Annotated[str, Meta(min_length=1, max_length=MAX_LENGTH, description="https, port 443 or 8443.")]
Types = Annotated[list[EventType], Meta(max_length=50, description="Those that are wanted; none is all.")]
Place = Annotated[int, Meta(ge=0, le=2**53)]
Description = Annotated[str, Meta(max_length=200)]


class NewWebhook(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where events shall be posted."""

    url: Url
    types: Types = []
    description: Description | None = None


class ChangeWebhook(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What shall be different; what is left out stays."""

    url: Url | UnsetType = UNSET
    types: Types | UnsetType = UNSET
    description: Description | UnsetType = UNSET

    def changes(self) -> Changes:
        given = {name: getattr(self, name) for name in ChangeWebhook.__struct_fields__}
        return Changes(**{name: value for name, value in given.items() if value is not UNSET})


class RotateSecret(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`overlap_s`: for how long the secret up to now signs too."""

    overlap_s: Annotated[float, Meta(ge=0, le=A_WEEK_S)] = 86_400


class ReplayEvents(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    Which events of the last seven days: all that is given must hold, and something must be given.

    `place` is one event's; `after` goes on where an earlier answer's `next_after` stands.
    """

    place: Annotated[int, Meta(ge=1, le=2**53)] | None = None
    since: Moment | None = None
    until: Moment | None = None
    order_id: Name | None = None
    type: EventType | None = None
    after: Annotated[int, Meta(ge=0, le=2**53)] | None = None

    def replay(self) -> Replay:
        """:raises InvalidAct: when nothing is given"""
        if self == ReplayEvents():
            raise InvalidAct([Fault("", "missing", "must name at least one condition")])
        return Replay(
            place=self.place,
            since=queries.utc("since", self.since),
            until=queries.utc("until", self.until),
            order_id=self.order_id,
            type=self.type,
            after=self.after,
        )


class WebhookDeliveryQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which deliveries, from where on, and how many."""

    failed: Annotated[bool, Meta(description="Only those tried in vain and not delivered since.")] = False
    order_id: Name | None = None
    cursor: Annotated[str, Meta(max_length=200)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 50

    def after(self) -> int | None:
        """:raises InvalidQuery: when the cursor is not one of ours"""
        return cursors.decode(self.cursor, Place) if self.cursor is not None else None


SCHEMAS = (NewWebhook, ChangeWebhook, RotateSecret, ReplayEvents)
