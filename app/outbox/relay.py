"""The relay: takes each sink on from its own place in the log; a sink that is away delays nobody else."""

import time
from collections.abc import Callable, Sequence
from datetime import date, timedelta

import structlog
from sqlalchemy import Connection, Engine, text

from app import crash_points, leases
from app.crash_points import Point
from app.outbox import dead_letters
from app.outbox.model import Event
from app.outbox.port import EventRefused, Sink, SinkAway

BATCH = 2000
LEASE_S = 2.0
LOOK_EVERY_S = 1.0
TRIES = 5  # of an event that the sink refuses, before it is put aside
REPUBLISHED_AFTER_LOSS = timedelta(hours=1)

log = structlog.get_logger()


def _nobody(_: Sequence[Event]) -> None:
    """Nobody is watching."""


def _always() -> bool:
    return True


class Relay:
    """Publishes for one sink. Any number may run: a lease lets one at a time work, and order is the sink's own."""

    def __init__(
        self,
        engine: Engine,
        sink: Sink,
        *,
        holder: str,
        observe: Callable[[Sequence[Event]], None] = _nobody,
        look_every_s: float = LOOK_EVERY_S,
        is_wanted: Callable[[], bool] = _always,
    ) -> None:
        """
        :param observe: is shown each event once, when the sink has taken it for the first time
        :param look_every_s: how often an idle relay looks whether the sink still has what it had
        :param is_wanted: while it is False, events are passed over unread
        """
        self._is_wanted = is_wanted
        self._engine, self._sink, self._holder, self._observe = engine, sink, holder, observe
        self._look_every_s, self._looked_at = look_every_s, 0.0

    @property
    def sink(self) -> str:
        return self._sink.name

    def run_once(self) -> int:
        """
        Publish one batch.

        :return: how many events the sink has taken; 0 also if another relay holds the lease or the sink is away
        """
        name = f"relay:{self._sink.name}"
        with self._engine.begin() as connection:
            pos, day, head = self._place(connection)
        if head > pos and not self._is_wanted():
            return self._pass_over(pos)
        try:
            if head <= pos and not self._was_emptied(pos):
                return 0
            with self._engine.begin() as connection:
                # what is lost of a lease or a position in a crash of Postgres is only done again
                connection.execute(text("SET LOCAL synchronous_commit = off"))
                fence = leases.take(connection, name, holder=self._holder, for_s=LEASE_S)
            return 0 if fence is None else self._publish(name, fence, pos, day)
        except SinkAway as error:
            log.warning("sink-away", sink=self._sink.name, reason=str(error.__cause__ or error))
            return 0
        except leases.LeaseLost:
            # it took longer than the lease; the sink has taken the events, another keeps the account
            return 0

    def _place(self, connection: Connection) -> tuple[int, date, int]:
        """The sink's place in the log, and the log's end."""
        row = connection.execute(
            text(
                "SELECT s.pos, s.day, q.pos AS head FROM outbox_sequencer q LEFT JOIN sinks s ON s.name = :name"
            ),
            {"name": self._sink.name},
        ).one()
        if row.pos is not None:
            return row.pos, row.day, row.head
        connection.execute(
            text("INSERT INTO sinks (name, day) VALUES (:name, '-infinity') ON CONFLICT DO NOTHING"),
            {"name": self._sink.name},
        )
        return 0, date.min, row.head

    def _pass_over(self, pos: int) -> int:
        with self._engine.begin() as connection:
            connection.execute(text("SET LOCAL synchronous_commit = off"))
            connection.execute(
                text(
                    "UPDATE sinks SET pos = q.pos, day = q.day, tries = 0 FROM outbox_sequencer q "
                    "WHERE name = :name AND sinks.pos = :pos"
                ),
                {"name": self._sink.name, "pos": pos},
            )
        return 0

    def _was_emptied(self, pos: int) -> bool:
        """Whether the sink lacks what it once had; asked now and then, when there is nothing else to do."""
        if time.monotonic() - self._looked_at < self._look_every_s:
            return False
        self._looked_at = time.monotonic()
        held = self._sink.position()
        return held is not None and held < pos

    def _publish(self, lease: str, fence: int, pos: int, day: date) -> int:
        held = self._sink.position()
        if held is not None and held < pos:
            events = self._resumed(held, pos)
        else:
            with self._engine.begin() as connection:
                events = _after(connection, pos, day)
        if not events:
            return 0  # dropped by age, before this sink had them
        try:
            self._sink.publish(events)
        except EventRefused as refused:
            return self._go_round(lease, fence, events, refused)
        self._keep_account(lease, fence, events, pos)
        return len(events)

    def _go_round(self, lease: str, fence: int, events: Sequence[Event], refused: EventRefused) -> int:
        """Those before the refused one go on; it is asked for again, and in the end put aside with its reason."""
        before = [event for event in events if event.pos < refused.event.pos]
        if before:
            self._sink.publish(before)
            self._keep_account(lease, fence, before, before[0].pos - 1)
            return len(before)
        with self._engine.begin() as connection:
            leases.check(connection, lease, fence=fence)
            tries: int = connection.execute(
                text("UPDATE sinks SET tries = tries + 1 WHERE name = :name RETURNING tries"),
                {"name": self._sink.name},
            ).scalar_one()
        if tries < TRIES:
            log.warning("event-refused", sink=self._sink.name, pos=refused.event.pos, reason=refused.reason)
            return 0
        log.error("event-put-aside", sink=self._sink.name, pos=refused.event.pos, reason=refused.reason)
        self._sink.publish([refused.event.withheld(refused.reason)])
        with self._engine.begin() as connection:
            leases.check(connection, lease, fence=fence)
            dead_letters.keep(connection, self._sink.name, refused.event, reason=refused.reason)
            _delivered(connection, self._sink.name, [refused.event])
        return 1

    def _keep_account(self, lease: str, fence: int, events: Sequence[Event], pos: int) -> None:
        crash_points.reach(Point.RELAY_AFTER_PUBLISH)
        with self._engine.begin() as connection:
            connection.execute(text("SET LOCAL synchronous_commit = off"))
            leases.check(connection, lease, fence=fence)
            _delivered(connection, self._sink.name, events)
        self._observe([event for event in events if event.pos > pos])

    def _resumed(self, held: int, pos: int) -> list[Event]:
        """
        What a sink that lost events must be given again: all after its last one.

        One that was emptied is given the last hour's, and in any case all that it never had.
        """
        log.warning("sink-resumed", sink=self._sink.name, held=held)
        with self._engine.begin() as connection:
            oldest = connection.execute(
                text(
                    "SELECT min(pos) - 1 FROM outbox_log WHERE day >= current_date - 1 AND at > now() - :age"
                ),
                {"age": REPUBLISHED_AFTER_LOSS},
            ).scalar_one()
            start = held or (pos if oldest is None else min(pos, oldest))
            connection.execute(
                text("UPDATE sinks SET pos = :pos, day = current_date - 7 WHERE name = :name"),
                {"pos": start, "name": self._sink.name},
            )
            return _after(connection, start, None)


