"""A whole run: make the city known, send, watch, wait for the events, count, audit."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from app import database, errors
from app.fleet import service as fleet
from app.restaurants import service as restaurants
from app.tenants.service import DEFAULT_TENANT
from infra.audit import Report, audit
from infra.demo import journal, report
from infra.demo.city import Order
from infra.demo.journal import Journal
from infra.demo.load import Load, Refusal, Tally
from infra.demo.pacing import Pace
from infra.demo.watch import Watch
from infra.settings import Settings
from infra.supervisor import state

LOOK_EVERY_S = 0.2
LOOK_FOR_PARKED_EVERY_S = 2.0
SUPERVISED_AGAIN_WITHIN_S = 10.0
PATIENCE_S = 180.0  # without an order accepted or ended: longer than any recovery takes
EVENTS_WITHIN_S = 30.0
STORES_BACK_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Scene:
    """What is to be played: who is in the city, and the orders."""

    restaurants: Sequence[restaurants.RestaurantEntry]
    couriers: Sequence[fleet.CourierEntry]
    orders: Iterator[Order]
    pace: Pace


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is."""

    accepted: int
    confirmed: int
    failed: int


@dataclass(frozen=True, slots=True)
class Summary:
    """
    What a run came to. Times in seconds; `None` where nothing was measured.

    :param refused: submissions that the API refused for good
    :param unanswered: submissions that were never answered
    :param audit: "clean" or "violated"
    :param audit_lines: what the audit said, if it found something
    """

    accepted: int
    confirmed: int
    compensated: int
    failed: int
    parked: int
    lost: int
    duplicates: int
    refused: int
    unanswered: int
    p50_s: float | None
    p99_s: float | None
    events: int
    events_delivered: int
    events_p99_s: float | None
    orders_per_s: float
    shed: int
    resent: int
    behind_s: float
    client_us_per_order: float
    reasons: dict[str, int] = field(default_factory=dict)
    audit: str = "clean"
    audit_lines: Sequence[str] = ()
    journal: str = ""

    @property
    def good(self) -> bool:
        """Nothing was lost, and the audit found nothing."""
        return not self.lost and not self.unanswered and self.audit == "clean"

    def as_json(self) -> dict[str, Any]:
        return {
            name: round(value, 4) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }


class Stopped(errors.Unavailable):
    """The platform has stopped in the middle of the run."""

    code = "stopped"

    def __str__(self) -> str:
        return (
            f"the platform stopped in mid-run: `uoop up` finishes the orders, then "
            f"`uoop audit --journal {self.data['journal']}` tells whether all is well"
        )


def play(settings: Settings, scene: Scene, tell: Callable[[Progress], None]) -> tuple[Summary, list[Refusal]]:
    """
    Play the scene against the platform on this home.

    :param tell: called a few times a second
    :raises Stopped: if the platform goes away for good
    """
    engine = database.engine(settings.database_url.get_secret_value(), pool_size=2)
    token = (settings.home / "api-key").read_text().strip()
    load = Load(settings.host, settings.port, token)
    path = settings.home / "journals" / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}.jsonl"
    try:
        with engine.begin() as connection:
            restaurants.register(connection, DEFAULT_TENANT, scene.restaurants)
            fleet.register(connection, DEFAULT_TENANT, scene.couriers)
            since = report.mark(connection)
        with Journal(path) as promises:
            _send_and_watch(settings, load, scene, Watch(engine), promises, tell)
        _await(engine, EVENTS_WITHIN_S, lambda connection: report.undelivered(connection) == 0)
        return _summary(settings, engine, path, since, load.tally), load.tally.refusals
    finally:
        engine.dispose()


def _send_and_watch(
    settings: Settings,
    load: Load,
    scene: Scene,
    watch: Watch,
    kept: Journal,
    tell: Callable[[Progress], None],
) -> None:
    sender = threading.Thread(
        target=load.run, args=(scene.orders, scene.pace, kept), name="load", daemon=True
    )
    sender.start()
    try:
        _watch(settings, load, scene.pace, watch, sender, kept.path, tell)
    finally:
        load.stopped = True
        sender.join()


