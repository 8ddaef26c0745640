"""
The engine: takes cohorts through their sagas, one step execution at a time.

Every entry is harmless when repeated, late or overtaken: it begins and ends with a compare-and-set, and says
by its answer whether the carrier should go on.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, TypeVar

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import InterfaceError, OperationalError

from app import crash_points
from app.crash_points import Point
from app.doorbell import Bell, Doorbell
from app.runs import cohorts, executions, pauses
from app.runs.cohorts import Claimed
from app.runs.model import (
    PASSED,
    Cohort,
    Departure,
    Direction,
    LostCohort,
    Member,
    Outcome,
    RunState,
    StepPassed,
    is_provider_lane,
)
from sagas import gate, isolation, pausing, state, stretch
from sagas.definition import Call, Registry, Result, Saga
from sagas.heartbeat import Heartbeat
from sagas.ports import Ports
from sagas.stretch import Begun, Legs, Place

PATIENCE_S = 0.5
PROVIDER_LANE_PATIENCE_S = 5.0
DATABASE_PATIENCE_S = 30.0
ISOLATION_LANES = 8
CRASHES = 2  # starts of a step without a finish, after which its cohort is taken apart
CRASHES_ALONE = 5  # a lone order must be worse than unlucky

log = structlog.get_logger()
T = TypeVar("T")


class Carrier(Protocol):
    """Takes a cohort from step to step, as long as nothing breaks."""

    def send(self, claimed: Claimed, *, leg: int) -> None:
        """Send the cohort on its way from that leg on; may fail, the sweep repairs it."""

    def incarnation(self) -> str:
        """Names the present life of the broker; another one after it was emptied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    :param cohort_size: runs in one cohort at most
    :param lane_interval_s: time between two cohorts of one lane at least
    """

    cohort_size: int = 1500
    lane_interval_s: float = 0.1


def unlimited(_seconds: float) -> AbstractContextManager[None]:
    return nullcontext()


class Engine:
    """Moves runs. One per process; every method opens its own short transactions."""

    def __init__(
        self,
        ports: Ports,
        sagas: Registry,
        carrier: Carrier,
        doorbell: Doorbell,
        heartbeat: Heartbeat,
        limits: Limits,
        limited: Callable[[float], AbstractContextManager[None]] = unlimited,
    ) -> None:
        """:param limited: interrupts what is done in it for longer than so many seconds"""
        self._ports, self._sagas, self._carrier, self._doorbell = ports, sagas, carrier, doorbell
        self._heartbeat, self._limits, self._limited = heartbeat, limits, limited

    def run_stretch(self, cohort_id: int, epoch: int, legs: Legs) -> bool:
        """
        Execute steps of a cohort one after the other, as far as it travels.

        From one step to the next it is one transaction, and what was read of the orders is kept while all get through.

        :param legs: stages and those of their steps to be executed; where these are several, the stage is closed here
        :return: whether the carrier goes on to what comes next
        """
        executor = executions.new_executor()
        places = [Place(cohort_id, epoch, stage, step) for stage, steps in legs for step in steps]
        to_join = {stage for stage, steps in legs if len(steps) > 1}
        begun: Begun | None = None
        for n, place in enumerate(places):
            ahead = places[n + 1 :]
            goes_on, begun = self._execute(place, executor, begun, ahead)
            ends_stage = not ahead or ahead[0].stage != place.stage
            if goes_on and ends_stage and place.stage in to_join:
                goes_on = self.join(cohort_id, epoch, place.stage)
            if not goes_on:
                return False
        return True

    def join(self, cohort_id: int, epoch: int, stage: int) -> bool:
        """
        Close a parallel stage: outcomes of its branches decide who travels on.

        :return: whether the carrier goes on
        """
        try:
            goes_on = self._patiently(lambda: self._join(cohort_id, epoch, stage))
        except StepPassed:
            return True
        except LostCohort:
            return False
        crash_points.reach(Point.JOIN_AFTER_COMMIT)
        return goes_on

    def claim(self) -> float | None:
        """
        Start a cohort in every lane that has due runs, a free slot, and had its interval.

        :return: seconds until a lane may start again, None if no lane waits for its interval
        """
        with self._ports.engine.begin() as connection:
            lanes = cohorts.due_lanes(connection, interval_s=self._limits.lane_interval_s)
        waits = [wait_s for wait_s in lanes.values() if wait_s > 0]
        for lane in (name for name, wait_s in lanes.items() if wait_s <= 0):
            with self._ports.engine.begin() as connection:
                claimed = cohorts.claim(
                    connection,
                    lane,
                    size=self._limits.cohort_size,
                    itinerary=partial(self._itinerary, lane),
                    interval_s=self._limits.lane_interval_s,
                )
            if claimed:
                crash_points.reach(Point.CLAIM_AFTER_COMMIT)
                self._send(claimed, leg=0)
            waits.append(claimed.rest_s if claimed else self._limits.lane_interval_s)
        return min(waits, default=None)

    def sweep(self) -> int:
        """Send cohorts again whose carrier is gone, in a new epoch; end pauses that are over. Returns how many."""
        incarnation = self._carrier.incarnation()
        with self._ports.engine.begin() as connection:
            adopted = cohorts.adopt_lost(connection, incarnation=incarnation, parallel=self._sagas.parallel)
            if pauses.lift(connection):
                self._doorbell.ring(Bell.CLAIM)
        for lost in adopted:
            if lost.starts >= (CRASHES if lost.claimed.size > 1 else CRASHES_ALONE):
                self._take_apart(lost.claimed)
            else:
                log.warning("cohort-resent", cohort_id=lost.claimed.id, epoch=lost.claimed.epoch)
                self._send(lost.claimed, leg=lost.leg)
        return len(adopted)

    def carrier_died(self, cohort_id: int, epoch: int, steps: Sequence[int]) -> None:
        """
        Send a cohort again at once: the process that executed one of these steps, or was about to, is surely dead.

        :param steps: none if it died in a join
        """
        with self._ports.engine.begin() as connection:
            cohorts.forget_carrier(connection, cohort_id, epoch=epoch, steps=steps)
        self.sweep()

    def _take_apart(self, claimed: Claimed) -> None:
        """Processes die or hang with this cohort: its members go on in smaller ones, a lone one is parked."""
        log.error("cohort-taken-apart", cohort_id=claimed.id)
        with self._ports.engine.begin() as connection:
            cohort = executions.lock(connection, cohort_id=claimed.id, epoch=claimed.epoch, exclusively=True)
            members = executions.members(connection, cohort)
            saga = self._sagas.get(cohort.saga, cohort.version)
            alone = len(members) == 1
            departures = [
                state.apart(saga, cohort, member, n=None if alone else n % ISOLATION_LANES)
                for n, member in enumerate(members)
            ]
            cohorts.move_on(connection, cohort, departures)
            _tell_parked(cohort, departures)
        self._doorbell.ring(Bell.CLAIM)

    def _execute(
        self, place: Place, executor: str, begun: Begun | None, ahead: Sequence[Place]
    ) -> tuple[bool, Begun | None]:
        """
        :param begun: the step, if it was begun together with the end of the last one
        :param ahead: what comes next in the same stretch
        :return: whether the carrier goes on, and the next step if it has been begun
        """
        try:
            if begun is None:
                begun = self._patiently(lambda: self._begin(place, executor, ahead))
            result = self._act(begun)
        except StepPassed:
            return True, None
        except LostCohort:
            return False, None
        try:
            goes_on, following = self._patiently(lambda: self._finish(begun, result, ahead))
        except LostCohort:
            # the commit's answer may have been lost, not the commit
            return self._patiently(lambda: self._was_mine(place, executor)), None
        crash_points.reach(Point.AFTER_COMMIT, begun.definition.name, begun.cohort.direction.name.lower())
        return goes_on, following

    def _begin(self, place: Place, executor: str, ahead: Sequence[Place]) -> Begun:
        with self._ports.engine.begin() as connection:
            return self._begin_in(connection, place, executor, ahead, None)

    def _begin_in(
        self,
        connection: Connection,
        place: Place,
        executor: str,
        ahead: Sequence[Place],
        known: list[Member] | None,
    ) -> Begun:
        """:param known: the members, with what this step needs of them; None reads them, for the steps ahead too"""
        cohort, starts = executions.begin(
            connection,
            cohort_id=place.cohort_id,
            epoch=place.epoch,
            stage=place.stage,
            step=place.step,
            executor=executor,
        )
        saga = self._sagas.get(cohort.saga, cohort.version)
        definition = saga.steps[place.step]
        travelling = stretch.read(connection, cohort, saga, [place, *ahead]) if known is None else known
        refused: dict[int, Outcome] = {}
        held_back = pausing.lane(saga, definition, cohort) is not None
        if cohort.direction is Direction.FORWARD and place.stage <= saga.bounded_stage:
            refused = gate.expired(cohort, travelling, sure=starts == 1)
        if cohort.direction is Direction.FORWARD and definition.name == saga.pivot and not held_back:
            in_time = [m for m in travelling if m.run_id not in refused]
            refused |= gate.close(
                connection,
                cohort,
                in_time,
                needs_hold=saga.needs_hold,
                once=definition.compensation is None,
                sure=starts == 1,
            )
        members = [
            state.remembering(m, place.step)
            for m in travelling
            if m.run_id not in refused and state.due_for(m, place.step, cohort.direction)
        ]
        return Begun(place, cohort, saga, executor, starts, travelling, members, refused)

    def _act(self, begun: Begun) -> Result:
        """The outcomes of those that may not go on, and of the action for the others."""
        cohort, step, members, starts = begun.cohort, begun.definition, begun.members, begun.starts
        if lane := pausing.lane(begun.saga, step, cohort):
            held_back = pausing.held_back(members, lane, sure=starts == 1)
            return Result({**begun.refused, **held_back.outcomes})
        action = step.action if cohort.direction is Direction.FORWARD else step.compensation
        if not members or action is None:
            return Result(begun.refused)
        patience_s = PROVIDER_LANE_PATIENCE_S if is_provider_lane(cohort.lane) else PATIENCE_S
        call = Call(
            lane=cohort.lane,
            patience_s=patience_s,
            sure=starts == 1,
            cohort_id=cohort.id,
            step=begun.place.step,
            executor=begun.executor,
            paused=pausing.partners(cohort),
        )
        with (
            self._heartbeat.keeping(cohort.id, begun.place.step, begun.executor),
            self._limited(step.limit_s(cohort.lane)),
        ):
            crash_points.reach(Point.BEFORE_EFFECT, step.name, cohort.direction.name.lower())

            def act(part: Sequence[Member], sure: bool) -> Result:
                crash_points.meet(step.name, [member.given.get("customer_id") for member in part])
                return action(self._ports, replace(call, sure=sure), part)

            result = isolation.act(act, members, sure=call.sure, rejects=step.rejects)
            crash_points.reach(Point.AFTER_EFFECT, step.name, cohort.direction.name.lower())
        return Result({**begun.refused, **result.outcomes}, result.record)

    def _finish(self, begun: Begun, result: Result, ahead: Sequence[Place]) -> tuple[bool, Begun | None]:
        """Keep the outcomes and move the cohort on, and in the same transaction begin what comes next."""
        cohort, place, saga, step = begun.cohort, begun.place, begun.saga, begun.definition
        branches = len(saga.travelled(cohort.direction)[place.stage]) > 1
        following: Begun | None = None
        with self._ports.engine.begin() as connection:
            led = executions.lock(
                connection, cohort_id=cohort.id, epoch=cohort.epoch, exclusively=not branches
            )
            outcomes = result.record(connection, result.outcomes) if result.record else result.outcomes
            if step.optional and cohort.direction is Direction.FORWARD:
                outcomes = state.leaving_out(step, led, begun.members, outcomes)
            executions.finish(
                connection,
                cohort_id=cohort.id,
                epoch=cohort.epoch,
                step=place.step,
                executor=begun.executor,
                outcomes=outcomes,
            )
            known: list[Member] | None = None
            if branches:
                passed, travels = False, True
                known = begun.travelling
                ahead = [one for one in ahead if one.stage == place.stage]
            else:
                passed = led.direction is Direction.FORWARD and all(
                    o.verdict in PASSED for o in outcomes.values()
                )
                if passed:
                    travels = self._go_on(connection, led, saga)
                    known = stretch.carried(begun, outcomes, ahead)
                else:
                    by_run = {run_id: {place.step: outcome} for run_id, outcome in outcomes.items()}
                    travels = self._advance(connection, led, saga, by_run)
            if travels and ahead:
                with suppress(StepPassed, LostCohort):  # told when it is begun by itself
                    following = self._begin_in(connection, ahead[0], begun.executor, ahead[1:], known)
        if not branches:
            self._ring(passed=passed, travels=travels, emitted=step.emits)
        return travels, following

    def _join(self, cohort_id: int, epoch: int, stage: int) -> bool:
        with self._ports.engine.begin() as connection:
            cohort = executions.lock(connection, cohort_id=cohort_id, epoch=epoch, exclusively=True)
            if stage in cohort.itinerary[: cohort.leg]:
                raise StepPassed(cohort_id=cohort_id)
            saga = self._sagas.get(cohort.saga, cohort.version)
            steps = saga.travelled(cohort.direction)[stage]
            finished, passed = cohorts.branches(connection, cohort, steps)
            if finished != set(steps):
                raise LostCohort(cohort_id=cohort_id, epoch=epoch)
            if passed:
                travels = self._go_on(connection, cohort, saga)
            else:
                by_run = cohorts.branch_outcomes(connection, cohort, steps)
                travels = self._advance(connection, cohort, saga, by_run)
        self._ring(passed=passed, travels=travels, emitted=False)
        return travels

    def _advance(
        self, connection: Connection, cohort: Cohort, saga: Saga, by_run: dict[int, dict[int, Outcome]]
    ) -> bool:
        """:param by_run: outcomes of the stage by run and step"""
        none: dict[int, Outcome] = {}
        departures = []
        # bare: the decision is pure, and needs no columns
        for member in executions.members(connection, cohort):
            departure = state.decide(saga, cohort, member, by_run.get(member.run_id, none))
            if departure:
                departures.append(departure)
        travels = cohorts.move_on(connection, cohort, departures)
        _tell_parked(cohort, departures)
        undone = {d.id: d.failure for d in departures if d.ends_in_failure and d.failure}
        if undone:
            saga.on_undone(connection, undone)
        return travels

    def _go_on(self, connection: Connection, cohort: Cohort, saga: Saga) -> bool:
        """Everybody has got through: one fate for all, whatever their number."""
        if cohort.at_last_leg:
            cohorts.arrive(connection, cohort, state.arrival(saga, cohort))
            return False
        return cohorts.move_on(connection, cohort, [])

    def _was_mine(self, place: Place, executor: str) -> bool:
        with self._ports.engine.begin() as connection:
            return executions.finished_by(
                connection, cohort_id=place.cohort_id, step=place.step, executor=executor
            )

    def _send(self, claimed: Claimed, *, leg: int) -> None:
        try:
            incarnation = self._carrier.incarnation()
            self._carrier.send(claimed, leg=leg)
        except Exception as error:  # noqa: BLE001 (whatever the broker's client raises, the sweep sends it again)
            log.warning("cohort-not-sent", cohort_id=claimed.id, error=type(error).__name__)
            return
        with self._ports.engine.begin() as connection:
            cohorts.mark_sent(connection, claimed.id, epoch=claimed.epoch, incarnation=incarnation)

    def _itinerary(self, lane: str, group: Sequence[cohorts.Waiting]) -> tuple[int, ...] | str:
        return state.itinerary(self._sagas.get(group[0].saga, group[0].version), group, lane)

    def _ring(self, *, passed: bool, travels: bool, emitted: bool) -> None:
        if not passed or not travels:
            self._doorbell.ring(Bell.CLAIM)
        if not passed or emitted or not travels:
            self._doorbell.ring(Bell.RELAY)

    def _patiently(self, work: Callable[[], T]) -> T:
        """Do it again while Postgres is away, for half a minute: a step that has acted must not forget its answers."""
        until = time.monotonic() + DATABASE_PATIENCE_S
        while True:
            try:
                return work()
            except (OperationalError, InterfaceError) as error:
                if time.monotonic() > until:
                    raise
                log.warning("database-away", error=type(error.orig).__name__)
                time.sleep(0.2)


def _tell_parked(cohort: Cohort, departures: Sequence[Departure]) -> None:
    """One line for the cohort, whatever the number of its orders that now need a person."""
    why = Counter(departure.parked_for for departure in departures if departure.state is RunState.PARKED)
    if why:
        reasons = {" ".join(reason): runs for reason, runs in why.items()}
        log.error("runs-parked", cohort_id=cohort.id, saga=cohort.saga, runs=why.total(), reasons=reasons)
