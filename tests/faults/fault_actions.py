"""What is done to the platform: each action returns when the fault is over."""

import json
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import redis
from celery import Celery
from fault_proxy import Mode
from fault_stack import PROVIDERS, QUEUES, NotReached, Stack, awaited

from app import crash_points
from app.crash_points import Harm, Point
from app.runs.cohorts import Claimed
from app.runs.model import Direction
from infra.wiring import redis_client
from sagas.all import SAGAS
from sagas.backends.celery import CeleryCarrier
from tasks import names
from tasks.base import application
from tasks.priorities import kept_under

Action = Callable[[Stack], None]
GARBAGE = (b"not json", b"", b"\xff\xfe\x00", b"[]", b'{"body": 1}', b'"text"')
OVERSIZE_BYTES = 8_000_000


def die_at(point: Point, step: str = "", direction: str = "") -> Action:
    """Arm a crash point and wait until somebody has died there."""

    def inject(stack: Stack) -> None:
        folder = stack.settings.home / "crash-points"
        told = folder / crash_points.name(point, step, direction)
        told.touch()
        try:
            awaited(lambda: not told.exists(), f"a death at {told.name}", within_s=20)
        finally:
            told.unlink(missing_ok=True)

    return inject


def kill_pool_children(stack: Stack, workers: Sequence[str]) -> None:
    for worker in workers:
        for child in stack.pool(worker):
            with suppress(psutil.NoSuchProcess):
                child.kill()


def kill(*processes: str) -> Action:
    """Kill processes by their names in `uoop ps`, all at once."""

    def inject(stack: Stack) -> None:
        pids = [stack.pid(name) for name in processes]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)

    return inject


def kill_supervisor(stack: Stack) -> None:
    """Kill the supervisor, and start the platform again over what it left."""
    os.kill(stack.pid("supervisor"), signal.SIGKILL)
    stack.up()


def skew(seconds: float, *processes: str, for_s: float = 8.0) -> Action:
    """Let processes of ours run with a clock that is wrong by so many seconds, for a while."""

    def inject(stack: Stack) -> None:
        clocks = stack.settings.home / "clocks"
        clocks.mkdir(exist_ok=True)
        try:
            for process in processes:
                (clocks / process).write_text(str(seconds))
            kill(*processes)(stack)
            time.sleep(for_s)
        finally:
            for process in processes:
                (clocks / process).unlink()
        kill(*processes)(stack)

    return inject


def poison(harm: Harm, step: str) -> Action:
    """Submit an order that harms whoever executes a step for it, and wait until it has come to rest."""

    def inject(stack: Stack) -> None:
        customer = f"poison-{harm}"
        told = stack.settings.home / "crash-points" / f"poison.{step}.{harm}"
        told.write_text(customer)
        try:
            stack.submit(customer)
            awaited(lambda: poisoned(stack, harm), f"an end of the order of {customer}", within_s=180)
        finally:
            told.unlink()

    return inject


def poisoned(stack: Stack, harm: Harm) -> tuple[str, str] | None:
    """State and failure code of the poison order, once it rests."""
    rows = stack.sql(
        "SELECT r.state, coalesce(r.failure ->> 'code', '') FROM runs r JOIN uoop_orders o ON o.run_id = r.id "
        "WHERE o.customer_id = %s AND r.state IN ('e', 'p')",
        f"poison-{harm}",
    )
    return (rows[0][0], rows[0][1]) if rows else None


def flush(stack: Stack) -> None:
    stack.redis().flushall()


def kill_redis_for_good(stack: Stack) -> None:
    """Redis dies with all that it had kept."""
    os.kill(stack.pid("redis"), signal.SIGKILL)
    for file in (stack.settings.home / "redis").glob("appendonly*"):
        file.unlink()


def freeze(process: str, seconds: float) -> Action:
    """Stop a process and all that it has started, for a while."""

    def inject(stack: Stack) -> None:
        with _stopped(stack.family(process)):
            time.sleep(seconds)

    return inject


