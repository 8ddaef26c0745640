"""What operators send: which runs and differences, what to do about them, and why."""

from dataclasses import replace
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from app import errors
from app.capacity.limits import Wanted
from app.capacity.model import SlotKind
from app.orders import faults, review
from app.orders.document import PATTERN_MEANINGS, InvalidOrder, MalformedJson, Moment, Name
from app.orders.faults import Fault
from app.routing.breaker import BreakerState
from app.routing.choice import Weights
from app.runs.allowed import Act
from app.runs.pauses import Kind
from app.runs.views import RunFilter, State
from app.settlement.model import DifferenceKind
from app.settlement.views import DifferenceFilter
from app.settlement.views import State as DifferenceState
from sagas.channel_desk import BreakerSwitch
from sagas.operations import BULK_AT_MOST, Instruction
from sagas.pause_desk import Switch
from web import cursors, submissions
from web.services import Principal

T = TypeVar("T", bound=msgspec.Struct)
Reason = Annotated[str, Meta(min_length=3, max_length=500, description="Why; kept in the log of acts.")]
Operator = Annotated[str, Meta(min_length=1, max_length=100, description="Who, beside the key that is used.")]


class InvalidAct(errors.Rejected):
    """The instruction is not valid."""

    code = "invalid-act"

    def __init__(self, found: list[Fault]) -> None:
        super().__init__(faults=found)


