"""Deliveries under way: reports are applied; who has not reported in time is asked, and replaced."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from app.deliveries import service, watch
from app.deliveries.service import RerouteBy
from app.doorbell import Bell
from app.providers.port import Answer, Resource
from app.runs import dispatched
from app.runs.dispatched import Dispatched
from sagas.fulfill_order import FULFILL_ORDER
from sagas.ports import Ports
from sagas.refund_order import REFUND_ORDER
from sagas.reroute_order import REROUTE_ORDER
from sagas.scheduled_order import FULFILL_SCHEDULED_ORDER

# once the order is promised, only the money is left to these
_MONEY_ONLY = (FULFILL_ORDER, FULFILL_SCHEDULED_ORDER, REFUND_ORDER)
REROUTE_BY = RerouteBy(
    REROUTE_ORDER.name, REROUTE_ORDER.version, frozenset(saga.name for saga in _MONEY_ONLY)
)
PATIENCE_S = 2.0  # the one who asks has other things to do as well


def apply_reports(ports: Ports) -> tuple[int, bool]:
    """
    Apply one batch.

    :return: how many reports it had, and whether some have begun to wait just now, so that it is worth staying
    """
    with ports.engine.begin() as connection:
        service.wake(connection)
        applied = service.apply(connection, REROUTE_BY)
        soon = service.waits_briefly(connection)
    if applied.rerouted:
        ports.doorbell.ring(Bell.CLAIM)
    if applied.moved:
        ports.doorbell.ring(Bell.RELAY)
    return applied.reports, soon


def watch_deliveries(ports: Ports) -> int:
    """
    Ask the partners of overdue deliveries how they go on, and store what that means as reports.

    :return: how many reports that were
    """
    if not ports.silence_s:
        return 0
    with ports.engine.begin() as connection:
        overdue = watch.take(connection, ports.silence_s)
        asked = [each.order_id for each in overdue if each.may_be_rerouted]
        standing = dispatched.standing(connection, asked)
    answers = _find(ports, list(standing.values()))
    now = datetime.now(UTC)
    reports = [watch.report_on(each, answers.get(each.order_id), at=now) for each in overdue]
    with ports.engine.begin() as connection:
        stored = service.store(connection, [report for report in reports if report])
    if stored:
        ports.doorbell.ring(Bell.REPORTS)
    return stored


def _find(ports: Ports, dispatches: Sequence[Dispatched]) -> Mapping[str, Answer]:
    """What the partners say of the dispatches, by order id; all partners side by side."""
    groups: dict[str, list[Dispatched]] = {}
    for each in dispatches:
        groups.setdefault(each.partner, []).append(each)

    def ask(partner: str) -> list[Answer]:
        keys = [each.key for each in groups[partner]]
        return ports.delivery[partner].find(Resource.DISPATCHES, keys, timeout_s=PATIENCE_S)

    if not groups:
        return {}
    with ThreadPoolExecutor(max_workers=len(groups)) as pool:
        told = zip(groups.values(), pool.map(ask, groups), strict=True)
    return {
        each.order_id: answer for group, answers in told for each, answer in zip(group, answers, strict=True)
    }
