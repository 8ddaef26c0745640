"""
The circuit breakers, shared by all workers: a row per partner who has ever failed.

While all is well nothing is written, and the rows are read at most once a second by each process. So the same holds
when Redis is away, or emptied.
"""

import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import InterfaceError, OperationalError

from app import act_log, errors
from app.act_log import Line
from app.orders.document import Moment
from app.routing import breaker as moves
from app.routing.breaker import PROBE_LASTS, Breaker, BreakerState

FRESH_S = 1.0
ACTS_TOLD = 20

_COLUMNS = "partner, failed_at, probe_at, probing_until, forced, forced_until"
_READ = text(f"SELECT {_COLUMNS}, clock_timestamp() AS now FROM breakers")
_LOCK = text(f"SELECT {_COLUMNS}, clock_timestamp() AS now FROM breakers WHERE partner = :partner FOR UPDATE")
_MAKE = text("INSERT INTO breakers (partner) VALUES (:partner) ON CONFLICT DO NOTHING")
_WRITE = text("""
    UPDATE breakers SET failed_at = CAST(:failed_at AS timestamptz[]), probe_at = :probe_at,
        probing_until = :probing_until, openings = openings + :opened,
        changed_at = CASE WHEN :changed THEN clock_timestamp() ELSE changed_at END
    WHERE partner = :partner
""")

log = structlog.get_logger()


class NotForced(errors.Conflict):
    """Nobody has set this breaker by hand."""

    code = "not-forced"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerView:
    """
    One partner's breaker. `failures`: calls failed in a row; `probe_at`: when he is tried again; `openings`: how often
    it has opened; the rest tells of an operator who holds it open or closed.
    """

    partner: str
    state: BreakerState
    failures: int
    probe_at: Moment | None
    openings: int
    changed_at: Moment | None
    forced_until: Moment | None
    who: str | None
    why: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerAct:
    """One line of the log of acts. `act`: force-open, force-closed or release."""

    at: Moment
    act: str
    partner: str
    who: str
    why: str


class Breakers:
    """The breakers as one process sees them; for all its threads, and usable on both sides of a fork."""

    def __init__(self, engine: Engine, *, fresh_s: float = FRESH_S) -> None:
        """:param fresh_s: for how long what was read is believed"""
        self._engine, self._fresh_s = engine, fresh_s
        self._lock = threading.Lock()
        self._seen: dict[str, Breaker] = {}
        self._read_at: tuple[datetime, float] | None = None  # by the database's clock, and by ours
        self._until = 0.0

    def barred(self) -> Mapping[str, BreakerState]:
        """The partners of whom nothing new is asked, or a probe only."""
        self._refresh()
        if self._read_at is None:
            return {}
        then, read_at = self._read_at
        now = then + timedelta(seconds=time.monotonic() - read_at)
        states = {name: each.state(now) for name, each in self._seen.items()}
        return {name: state for name, state in states.items() if state is not BreakerState.CLOSED}

    def note_answer(self, partner: str, *, dispatched: bool) -> None:
        """A call was answered."""
        self._refresh()
        if partner in self._seen and not self._seen[partner].is_clean:
            self._move(partner, lambda b, now: moves.after_answer(b, now, dispatched=dispatched))

    def note_failure(self, partner: str, *, waited_s: float) -> None:
        """A call brought no answer."""
        self._move(partner, lambda b, now: moves.after_failure(b, now, waited_s=waited_s))

    def take_probe(self, partner: str) -> bool:
        """Whether the caller may probe the partner now, and for the next seconds nobody else."""
        taken = False

        def take(found: Breaker, now: datetime) -> Breaker:
            nonlocal taken
            taken = found.may_probe(now)
            return replace(found, probing_until=now + PROBE_LASTS) if taken else found

        self._move(partner, take)
        return taken

    def _refresh(self) -> None:
        if time.monotonic() < self._until:
            return
        with suppress(OperationalError, InterfaceError), self._engine.begin() as connection:
            found = connection.execute(_READ).all()
            with self._lock:
                self._seen = {row.partner: _breaker(row) for row in found}
                self._read_at = (found[0].now, time.monotonic()) if found else None
        self._until = time.monotonic() + self._fresh_s

    def _move(self, partner: str, move: Callable[[Breaker, datetime], Breaker]) -> None:
        """Decide on the locked row. While the database is away nothing is noted: answers must not be lost."""
        with suppress(OperationalError, InterfaceError), self._engine.begin() as connection:
            row = connection.execute(_LOCK, {"partner": partner}).one_or_none()
            if row is None:
                connection.execute(_MAKE, {"partner": partner})
                row = connection.execute(_LOCK, {"partner": partner}).one()
            before = _breaker(row)
            after = move(before, row.now)
            if after != before:
                _write(connection, before, after)
                with self._lock:
                    self._seen[partner], self._read_at = after, (row.now, time.monotonic())