class Runs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which runs: all that is given must hold."""

    tracking_id: Name | None = None
    external_order_id: Name | None = None
    customer_id: Name | None = None
    partner: Name | None = None
    state: State | None = None
    saga: Name | None = None
    step: Name | None = None
    code: Name | None = None
    older_than_s: Annotated[float, Meta(ge=0, le=1e9)] | None = None

    def filter(self) -> RunFilter:
        return RunFilter(**{name: getattr(self, name) for name in Runs.__struct_fields__})


class RunQuery(Runs, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which runs, from where on, and how many."""

    cursor: Annotated[str, Meta(max_length=200)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 50

    def after(self) -> int | None:
        """:raises InvalidQuery: when the cursor is not one of ours"""
        return cursors.decode(self.cursor, int) if self.cursor is not None else None


class ActOnRun(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Why it is done; `step` names the one to skip or to re-drive from, `confirm` is for terminate."""

    reason: Reason
    operator: Operator | None = None
    step: Name | None = None
    confirm: bool = False
    dry_run: bool = False

    def instruction(self, act: Act, caller: Principal) -> Instruction:
        return Instruction(
            act=act,
            who=who(caller, self.operator),
            why=self.reason,
            step=self.step,
            confirm=self.confirm,
            dry_run=self.dry_run,
        )


class ActOnRuns(ActOnRun, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    What to do to all runs that fit, oldest first.

    `rate_per_s` spreads them over time; `limit` is the most that one request touches.
    """

    act: Act
    filter: Runs
    limit: Annotated[int, Meta(ge=1, le=BULK_AT_MOST)] = BULK_AT_MOST
    rate_per_s: Annotated[float, Meta(gt=0, le=1e6)] | None = None


class ActOnDifference(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Why it is done."""

    reason: Reason
    operator: Operator | None = None


class DifferenceQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which differences, from where on, and how many."""

    state: DifferenceState = DifferenceState.OPEN
    kind: DifferenceKind | None = None
    provider: Name | None = None
    resource: Name | None = None
    tracking_id: Name | None = None
    cursor: Annotated[str, Meta(max_length=200)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 50

    def filter(self) -> DifferenceFilter:
        return DifferenceFilter(
            state=self.state,
            kind=self.kind,
            provider=self.provider,
            resource=self.resource,
            tracking_id=self.tracking_id,
        )

    def after(self) -> int | None:
        """:raises InvalidQuery: when the cursor is not one of ours"""
        return cursors.decode(self.cursor, int) if self.cursor is not None else None


class SwitchPause(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Why it is paused or resumed; `for_s`: after so many seconds a pause ends by itself."""

    reason: Reason
    operator: Operator | None = None
    for_s: Annotated[float, Meta(gt=0, le=1e8)] | None = None

    def switch(self, kind: Kind, name: str, caller: Principal) -> Switch:
        return Switch(
            kind=kind,
            name=name,
            tenant_id=caller.tenant_id,
            who=who(caller, self.operator),
            why=self.reason,
            for_s=self.for_s,
        )


class ReleaseBreaker(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Why it is left to the calls again."""

    reason: Reason
    operator: Operator | None = None

    def switch(self, partner: str, caller: Principal) -> BreakerSwitch:
        return BreakerSwitch(
            partner=partner, tenant_id=caller.tenant_id, who=who(caller, self.operator), why=self.reason
        )


class ForceBreaker(ReleaseBreaker, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Why and how it is held, and for how many seconds."""

    state: Literal["open", "closed"]
    for_s: Annotated[float, Meta(gt=0, le=604_800)]

    def switch(self, partner: str, caller: Principal) -> BreakerSwitch:
        plain = ReleaseBreaker.switch(self, partner, caller)
        return replace(plain, state=BreakerState(self.state), for_s=self.for_s)


class Weigh(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Why, and what matters from now on; what is left out counts as usual."""

    reason: Reason
    operator: Operator | None = None
    weights: Weights


class CapacitySpan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which windows: from so many hours ago until so many ahead, a day at most."""

    back_h: Annotated[int, Meta(ge=0, le=12)] = 4
    ahead_h: Annotated[int, Meta(ge=1, le=12)] = 2


class CapacityQuery(CapacitySpan, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which slots, and how many."""

    kind: SlotKind | None = None
    name: Name | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class SetLimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    What a kitchen, a zone, a channel or a delivery partner takes per quarter of an hour; null takes the limit away.

    With `since` or `until` it holds for the windows of that time, else for all.
    """

    kind: SlotKind
    name: Name
    capacity: Annotated[int, Meta(ge=0, le=1_000_000)] | None
    reason: Reason
    operator: Operator | None = None
    since: Moment | None = None
    until: Moment | None = None

    def wanted(self) -> Wanted:
        return Wanted(
            kind=self.kind, name=self.name, capacity=self.capacity, since=self.since, until=self.until
        )


SCHEMAS = (
    ActOnRun,
    ActOnRuns,
    SwitchPause,
    ActOnDifference,
    ReleaseBreaker,
    ForceBreaker,
    Weigh,
    SetLimit,
)


def who(caller: Principal, operator: str | None) -> str:
    """How the log of acts names who acts: by the key, and by the person if one is named."""
    return f"{caller.key_prefix}/{operator}" if operator else caller.key_prefix


def read(
    form: type[T],
    *,
    limit_bytes: int = submissions.BODY_LIMIT_BYTES,
    refusal: type[InvalidAct | InvalidOrder] = InvalidAct,
) -> T:
    """
    Read the body of the current request.

    :raises MalformedJson: when it is not one JSON document in UTF-8
    :raises InvalidAct: or what `refusal` names, with what is wrong
    """
    body = submissions.body(limit_bytes)
    try:
        return msgspec.json.decode(body, type=form)
    except msgspec.ValidationError as wrong:
        first = faults.of_schema(wrong, PATTERN_MEANINGS)
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise MalformedJson([Fault("", "malformed", str(wrong))]) from None
    try:
        raise refusal(review.found(review.read(body), form, PATTERN_MEANINGS) or [first])
    except review.NotJson as wrong:
        raise MalformedJson([Fault("", "malformed", str(wrong))]) from None


def read_bulk() -> ActOnRuns:
    """As `read`; a filter without any condition is refused, since it means everything."""
    wanted = read(ActOnRuns)
    if wanted.filter == Runs():
        raise InvalidAct([Fault("/filter", "missing", "must name at least one condition")])
    return wanted
