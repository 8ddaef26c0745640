"""Every fault of the suite: a new one is a new row."""

from collections.abc import Callable, Iterator

import fault_actions as do
from fault_proxy import Mode
from fault_run import Fault
from fault_stack import WORKERS, Place, Stack

from app.crash_points import Harm, Point
from infra.demo.play import Summary
from sagas.fulfill_order import FULFILL_ORDER

AROUND_A_STEP = (Point.BEFORE_EFFECT, Point.AFTER_EFFECT, Point.AFTER_COMMIT)
POOL_CHILD_S, WORKER_S, STORE_S = 2.0, 5.0, 10.0  # within which all is to be caught up
SLOWLY = 75.0  # orders a second: more cohorts are on their way while the fault lasts
FEW = 300  # orders, of which each of the many deaths needs no more
ELSEWHERE = tuple(point for point in Point if point not in AROUND_A_STEP)


def parked(stack: Stack, summary: Summary) -> str | None:
    """Compensations that are refused for ever stand in the parked list, with their reason."""
    reasons = stack.sql(
        "SELECT failure ->> 'parked', failure ->> 'parked_code' FROM runs WHERE state = 'p' AND direction = 'b'"
    )
    if summary.parked == 0:
        return "nothing was parked"
    without = [reason for reason in reasons if not all(reason)]
    return f"{len(without)} parked without their step or its reason" if without else None


def _behind(stack: Stack) -> int:
    """Sinks that lack something of the log."""
    return int(stack.sql("SELECT count(*) FROM sinks s, outbox_sequencer q WHERE s.pos < q.pos")[0][0])


def withheld(stack: Stack, _summary: Summary) -> str | None:
    """In the refused event's place stands that it was withheld, and nothing else is missing."""
    dead, behind = stack.sql("SELECT count(*) FROM dead_letters")[0][0], _behind(stack)
    return None if (dead, behind) == (1, 0) else f"{dead} put aside, {behind} sinks behind"


def told_late(seconds: float) -> Callable[[Stack, Summary], str | None]:
    """Events have waited for the sink, and none waits any more."""

    def shown(stack: Stack, _summary: Summary) -> str | None:
        ((waited_s,),) = stack.sql(
            "SELECT coalesce(extract(epoch FROM max(d.delivered_at - l.at)), 0)::float FROM deliveries d "
            "JOIN outbox_log l ON l.pos = d.first_pos WHERE d.delivered_at > now() - interval '30 s'"
        )
        behind = _behind(stack)
        return (
            None if waited_s >= seconds and not behind else f"waited {waited_s:.1f} s, {behind} sinks behind"
        )

    return shown


def broken_off(partner: str) -> Callable[[Stack, Summary], str | None]:
    """The partner's breaker has opened."""

    def shown(stack: Stack, _summary: Summary) -> str | None:
        opened = (
            "SELECT openings FROM breakers WHERE partner = %s AND openings > 0 "
            "AND changed_at > now() - interval '3 min'"
        )
        return None if stack.sql(opened, partner) else "the breaker has not opened"

    return shown


def came_to_rest(harm: Harm, code: str) -> Callable[[Stack, Summary], str | None]:
    """The poison order stands parked for that reason; that the others got through, every fault shows."""

    def shown(stack: Stack, _summary: Summary) -> str | None:
        found = do.poisoned(stack, harm)
        return None if found == ("p", code) else f"the poison order came to {found}"

    return shown


def _crash_points() -> Iterator[Fault]:
    for number, step in enumerate(FULFILL_ORDER.steps):
        directions = ("forward", "backward") if number in _undone else ("forward",)
        for direction in directions:
            for point in AROUND_A_STEP:
                yield Fault(
                    name=f"dies {point} {step.name} {direction}",
                    orders=FEW,
                    inject=do.die_at(point, step.name, direction),
                    target_s=POOL_CHILD_S,
                )
    for point in ELSEWHERE:
        yield Fault(name=f"dies {point}", orders=FEW, inject=do.die_at(point))


def _clocks() -> Iterator[Fault]:
    for names, processes in (("workers", WORKERS), ("beat", ("beat",)), ("the API", ("api",))):
        for minutes in (5, -5):
            yield Fault(
                name=f"clocks of {names} {abs(minutes)} min {'ahead' if minutes > 0 else 'behind'}",
                inject=do.skew(minutes * 60, *processes),
            )


def _broken_connections() -> Iterator[Fault]:
    for to in ("postgres", "redis", "sandbox"):
        for mode, seconds in ((Mode.RESET, 6), (Mode.HALF_OPEN, 10), (Mode.SLOW, 6)):
            yield Fault(
                name=f"connections to {to} {mode} {seconds} s",
                inject=do.break_connections(to, mode, seconds),
                place=Place.PROXIED,
                target_s=None if to == "sandbox" else STORE_S,
            )


_undone = {number for stage in FULFILL_ORDER.backward for number in stage}


def _killed(*workers: str) -> Callable[[Stack], None]:
    return lambda stack: do.kill_pool_children(stack, workers)


