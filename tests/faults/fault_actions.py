"""What is done to the platform: each action returns when the fault is over."""

import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import psutil
import redis
from celery import Celery
from fault_stack import PROVIDERS, QUEUES, NotReached, Stack, awaited

from app import crash_points
from app.crash_points import Point
from tasks import names

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


def flush(stack: Stack) -> None:
    stack.redis().flushall()


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


def push_garbage(stack: Stack) -> None:
    """What no worker can read, too large, or of a task that nobody knows; all of it in every queue."""
    client = stack.redis()
    for queue in QUEUES:
        for element in GARBAGE:
            client.lpush(queue, element)
    with _sender(stack) as sender:
        for queue in QUEUES:
            sender.send_task("uoop.nobody-knows-it", kwargs={"cohort_id": 1}, queue=queue)
            sender.send_task(names.RUN_STEP, kwargs={"cohort_id": "x" * OVERSIZE_BYTES}, queue=queue)
            sender.send_task(names.RUN_STEP, args=[1, 2, 3], kwargs={"stage": None}, queue=queue)


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
