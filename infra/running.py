"""Starting, stopping and reaching the stack of one home."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from app import errors
from infra import kept, stack
from infra.embedded import postgres, redis
from infra.sandbox_providers import write_providers
from infra.settings import Settings
from infra.supervisor import Process, Supervisor, drains, logs, remains, state

_DETACHED_WITHIN_S = 300.0
_DRAINED_WITHIN_S = 90.0


class PortTaken(errors.Conflict):
    """Somebody else listens on a port that we were told to use."""

    code = "port-taken"

    def __str__(self) -> str:
        return "port {port} is taken: end what listens there, or set {variable}".format_map(self.data)


class NotRunning(errors.Unavailable):
    """Nothing runs on this home."""

    code = "not-running"

    def __str__(self) -> str:
        return f"nothing has been started on {self.data['home']}: start it with `uoop up`"


class NotAWorker(errors.NotFound):
    """No worker of that name runs on this home."""

    code = "not-a-worker"

    def __str__(self) -> str:
        return f"{self.data['name']} is no worker that runs on {self.data['home']}: {self.data['workers'] or 'none'}"


class StillDraining(errors.Unavailable):
    """The worker takes longer than its longest task."""

    code = "still-draining"

    def __str__(self) -> str:
        return "{name} is still {state}: see `uoop ps` and `uoop logs {name}`".format_map(self.data)


class NotStarted(errors.Unavailable):
    """The detached supervisor has given up."""

    code = "not-started"

    def __str__(self) -> str:
        return str(self.data["said"]).removeprefix("uoop: ")


def up(
    settings: Settings,
    *,
    processes: Callable[[Settings], Sequence[Process]] = stack.processes,
    on_unclean_worker_death: Callable[[Settings, int | None], None] = lambda *_: None,
    on_ready: Callable[[Settings], None] = lambda _: None,
    tell: Callable[[str], None] = lambda _: None,
) -> None:
    """
    Start everything and keep it running until told to stop by a signal.

    :param processes: the platform's own ones, for settings in which every URL and port is filled in
    :param on_unclean_worker_death: called beside when a worker died, with messages perhaps lost; its process id, or
        None for all workers of a supervisor that was killed
    :param on_ready: called once when everything is ready
    :raises UoopError: if another supervisor holds the home, a port is taken, or something does not come up
    """
    with state.lock(settings.home):
        unclean = state.path(settings.home).exists()
        remains.kill(settings.home, stack.traces(settings.home))
        resolved, embedded = stack.embed(_with_ports(settings))
        if _owns_providers(resolved):
            write_providers(resolved)
        Supervisor(
            home=resolved.home,
            processes=(*embedded, *processes(resolved)),
            drain_s=resolved.drain_s,
            unclean=unclean,
            on_unclean_worker_death=partial(on_unclean_worker_death, resolved),
            on_ready=partial(on_ready, resolved),
            tell=tell,
        ).run()


def up_detached(settings: Settings) -> None:
    """
    Start everything in the background and return when it is ready.

    :raises UoopError: if it does not become ready; nothing is left running then
    """
    if state.is_held(settings.home):
        raise state.AlreadyRunning(home=str(settings.home))
    with logs.writer(settings.home, "up") as said:
        began = said.tell()
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "infra.cli", "up"],
            env=stack.bare_environment() | settings.environment(),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _await_ready(settings.home, supervisor, began)
    except BaseException:
        supervisor.terminate()
        supervisor.wait(settings.drain_s + 10)
        raise


def down(settings: Settings) -> bool:
    """
    Stop everything within the drain bound, and what a killed supervisor left; returns whether anything ran.

    :raises WillNotDie: if a process survives being killed
    """
    home = settings.home
    supervisor = state.holder(home)
    if supervisor is not None:
        _end(supervisor, lambda: state.is_held(home), settings.drain_s + 5)
    left = remains.kill(home, stack.traces(home)) if home.exists() else 0
    return supervisor is not None or left > 0


def drain(settings: Settings, name: str) -> None:
    """
    Let a worker finish what it runs and end; the supervisor starts it again only after `undrain`, or a new start.

    :raises NotAWorker: if no worker of that name runs on this home
    :raises StillDraining: if it has not ended within 90 s, more than the longest task; it still will
    """
    _ask_for_worker(settings, name)
    drains.ask(settings.home, name)
    _await_worker(settings, name, "stopped")


def undrain(settings: Settings, name: str) -> None:
    """
    Start a drained worker again; harmless when it runs.

    :raises NotAWorker: as `drain` does
    :raises StillDraining: if it does not run within 90 s
    """
    _ask_for_worker(settings, name)
    drains.revoke(settings.home, name)
    _await_worker(settings, name, "running")


def rows(settings: Settings) -> list[state.Row]:
    """What runs on this home, the supervisor first; after it was killed, only what it left, as `orphan`."""
    home = settings.home
    seen = state.read(home)
    if seen is None:
        return []
    if state.is_held(home):
        return list(seen.processes)
    left = {process.pid for process in remains.find(home, stack.traces(home))}
    return [replace(row, state="orphan") for row in seen.processes if row.pid in left]


def connected(settings: Settings) -> Settings:
    """
    The settings with the addresses of this home's embedded servers and processes, for commands beside `up`.

    :raises NotRunning: if nothing has ever been started on this home
    """
    ports = kept.ports(settings.home)
    values: dict[str, object] = {
        f"{name}_port": ports[name]
        for name in ("flower", "sandbox")
        if name in ports and not getattr(settings, f"{name}_port")
    }
    if not settings.port and "api" in ports:
        values["port"] = ports["api"]
    if not settings.database_url:
        values["database_url"] = postgres.url(settings.home)
    if settings.lacks_redis:
        values["redis_url"] = redis.url(settings.home)
    if None in values.values() or not (values.get("port") or settings.port):
        raise NotRunning(home=str(settings.home))
    return settings.with_values(**values)


def _with_ports(settings: Settings) -> Settings:
    """:raises PortTaken: if a port that was asked for is in use"""
    chosen: dict[str, object] = {}
    wanted = [("port", "api", settings.host)]
    wanted.append(("sandbox_port", "sandbox", kept.LOOPBACK))
    wanted.append(("flower_port", "flower", kept.LOOPBACK))
    for name, process, host in wanted:
        number = getattr(settings, name)
        if not settings.runs(process):
            continue
        if not number:
            chosen[name] = kept.port(settings.home, process)
        elif not kept.is_free(number, host):
            raise PortTaken(port=number, variable=f"UOOP_{name.upper()}")
    return settings.with_values(**chosen)


def _owns_providers(settings: Settings) -> bool:
    return settings.runs("sandbox") and settings.providers == settings.home / "providers.json"


def _await_ready(home: Path, supervisor: subprocess.Popen[bytes], began: int) -> None:
    """:raises NotStarted: with the last line that the supervisor said, if it ends or takes too long"""
    end = time.monotonic() + _DETACHED_WITHIN_S
    while True:
        seen = state.read(home)
        if seen and seen.ready and seen.supervisor_pid == supervisor.pid:
            return
        if supervisor.poll() is not None:
            said = logs.path(home, "up").read_bytes()[began:].decode(errors="replace").strip()
            raise NotStarted(said=said.splitlines()[-1] if said else "the supervisor ended without a word")
        if time.monotonic() > end:
            raise NotStarted(said=f"not ready after {_DETACHED_WITHIN_S:.0f} s: see `uoop logs supervisor`")
        time.sleep(0.05)


def _workers(settings: Settings) -> dict[str, str]:
    """State by name."""
    alive = rows(settings) if state.is_held(settings.home) else []
    return {row.name: row.state for row in alive if row.worker}


def _ask_for_worker(settings: Settings, name: str) -> None:
    """:raises NotAWorker:"""
    found = _workers(settings)
    if name not in found:
        raise NotAWorker(name=name, home=str(settings.home), workers=", ".join(found))


def _await_worker(settings: Settings, name: str, wanted: str) -> None:
    end = time.monotonic() + _DRAINED_WITHIN_S
    while (found := _workers(settings).get(name)) != wanted:
        if time.monotonic() > end:
            raise StillDraining(name=name, state=found or "away")
        time.sleep(0.05)


def _end(pid: int, is_alive: Callable[[], bool], within_s: float) -> None:
    """Ask a process to end, and kill it when it has not after that time."""
    end = time.monotonic() + within_s
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        while is_alive():
            if time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
