"""Every fault of the suite: a new one is a new row."""

from collections.abc import Callable, Iterator

import fault_actions as do
from fault_run import Fault
from fault_stack import WORKERS, Stack

from app.crash_points import Point
from infra.demo.play import Summary
from sagas.fulfill_order import FULFILL_ORDER

AROUND_A_STEP = (Point.BEFORE_EFFECT, Point.AFTER_EFFECT, Point.AFTER_COMMIT)
ELSEWHERE = tuple(point for point in Point if point not in AROUND_A_STEP)


def parked(stack: Stack, summary: Summary) -> str | None:
    """Compensations that are refused for ever stand in the parked list, with their reason."""
    reasons = stack.sql("SELECT failure ->> 'parked', failure ->> 'parked_code' FROM runs WHERE state = 'p'")
    if summary.parked == 0:
        return "nothing was parked"
    without = [reason for reason in reasons if not all(reason)]
    return f"{len(without)} parked without their step or its reason" if without else None


def _crash_points() -> Iterator[Fault]:
    for number, step in enumerate(FULFILL_ORDER.steps):
        directions = ("forward", "backward") if number in _undone else ("forward",)
        for direction in directions:
            for point in AROUND_A_STEP:
                yield Fault(
                    name=f"dies {point} {step.name} {direction}",
                    inject=do.die_at(point, step.name, direction),
                )
    for point in ELSEWHERE:
        yield Fault(name=f"dies {point}", inject=do.die_at(point))


_undone = {number for stage in FULFILL_ORDER.backward for number in stage}


def _killed(*workers: str) -> Callable[[Stack], None]:
    return lambda stack: do.kill_pool_children(stack, workers)


FAULTS: tuple[Fault, ...] = (
    # the quick suite
    Fault(name="pool children killed", inject=_killed("worker-partner", "worker-steps"), quick=True),
    Fault(name="FLUSHALL", inject=do.flush, quick=True),
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
    Fault(name="all workers killed", inject=do.kill(*WORKERS)),
    Fault(name="API and all workers killed", inject=do.kill("api", *WORKERS)),
    *_crash_points(),
    Fault(name="pool of worker-partner stopped 6 s", inject=do.freeze_pool("worker-partner", 6)),
    Fault(name="pool of worker-steps stopped 6 s", inject=do.freeze_pool("worker-steps", 6)),
    Fault(name="pool of worker-outbox stopped 6 s", inject=do.freeze_pool("worker-outbox", 6)),
    # Redis
    Fault(name="Redis frozen 15 s", inject=do.freeze("redis", 15)),
    Fault(name="Redis out of memory 6 s", inject=do.configure_redis("maxmemory", "1", "0", 6)),
    Fault(name="Redis read-only 6 s", inject=do.configure_redis("min-replicas-to-write", "1", "0", 6)),
    # Postgres
    Fault(name="Postgres immediate restart", inject=do.restart_postgres_immediately),
    Fault(name="backends terminated for 5 s", inject=do.terminate_backends),
    Fault(name="runs locked 5 s", inject=do.lock("runs", 5)),
    Fault(name="Postgres frozen 10 s", inject=do.freeze("postgres", 10)),
    # messages
    Fault(name="every message three times, up to 4 s late", inject=do.deliver_again(2, latest_s=4)),
    Fault(name="every message again, up to 30 s late", inject=do.deliver_again(1, latest_s=30, seconds=4)),
    Fault(name="garbage, oversize, unknown tasks", inject=do.push_garbage),
    # two at once
    Fault(name="two beats", inject=do.beat_beside),
    Fault(name="claims, sweeps, relays race", inject=do.look_for_work_together),
    # partners
    Fault(name="partners ten times slower", inject=do.misbehave("slow", 6, seconds=0.3)),
    Fault(name="partners fail", inject=do.misbehave("fail", 6)),
    Fault(name="partners fail one call in twenty", inject=do.misbehave("fail", 6, share=0.05)),
    Fault(name="partners hang", inject=do.misbehave("hang", 6)),
    Fault(name="one partner hangs", inject=do.misbehave("hang", 6, providers=("swift",))),
    Fault(name="partners answer late, having worked", inject=do.misbehave("late", 6, seconds=8)),
    Fault(name="partners answer garbage", inject=do.misbehave("garbage", 6)),
    Fault(name="partners down", inject=do.misbehave("down", 6)),
    Fault(name="sandbox killed", inject=do.kill("sandbox")),
)