def forget(connection: Connection, sink: str) -> bool:
    """
    Drop the place of a sink that no relay serves any more: should it come back, it is given all that the log holds.

    :return: whether there was one
    """
    found = connection.execute(text("DELETE FROM sinks WHERE name = :name"), {"name": sink})
    return found.rowcount == 1


def _after(connection: Connection, pos: int, day: date | None) -> list[Event]:
    result = connection.execute(
        text(
            "SELECT pos, id, tenant_id, order_id, sequence, type, data, at, trace FROM outbox_log "
            "WHERE day >= coalesce(CAST(:day AS date), current_date - 7) AND pos > :pos ORDER BY day, pos LIMIT :batch"
        ),
        {"pos": pos, "day": day, "batch": BATCH},
    )
    return [Event(*row) for row in result.all()]


def _delivered(connection: Connection, sink: str, events: Sequence[Event]) -> None:
    connection.execute(
        text("""
            WITH moved AS (
                UPDATE sinks SET pos = :last, tries = 0, day = (
                    SELECT day FROM outbox_log WHERE day >= sinks.day AND pos = :last)
                WHERE name = :sink
            )
            INSERT INTO deliveries (sink, first_pos, last_pos) VALUES (:sink, :first, :last)
        """),
        {"sink": sink, "first": events[0].pos, "last": events[-1].pos},
    )