FAULTS: tuple[Fault, ...] = (
    # the quick suite
    Fault(
        name="pool children killed",
        inject=_killed("worker-partner", "worker-steps"),
        quick=True,
        target_s=POOL_CHILD_S,
    ),
    Fault(name="FLUSHALL", inject=do.flush, quick=True, target_s=STORE_S),
    Fault(name="every message twice", inject=do.deliver_again(1, latest_s=0.5), quick=True),
    Fault(name="answers lost", inject=do.misbehave("late", 3, seconds=3), quick=True),
    Fault(
        name="compensation refused for ever",
        inject=do.misbehave("keep", 6, providers=("benefit",)),
        shown=parked,
        settles=False,
        quick=True,
    ),
    # processes
    *(Fault(name=f"{worker} killed", inject=do.kill(worker), target_s=WORKER_S) for worker in WORKERS),
    Fault(name="all workers killed", inject=do.kill(*WORKERS), target_s=WORKER_S),
    Fault(name="API and all workers killed", inject=do.kill("api", *WORKERS)),
    Fault(name="supervisor killed, started again", inject=do.kill_supervisor),
    *_crash_points(),
    Fault(name="pool of worker-partner stopped 6 s", inject=do.freeze_pool("worker-partner", 6)),
    Fault(name="pool of worker-steps stopped 6 s", inject=do.freeze_pool("worker-steps", 6)),
    Fault(name="pool of worker-outbox stopped 6 s", inject=do.freeze_pool("worker-outbox", 6)),
    # orders that harm
    *(
        Fault(
            name=f"an order that ends in {harm}",
            inject=do.poison(harm, "place-with-restaurant"),
            shown=came_to_rest(harm, code),
            settles=False,
        )
        for harm, code in (
            (Harm.SEGFAULT, "crashes"),
            (Harm.MEMORY, "raised-MemoryError"),
            (Harm.HANG, "crashes"),
        )
    ),
    # Redis
    Fault(name="Redis killed", inject=do.kill("redis"), target_s=STORE_S),
    Fault(name="Redis killed, back empty", inject=do.kill_redis_for_good, target_s=STORE_S),
    Fault(name="Redis frozen 15 s", inject=do.freeze("redis", 15), target_s=STORE_S),
    Fault(
        name="Redis out of memory 6 s",
        inject=do.configure_redis("maxmemory", "1", "0", 6),
        target_s=STORE_S,
    ),
    Fault(
        name="Redis read-only 6 s",
        inject=do.configure_redis("min-replicas-to-write", "1", "0", 6),
        target_s=STORE_S,
    ),
    # Postgres
    Fault(name="Postgres immediate restart", inject=do.restart_postgres_immediately, target_s=STORE_S),
    Fault(name="Postgres 30 s down", inject=do.keep_postgres_down(30), target_s=STORE_S),
    Fault(name="backends terminated for 5 s", inject=do.terminate_backends, target_s=STORE_S),
    Fault(name="deadlocks for 8 s", inject=do.deadlock),
    Fault(name="runs locked 5 s", inject=do.lock("runs", 5)),
    Fault(name="Postgres frozen 10 s", inject=do.freeze("postgres", 10), target_s=STORE_S),
    Fault(name="disk full 8 s", inject=do.fill_disk(8), place=Place.SMALL_DISK, target_s=STORE_S),
    # clocks and connections
    *_clocks(),
    *_broken_connections(),
    # messages
    Fault(name="every message three times, up to 4 s late", inject=do.deliver_again(2, latest_s=4)),
    Fault(name="every message again, up to 30 s late", inject=do.deliver_again(1, latest_s=30, seconds=4)),
    Fault(name="messages held back 40 s", rate=SLOWLY, inject=do.hold_back),
    Fault(name="messages reordered", rate=SLOWLY, inject=do.reorder),
    Fault(name="two carriers for one cohort", rate=SLOWLY, inject=do.carry_twice),
    Fault(name="garbage, oversize, unknown tasks", inject=do.push_garbage),
    # sinks of events
    *(
        Fault(
            name=f"sink {name} {seconds} s",
            inject=do.break_connections("sink", mode, seconds),
            shown=told_late(at_least_s),
            place=Place.PROXIED,
        )
        for name, mode, seconds, at_least_s in (
            ("down", Mode.RESET, 60, 50),
            ("silent", Mode.HALF_OPEN, 20, 10),
            ("slow", Mode.SLOW, 20, 0.1),
        )
    ),
    Fault(name="an event that no sink can take", inject=do.poison_event, shown=withheld),
    # two at once
    Fault(name="two beats", inject=do.beat_beside),
    Fault(name="claims, sweeps, relays race", inject=do.look_for_work_together),
    # partners
    Fault(name="partners ten times slower", inject=do.misbehave("slow", 6, seconds=0.3)),
    Fault(name="partners fail", inject=do.misbehave("fail", 6)),
    Fault(name="partners fail one call in twenty", inject=do.misbehave("fail", 6, share=0.05)),
    Fault(name="partners hang", inject=do.misbehave("hang", 6)),
    Fault(name="one partner hangs", inject=do.misbehave("hang", 6, providers=("swift",))),
    Fault(
        name="one partner down",
        inject=do.misbehave("down", 12, providers=("falcon",)),
        shown=broken_off("falcon"),
        orders=1200,  # more than our own couriers take
    ),
    Fault(name="partners answer late, having worked", inject=do.misbehave("late", 6, seconds=8)),
    Fault(name="partners answer garbage", inject=do.misbehave("garbage", 6)),
    Fault(name="partners down", inject=do.misbehave("down", 6)),
    Fault(
        name="partners act after the recall",
        inject=do.misbehave("stale", 6, providers=("swift", "falcon", "dhow"), seconds=6),
    ),
    Fault(
        name="an undoing is never answered",
        inject=do.never_answer_undoings,
        shown=parked,
        settles=False,
    ),
    Fault(name="sandbox killed", inject=do.kill("sandbox")),
)
