"""A message whose signature is right, and how a format makes reports of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from app.deliveries.model import Report, Reporter

OrderKey = Annotated[
    str,
    Meta(
        pattern=r"^[0-9A-Za-z_:.-]{1,200}(?![\s\S])",
        description="The tracking id, or the key of the dispatch or placement, which begins with it.",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """
    :param partner: the name of who sent it
    :param id: its own, for events that have none
    """

    partner: str
    reporter: Reporter
    id: str

    def report(
        self, *, event_id: str, order: str, what: str, at: datetime, reason: str | None = None
    ) -> Report:
        """
        One thing that it says.

        :raises OverflowError: if the time lies outside of the calendar
        """
        return Report(
            reporter=self.reporter,
            by=self.partner,
            event_id=event_id,
            order=order,
            what=what,
            at=at.astimezone(UTC),
            details={"reason": reason} if reason else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """
    How some partners write.

    :param body: what their messages look like
    :param reports: what one says; nothing, if it is of no matter here. What is not known here is reported in their own
        word, so that a person sees it
    :param example: a message
    """

    name: str
    body: type[msgspec.Struct]
    reports: Callable[[Any, Message], Sequence[Report]]
    example: Mapping[str, Any]
