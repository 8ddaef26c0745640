"""One fault under load: play orders, inject it in the middle, wait for all ends, audit, measure."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fault_stack import Place, Stack, awaited

from infra.audit import Report, audit
from infra.demo import arrivals, city, journal
from infra.demo.pacing import Schedule
from infra.demo.play import Progress, Scene, Summary, play

ORDERS, RATE = 450, 200.0
BEFORE = 150  # orders accepted before the fault
FAILING = 0.1  # refused for good, so that compensations run all the time
SETTLED_WITHIN_S = 60.0

_ENDS = """
    SELECT r.state, extract(epoch FROM r.updated_at)::float, j.sent FROM unnest(%s, %s) j(id, sent)
    JOIN uoop_orders o ON o.id = j.id JOIN runs r ON r.id = o.run_id
"""


def _nothing(_stack: Stack, _summary: Summary) -> str | None:
    return None


@dataclass(frozen=True, kw_only=True)
class Fault:
    """
    One row of the table.

    :param inject: brings the fault about, and returns when it is over (at once for a kill)
    :param shown: after the run: why the fault has not shown what it should; None if it has
    :param quick: whether it belongs to the quick suite
    :param place: what the platform must run on for it
    :param target_s: within which time the platform is to be caught up, where a time is promised
    :param settles: whether no order stands parked after it
    :param rate: orders a second
    """

    name: str
    inject: Callable[[Stack], None]
    shown: Callable[[Stack, Summary], str | None] = _nothing
    quick: bool = False
    place: Place = Place.PLAIN
    settles: bool = True
    target_s: float | None = None
    orders: int = ORDERS
    rate: float = RATE

    @property
    def needs_root(self) -> bool:
        return self.place is Place.SMALL_DISK


@dataclass
class Result:
    """
    What became of one fault. Seconds from the fault's end.

    A missed target is shown, and breaks no promise.

    :param goes_on_s: until the next run ended
    :param caught_up_s: until every run had ended whose order was sent before the fault was over
    :param took_s: the whole row, with its load and its audits
    """

    name: str
    target_s: float | None = None
    broken: list[str] = field(default_factory=list)
    summary: Summary | None = None
    goes_on_s: float | None = None
    caught_up_s: float | None = None
    took_s: float = 0.0

    @property
    def clean(self) -> bool:
        return not self.broken

    @property
    def in_time(self) -> bool:
        return self.target_s is None or (self.caught_up_s or 0.0) <= self.target_s

    @property
    def line(self) -> str:
        counts = ""
        if self.summary:
            s = self.summary
            counts = f"{s.confirmed} confirmed, {s.compensated + s.failed} failed, {s.parked} parked"
        times = f"goes on {_seconds(self.goes_on_s)}, caught up {_seconds(self.caught_up_s)}"
        verdict = "clean" if self.clean else "BROKEN: " + "; ".join(self.broken)
        return f"{self.name:<46} {times}  {counts}  took {self.took_s:.0f} s  {verdict}"


def run(stack: Stack, fault: Fault) -> Result:
    """Play one fault; whatever goes wrong is in the result."""
    began = time.monotonic()
    result = Result(fault.name, fault.target_s)
    place = city.city(1)
    scene = Scene(
        place.restaurants,
        place.couriers,
        city.orders(place, fault.orders, failure_rate=FAILING),
        Schedule(arrivals.evenly(fault.orders, rate=fault.rate)),
    )
    over_at: list[float] = []

    def inject() -> None:
        try:
            fault.inject(stack)
        except Exception as error:  # noqa: BLE001 (the fault could not be brought about: that is the finding)
            result.broken.append(f"not injected: {type(error).__name__}: {error}")
        over_at.append(time.time())

    injector = threading.Thread(target=inject, name="fault", daemon=True)

    def tell(progress: Progress) -> None:
        if progress.accepted >= BEFORE and not injector.ident:
            injector.start()

    try:
        result.summary, _ = play(stack.settings, scene, tell)
        injector.join()
        _judge(stack, fault, result, over_at[0])
    except Exception as error:  # noqa: BLE001 (one fault must not end the suite)
        result.broken.append(f"{type(error).__name__}: {error}")
    result.took_s = time.monotonic() - began
    return result


def _judge(stack: Stack, fault: Fault, result: Result, over_at: float) -> None:
    summary = result.summary
    assert summary
    journals = sorted((stack.settings.home / "journals").glob("*.jsonl"))
    report = settled(stack, journals)
    result.broken += [finding.line for finding in report.violations]
    if summary.accepted != fault.orders:
        result.broken.append(f"{fault.orders - summary.accepted} of {fault.orders} not accepted")
    if told := fault.shown(stack, summary):
        result.broken.append(told)
    result.goes_on_s, result.caught_up_s = _recovery(stack, Path(summary.journal), over_at)


def settled(stack: Stack, journals: list[Path], *, within_s: float = SETTLED_WITHIN_S) -> Report:
    """The last audit: the first that finds nothing to complain of, or the one at the end of the patience."""
    end = time.monotonic() + within_s
    while True:
        report: Report = awaited(lambda: audit(stack.settings, journals, settled=True), "an audit")
        if report.clean or time.monotonic() > end:
            return report
        time.sleep(1.0)


def _recovery(stack: Stack, kept: Path, over_at: float) -> tuple[float | None, float | None]:
    sent = {promise.id: promise.first_sent_at for promise in journal.read(kept)}
    ends = [
        (at, sent_at)
        for state, at, sent_at in stack.sql(_ENDS, list(sent), list(sent.values()))
        if state in ("e", "p") and at > over_at
    ]
    goes_on = min((at for at, _ in ends), default=None)
    caught_up = max((at for at, sent_at in ends if sent_at < over_at), default=None)
    return (goes_on - over_at if goes_on else None), (caught_up - over_at if caught_up else None)


def table(results: Sequence[Result]) -> str:
    """Markdown, to be pasted into docs/reliability.md; deaths at crash points are one row."""
    deaths = [result for result in results if result.name.startswith("dies ")]
    lines = ["| fault | goes on, s | caught up, s | target, s | |", "|---|---|---|---|---|"]
    if deaths:
        took = sorted(result.caught_up_s or 0.0 for result in deaths)
        within = sum(result.in_time for result in deaths)
        lines.append(
            f"| a death at each of {len(deaths)} crash points: every step forward and back, and elsewhere | "
            f"| median {took[len(took) // 2]:.1f}, most {took[-1]:.1f} | {within} of {len(deaths)} in time "
            f"| {sum(result.clean for result in deaths)} of {len(deaths)} clean |"
        )
    for result in results:
        if result not in deaths:
            target = f"{result.target_s:.0f}{'' if result.in_time else ' missed'}" if result.target_s else ""
            goes_on, caught_up = (
                "all had ended" if value is None else f"{value:.2f}"
                for value in (result.goes_on_s, result.caught_up_s)
            )
            lines.append(
                f"| {result.name} | {goes_on} | {caught_up} | {target} "
                f"| {'clean' if result.clean else 'BROKEN'} |"
            )
    return "\n".join(lines)


def _seconds(value: float | None) -> str:
    return "   -  " if value is None else f"{value:5.2f}s"