def _watch(
    settings: Settings,
    load: Load,
    pace: Pace,
    watch: Watch,
    sender: threading.Thread,
    path: Path,
    tell: Callable[[Progress], None],
) -> None:
    """Look until everything is sent and has ended, or until nothing moves any more."""
    patience, parked_after = _Patience(settings.home, path), 0.0
    while patience.lasts(load.tally.accepted, load.ended):
        sending, now = sender.is_alive(), time.monotonic()
        while load.promises:
            watch.add([load.promises.popleft()])
        slow_s = watch.look(parked=now >= parked_after)
        if now >= parked_after:
            parked_after = now + LOOK_FOR_PARKED_EVERY_S
        outstanding, load.ended = load.outstanding, watch.ended + len(watch.parked)
        tell(Progress(load.tally.accepted, watch.confirmed, watch.failed))
        pace.adapt(now, slow_s=slow_s, outstanding=outstanding, shed=load.tally.shed)
        if not sending and not load.promises and not watch.pending:
            return
        time.sleep(LOOK_EVERY_S)


class _Patience:
    """Lasts while orders are accepted or end."""

    def __init__(self, home: Path, journal_path: Path) -> None:
        self._home, self._journal = home, journal_path
        self._seen = (0, 0)
        self._moved_at = time.monotonic()

    def lasts(self, accepted: int, ended: int) -> bool:
        """:raises Stopped: if nothing moves because the platform has been stopped"""
        if (accepted, ended) != self._seen:
            self._seen, self._moved_at = (accepted, ended), time.monotonic()
        still_s = time.monotonic() - self._moved_at
        if still_s > SUPERVISED_AGAIN_WITHIN_S and not state.is_held(self._home):
            raise Stopped(journal=str(self._journal))
        return still_s < PATIENCE_S


def _summary(settings: Settings, engine: Engine, path: Path, since: report.Mark, tally: Tally) -> Summary:
    promises = list(journal.read(path))
    found: list[tuple[report.Outcomes, report.Events]] = []

    def count(connection: Any) -> bool:
        ahead_s = report.clock_ahead_s(connection)
        counted = report.outcomes(connection, promises, clock_ahead_s=ahead_s)
        found.append((counted, report.events(connection, promises, since)))
        return True

    _await(engine, STORES_BACK_WITHIN_S, count)
    if not found:
        raise Stopped(journal=str(path))
    outcomes, events = found[-1]
    audited = _audit(settings, path)
    return Summary(
        accepted=outcomes.accepted,
        confirmed=outcomes.confirmed,
        compensated=outcomes.compensated,
        failed=outcomes.failed,
        parked=outcomes.parked,
        lost=outcomes.lost,
        duplicates=audited.duplicates,
        refused=len(tally.refusals),
        unanswered=tally.sent - tally.accepted - len(tally.refusals),
        p50_s=report.percentile(outcomes.waits_s, 0.50),
        p99_s=report.percentile(outcomes.waits_s, 0.99),
        events=events.count,
        events_delivered=events.delivered,
        events_p99_s=events.p99_s,
        orders_per_s=outcomes.orders_per_s(tally.first_sent_at),
        shed=tally.shed,
        resent=tally.resent,
        behind_s=tally.behind_s,
        client_us_per_order=tally.cpu_s / max(tally.sent, 1) * 1e6,
        reasons=outcomes.reasons,
        audit="clean" if audited.clean else "violated",
        audit_lines=[] if audited.clean else list(audited.lines),
        journal=str(path),
    )


def _audit(settings: Settings, path: Path) -> Report:
    """A store that was killed a moment ago is given time to come back."""
    end = time.monotonic() + STORES_BACK_WITHIN_S
    while True:
        try:
            return audit(settings, journals=[path])
        except errors.Unavailable:
            if time.monotonic() > end:
                raise
            time.sleep(LOOK_EVERY_S)


def _await(engine: Engine, within_s: float, holds: Callable[[Any], bool]) -> None:
    """Ask Postgres until it says so, or until the bound; it may be away for a while."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        with suppress(SQLAlchemyError), engine.connect() as connection:
            if holds(connection):
                return
        time.sleep(LOOK_EVERY_S)
