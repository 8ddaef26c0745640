"""The tasks that look for work: rung by the doorbell in milliseconds, called by beat in any case."""

import time
from collections.abc import Sequence

from celery import shared_task

from app.doorbell import Bell
from tasks import names
from tasks.base import ControlTask, Services

LOOK_AGAIN_S = 0.25  # whoever comes into another lane meanwhile waits no longer than that
SHORTEST_WAIT_S = 0.01
CLAIM_AT_MOST_S = 1.0  # sweeps and reports wait for the same processes
LINGER_S = 0.25
PACE_S = 0.1
MANY = 2000  # events moved in one round: more are waiting
RELAY_AT_MOST_S = 5.0
SENDING_AT_MOST_S = 90  # its own stay, the slowest answer, and a name server that is silent
REPORTS_AT_MOST_S = 5.0


@shared_task(name=names.CLAIM, bind=True, base=ControlTask)
def claim(self: ControlTask, **_: object) -> None:
    """Start what may start, and stay as long as there is a lane that soon may; nobody need ring meanwhile."""
    doorbell, engine = self.services.doorbell, self.services.engine
    if not doorbell.stay(Bell.CLAIM):
        return
    until = time.monotonic() + CLAIM_AT_MOST_S
    while True:
        doorbell.silence(Bell.CLAIM)
        wait_s = engine.claim()
        if wait_s is None or time.monotonic() > until:
            break
        time.sleep(min(max(wait_s, SHORTEST_WAIT_S), LOOK_AGAIN_S))
    doorbell.leave(Bell.CLAIM)
    if engine.claim() is not None:
        doorbell.ring(Bell.CLAIM)


@shared_task(name=names.SWEEP, bind=True, base=ControlTask)
def sweep(self: ControlTask, **_: object) -> None:
    self.services.engine.sweep()


@shared_task(name=names.CARRIER_DIED, bind=True, base=ControlTask)
def carrier_died(
    self: ControlTask, *, cohort_id: int, epoch: int, steps: Sequence[int] = (), **_: object
) -> None:
    self.services.engine.carrier_died(cohort_id, epoch, steps)


@shared_task(name=names.RELAY, bind=True, base=ControlTask)
def relay(self: ControlTask, **_: object) -> None:
    """Publish, and if there was anything, stay until the door has been quiet for a moment: nobody need ring then."""
    services, doorbell = self.services, self.services.doorbell
    if not doorbell.stay(Bell.RELAY):
        return
    quiet_since = time.monotonic() - LINGER_S  # the first look decides whether to stay
    until = time.monotonic() + RELAY_AT_MOST_S
    while time.monotonic() < until:
        doorbell.silence(Bell.RELAY)
        moved = _relay_once(services)
        if moved:
            quiet_since = time.monotonic()
        elif time.monotonic() - quiet_since > LINGER_S:
            break
        if moved < MANY:
            time.sleep(PACE_S)
    doorbell.leave(Bell.RELAY)
    if _relay_once(services) or time.monotonic() > until:
        doorbell.ring(Bell.RELAY)


@shared_task(
    name=names.SEND_WEBHOOKS,
    bind=True,
    base=ControlTask,
    soft_time_limit=SENDING_AT_MOST_S,
    time_limit=SENDING_AT_MOST_S + 10,
)
def send_webhooks(self: ControlTask, **_: object) -> None:
    self.services.doorbell.answer(Bell.WEBHOOKS)
    self.services.send_webhooks()


@shared_task(name=names.APPLY_REPORTS, bind=True, base=ControlTask)
def apply_reports(self: ControlTask, **_: object) -> None:
    """Apply reports until there are none, and stay for those whose orders are confirmed any moment."""
    services = self.services
    services.doorbell.answer(Bell.REPORTS)
    started = time.monotonic()
    while time.monotonic() - started < REPORTS_AT_MOST_S:
        applied, soon = services.apply_reports()
        if not applied and not soon:
            return
        if not applied:
            time.sleep(PACE_S)
    services.doorbell.ring(Bell.REPORTS)


@shared_task(name=names.WATCH_DELIVERIES, bind=True, base=ControlTask)
def watch_deliveries(self: ControlTask, **_: object) -> None:
    self.services.watch_deliveries()


@shared_task(name=names.RECONCILE, bind=True, base=ControlTask)
def reconcile(self: ControlTask, **_: object) -> None:
    self.services.doorbell.answer(Bell.RECONCILE)
    self.services.reconcile()


@shared_task(name=names.MEND_CAPACITY, bind=True, base=ControlTask)
def mend_capacity(self: ControlTask, **_: object) -> None:
    self.services.mend_capacity()


@shared_task(name=names.MEASURE_CAPACITY, bind=True, base=ControlTask)
def measure_capacity(self: ControlTask, **_: object) -> None:
    self.services.measure_capacity()


@shared_task(name=names.FORECAST, bind=True, base=ControlTask)
def forecast(self: ControlTask, **_: object) -> None:
    self.services.forecast()


@shared_task(name=names.MAINTAIN, bind=True, base=ControlTask)
def maintain(self: ControlTask, **_: object) -> None:
    self.services.maintain()


@shared_task(name=names.SETTLE, bind=True, base=ControlTask)
def settle(self: ControlTask, **_: object) -> None:
    self.services.settle()


@shared_task(name=names.REPLAN_POOL, bind=True, base=ControlTask)
def replan_pool(self: ControlTask, **_: object) -> None:
    self.services.replan_pool()


def _relay_once(services: Services) -> int:
    moved = services.sequence()
    return moved + services.relays.run_once()