def freeze_pool(worker: str, seconds: float) -> Action:
    """Stop a worker's pool children in their work, for longer than their leases."""

    def inject(stack: Stack) -> None:
        with _stopped(stack.pool(worker)):
            time.sleep(seconds)

    return inject


def configure_redis(name: str, value: str, normal: str, seconds: float) -> Action:
    """Change one of Redis' settings, for a while."""

    def inject(stack: Stack) -> None:
        client = stack.redis()
        client.config_set(name, value)
        try:
            time.sleep(seconds)
        finally:
            client.config_set(name, normal)

    return inject


def restart_postgres_immediately(stack: Stack) -> None:
    os.kill(stack.pid("postgres"), signal.SIGQUIT)


def keep_postgres_down(seconds: float) -> Action:
    """Postgres dies and cannot start, since its port is taken by somebody who hangs up."""

    def inject(stack: Stack) -> None:
        port = int(urlsplit(stack.settings.database_url.get_secret_value()).port or 0)
        restart_postgres_immediately(stack)
        with socket.socket() as squatter:
            squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            awaited(lambda: _listens(squatter, port), "Postgres' port", within_s=5)
            squatter.settimeout(0.1)
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                with suppress(TimeoutError):
                    squatter.accept()[0].close()

    return inject


def _listens(squatter: socket.socket, port: int) -> bool:
    squatter.bind(("127.0.0.1", port))
    squatter.listen()
    return True


def fill_disk(seconds: float) -> Action:
    """Fill the small disk that holds Postgres' data, for a while."""

    def inject(stack: Stack) -> None:
        # the disk is mounted in the namespace of the supervisor and those whom it has started
        place = Path(f"/proc/{stack.pid('supervisor')}/root{stack.settings.home}/postgres/filler")
        try:
            with place.open("wb", buffering=0) as filler, suppress(OSError):
                while True:
                    filler.write(bytes(1 << 20))
            time.sleep(seconds)
        finally:
            place.unlink()

    return inject


def deadlock(stack: Stack, *, seconds: float = 8.0) -> None:
    """Lock what cohorts lock, in the other order, so that Postgres aborts one of ours again and again."""
    count = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    before = stack.sql(count)[0][0]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with stack.session() as cursor:
            cursor.execute("SET deadlock_timeout = '1h'")  # so that the other side notices, and is aborted
            _cross(cursor)
            cursor.connection.rollback()
    awaited(lambda: stack.sql(count)[0][0] > before, "a deadlock", within_s=5)


def _cross(cursor: Any) -> None:
    cursor.execute(
        "SELECT c.id, c.members FROM slots s JOIN cohorts c ON c.id = s.cohort_id ORDER BY random() LIMIT 1"
    )
    for cohort_id, members in cursor.fetchall():
        cursor.execute("SELECT FROM runs WHERE id = ANY(%s) FOR UPDATE", (members,))
        end = time.monotonic() + 1
        while time.monotonic() < end:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"
            )
            if cursor.fetchone()[0]:
                cursor.execute("SELECT FROM cohorts WHERE id = %s FOR UPDATE", (cohort_id,))
                return
            time.sleep(0.01)