def force(
    connection: Connection,
    partner: str,
    state: BreakerState,
    *,
    for_s: float,
    tenant_id: str,
    who: str,
    why: str,
) -> None:
    """Hold it open or closed for so many seconds, whatever the calls say; what they say is noted all the same."""
    connection.execute(
        text("""
            INSERT INTO breakers AS b (partner, forced, forced_until, who, why)
            VALUES (:partner, :state, clock_timestamp() + make_interval(secs => :for_s), :who, :why)
            ON CONFLICT (partner) DO UPDATE SET forced = excluded.forced, forced_until = excluded.forced_until,
                who = excluded.who, why = excluded.why, changed_at = clock_timestamp()
        """),
        {"partner": partner, "state": state, "for_s": for_s, "who": who, "why": why},
    )
    told = {"partner": partner, "forced": state, "for_s": for_s}
    act_log.write(connection, [Line(tenant_id=tenant_id, act=f"force-{state}", who=who, why=why, after=told)])


def release(connection: Connection, partner: str, *, tenant_id: str, who: str, why: str) -> None:
    """
    Leave it to the calls again.

    :raises NotForced:
    """
    released = connection.execute(
        text("""
            UPDATE breakers SET forced = NULL, forced_until = NULL, who = NULL, why = NULL,
                changed_at = clock_timestamp() WHERE partner = :partner AND forced_until > clock_timestamp()
        """),
        {"partner": partner},
    )
    if not released.rowcount:
        raise NotForced(detail=f"The breaker of {partner} is not held by hand.")
    act_log.write(
        connection,
        [Line(tenant_id=tenant_id, act="release", who=who, why=why, after={"partner": partner})],
    )


def views(connection: Connection, partners: Collection[str]) -> list[BreakerView]:
    """Those of these partners, by name; who has never failed has a closed one."""
    result = connection.execute(
        text("""
            SELECT p.partner, failed_at, probe_at, probing_until, forced, forced_until, openings, changed_at,
                who, why, clock_timestamp() AS now
            FROM unnest(CAST(:partners AS text[])) AS p(partner) LEFT JOIN breakers b ON b.partner = p.partner
            ORDER BY p.partner
        """),
        {"partners": sorted(partners)},
    )
    return [_view(row) for row in result]


def past_acts(connection: Connection) -> list[BreakerAct]:
    """What operators did to breakers lately, newest first."""
    result = connection.execute(
        text("""
            SELECT at, act, after ->> 'partner' AS partner, who, why FROM ops_acts
            WHERE run_id IS NULL AND act IN ('force-open', 'force-closed', 'release') ORDER BY id DESC LIMIT :most
        """),
        {"most": ACTS_TOLD},
    )
    return [BreakerAct(**row._mapping) for row in result]


def _write(connection: Connection, before: Breaker, after: Breaker) -> None:
    opened = after.probe_at is not None and before.probe_at is None
    closed = after.probe_at is None and before.probe_at is not None
    connection.execute(
        _WRITE,
        {
            "partner": after.partner,
            "failed_at": list(after.failed_at),
            "probe_at": after.probe_at,
            "probing_until": after.probing_until,
            "opened": int(opened),
            "changed": opened or closed,
        },
    )
    if opened:
        log.warning("breaker-opened", partner=after.partner)
    elif closed:
        log.info("breaker-closed", partner=after.partner)


def _breaker(row: Any) -> Breaker:
    return Breaker(
        partner=row.partner,
        failed_at=tuple(row.failed_at or ()),
        probe_at=row.probe_at,
        probing_until=row.probing_until,
        forced=BreakerState(row.forced) if row.forced else None,
        forced_until=row.forced_until,
    )


def _view(row: Any) -> BreakerView:
    found = _breaker(row)
    held = found.forced_until is not None and row.now < found.forced_until
    return BreakerView(
        partner=row.partner,
        state=found.state(row.now),
        failures=len(found.failed_at),
        probe_at=row.probe_at,
        openings=row.openings or 0,
        changed_at=row.changed_at,
        forced_until=row.forced_until if held else None,
        who=row.who if held else None,
        why=row.why if held else None,
    )