def terminate_backends(stack: Stack, *, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        stack.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        time.sleep(0.25)


def lock(table: str, seconds: float) -> Action:
    """Lock a table against everybody, for a while."""

    def inject(stack: Stack) -> None:
        with stack.session() as cursor:
            cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            time.sleep(seconds)

    return inject


def misbehave(behavior: str, for_s: float, *, providers: Sequence[str] = PROVIDERS, **more: object) -> Action:
    """Let providers misbehave, for a while."""

    def inject(stack: Stack) -> None:
        stack.tell_providers(providers, {"behavior": behavior, **more})
        try:
            time.sleep(for_s)
        finally:
            stack.tell_providers(providers, None)

    return inject


def never_answer_undoings(stack: Stack) -> None:
    """Let the payment provider be silent to every undoing, until the platform has given up."""
    under_way = "SELECT count(*) = 0 FROM runs WHERE state IN ('w', 't')"
    stack.tell_providers(("benefit",), {"behavior": "mute"})
    try:
        time.sleep(8)
        awaited(lambda: stack.sql(under_way)[0][0], "an end of all undoing", within_s=300)
    finally:
        stack.tell_providers(("benefit",), None)


def push_garbage(stack: Stack) -> None:
    """What no worker can read, too large, or of a task that nobody knows; all of it in every queue."""
    client = stack.redis()
    for queue in QUEUES:
        for element in GARBAGE:
            client.lpush(queue, element)
    with _sender(stack) as sender:
        for queue in QUEUES:
            sender.send_task("uoop.nobody-knows-it", kwargs={"cohort_id": 1}, queue=queue)
            sender.send_task(names.RUN_STEPS, kwargs={"cohort_id": "x" * OVERSIZE_BYTES}, queue=queue)
            sender.send_task(names.RUN_STEPS, args=[1, 2, 3], kwargs={"stage": None}, queue=queue)


def deliver_again(times: int, *, latest_s: float, seconds: float = 5.0) -> Action:
    """For a while, put every message that is sent into its queue again, so often, each at a random moment."""

    def inject(stack: Stack) -> None:
        seen: set[str] = set()
        timers: list[threading.Timer] = []
        with stack.redis().monitor() as monitor:  # type: ignore[no-untyped-call]
            end = time.monotonic() + seconds
            for told in monitor.listen():
                if time.monotonic() > end:
                    break
                for queue, payload in _sent(told["command"], seen):
                    for _ in range(times):
                        wait_s = random.uniform(0, latest_s)
                        timers.append(threading.Timer(wait_s, _push, (stack, queue, payload)))
                        timers[-1].start()
        for timer in timers:
            timer.join()
        if not timers:
            raise NotReached("no message was seen")

    return inject


def poison_event(stack: Stack) -> None:
    """Let an order have an event that no sink can be given, and wait until it is put aside."""
    event = stack.sql(
        "WITH chosen AS (SELECT id FROM uoop_orders WHERE status = 'CONFIRMED' LIMIT 1 FOR UPDATE), "
        "changed AS (UPDATE uoop_orders o SET version = o.version + 1 FROM chosen WHERE o.id = chosen.id "
        "RETURNING o.id, o.tenant_id, o.version) "
        "INSERT INTO outbox_in (tenant_id, order_id, sequence, type, data) "
        "SELECT tenant_id, id, version, 'order.rerouted', CAST(%s AS json) FROM changed RETURNING id",
        r'{"status": "\ud800"}',
    )[0][0]
    awaited(lambda: stack.sql("SELECT pos FROM dead_letters WHERE id = %s", event), "a dead letter")


def break_connections(to: str, mode: Mode, seconds: float) -> Action:
    """Let a proxy break connections, for a while."""

    def inject(stack: Stack) -> None:
        stack.proxies[to].switch(mode)
        try:
            time.sleep(seconds)
        finally:
            stack.proxies[to].switch(Mode.PASS)

    return inject


def hold_back(stack: Stack, *, seconds: float = 4.0, late_s: float = 40.0) -> None:
    """Take messages out of the queues, and put them back when every lease and every wait is over."""
    client = stack.redis()
    held: list[tuple[str, bytes]] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for key in _keys("steps", "partner", "patient", "optimizer"):
            if message := client.rpop(key):
                held.append((key, message))  # noqa: PERF401 (each is taken at its moment)
    if not held:
        raise NotReached("no message was seen")
    time.sleep(late_s)
    for key, message in held:
        _push(stack, key, message)


def _keys(*queues: str) -> list[str]:
    """Where their messages wait: a list for each priority."""
    return [key for queue in queues for key in kept_under(queue)]


def reorder(stack: Stack, *, seconds: float = 5.0) -> None:
    """Shuffle what waits in the queues, again and again."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for key in _keys(*QUEUES):
            with stack.redis().pipeline() as pipe:
                messages, _ = pipe.lrange(key, 0, -1).delete(key).execute()
            random.shuffle(messages)
            if messages:
                stack.redis().rpush(key, *messages)


def carry_twice(stack: Stack, *, seconds: float = 5.0) -> None:
    """Send each cohort's chain once more, in the same epoch or in a new one, while the first carrier goes on."""
    broker, results = (
        getattr(stack.settings, f"{role}_url").get_secret_value() for role in ("broker", "results")
    )
    carrier = CeleryCarrier(
        application(_none, broker_url=broker, result_backend=results), redis_client(broker), SAGAS
    )
    doubled: set[int] = set()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for cohort, leg in _travelling(stack, sorted(doubled), new_epoch=len(doubled) % 2 == 0):
            carrier.send(cohort, leg=leg)
            doubled.add(cohort.id)
        time.sleep(0.02)
    if len(doubled) < 2:
        raise NotReached("no two cohorts were seen")


def _travelling(stack: Stack, but: list[int], *, new_epoch: bool) -> Iterator[tuple[Claimed, int]]:
    rows = stack.sql(
        "UPDATE cohorts SET epoch = epoch + %s WHERE ended_at IS NULL AND id <> ALL(%s::bigint[]) AND id IN "
        "(SELECT cohort_id FROM slots) RETURNING id, epoch, saga, version, direction, lane, itinerary, size, leg",
        int(new_epoch),
        but,
    )
    for id_, epoch, saga, version, direction, lane, itinerary, size, leg in rows:
        yield Claimed(id_, epoch, saga, version, Direction(direction), lane, tuple(itinerary), size), leg


def _none() -> Any:
    raise RuntimeError("this one sends, and runs nothing")


def beat_beside(stack: Stack) -> None:
    """A second beat that asks for no lease."""
    with stack.beside("celery", "-A", "infra.worker", "beat", "--loglevel", "info", "-s", os.devnull):
        time.sleep(8)


def look_for_work_together(stack: Stack) -> None:
    """A second worker for control and outbox, and far more calls than they need: claims, sweeps, relays race."""
    worker = ("celery", "-A", "infra.worker", "worker", "-Q", "control,outbox", "-n", "second@%h", "-c", "3")
    with (
        stack.beside(*worker, "--without-gossip", "--without-mingle", "--without-heartbeat"),
        _sender(stack) as sender,
    ):
        end = time.monotonic() + 8
        while time.monotonic() < end:
            for task, queue in (
                (names.CLAIM, "control"),
                (names.SWEEP, "control"),
                (names.RELAY, "outbox"),
            ):
                sender.send_task(task, queue=queue, ignore_result=True)
            time.sleep(0.1)


@contextmanager
def _stopped(processes: Sequence[psutil.Process]) -> Iterator[None]:
    with ExitStack() as going_on:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
                going_on.callback(_resume, process)
        yield


def _resume(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.resume()


@contextmanager
def _sender(stack: Stack) -> Iterator[Celery]:
    with Celery(
        "faults", broker=stack.settings.broker_url.get_secret_value(), set_as_current=False
    ) as sender:
        sender.conf.task_ignore_result = True
        yield sender


def _sent(command: str, seen: set[str]) -> Iterator[tuple[str, str]]:
    """Queue and message, if that is what the command sent; each message once."""
    verb, _, rest = command.partition(" ")
    key, _, payload = rest.partition(" ")
    queue = key.partition("\\x06")[0]  # what follows is the priority, as the monitor prints it
    if verb.upper() != "LPUSH" or queue not in QUEUES or payload in seen:
        return
    with suppress(ValueError):
        json.loads(payload)
        seen.add(payload)
        yield queue, payload


def _push(stack: Stack, queue: str, payload: Any) -> None:
    with suppress(redis.RedisError):
        stack.redis().lpush(queue, payload)
