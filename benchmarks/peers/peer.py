"""How the bench starts, feeds and kills each of the peers."""

import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks import stores
from benchmarks.peers import environment, lines
from infra import kept
from infra.embedded import postgres
from infra.embedded import redis as embedded_redis

READY_WITHIN_S = 60.0
PROCESSES = 2  # one for each core
NUMBERS_OF_A_PRODUCER = 10_000_000


@dataclass
class Peer:
    """
    A running peer.

    :param families: process ids by name, of those whose CPU counts as the peer's
    :param submit: sends orders numbered from the first on for so many seconds, at a rate or with so many inside; blocks
    :param kill_worker: with -9, and all below it
    :param start_worker: again
    """

    folder: Path
    families: dict[str, int] = field(default_factory=dict)
    submit: Callable[[int, float, float, int], None] = lambda *_: None
    kill_worker: Callable[[], None] = lambda: None
    start_worker: Callable[[], None] = lambda: None

    def submitted(self) -> dict[str, float]:
        """By order, from when its latency counts."""
        return {name: at for name, _, at in lines.submitted(self.folder).read()}

    def ends(self) -> Iterator[tuple[str, str, float]]:
        for path in sorted(self.folder.glob("ended*")):
            yield from lines.Lines(path).read()


def celery(folder: Path, stack: ExitStack) -> Peer:
    """A prefork worker of two processes, a producer, Redis."""
    broker = _redis(folder, stack)
    environ = {"BENCH_BROKER": f"{broker}/0", "BENCH_RESULTS": f"{broker}/1"}
    flags = ("--concurrency", str(PROCESSES), "--loglevel", "error", "--without-gossip", "--without-mingle")
    command = (str(environment.PYTHON), "-m", "celery", "-A", "benchmarks.peers.celery_app", "worker", *flags)
    peer = Peer(folder)
    _worker(peer, stack, command, environ)
    producer = _producer(peer, stack, ("benchmarks.peers.celery_producer",), environ, "producer")
    peer.families["redis"] = _listener(kept.ports(folder)["redis"])
    peer.submit = lambda *what: _drive([producer], *what)
    _await_one(peer)
    return peer


def dbos(folder: Path, stack: ExitStack) -> Peer:
    """Two processes that take and run orders, Postgres."""
    server = postgres.prepare(folder)
    stack.enter_context(stores.process(server.command, folder / "postgres.log", signal.SIGINT))
    postgres.wait_ready(server.url, READY_WITHIN_S)
    environ = {"BENCH_DATABASE": server.url.replace("+psycopg2", "").rpartition("/")[0] + "/dbos_peer"}
    peer = Peer(folder, {"postgres": _listener(server.port)})
    running: dict[str, subprocess.Popen[bytes]] = {}

    def start(name: str) -> None:
        (folder / f"ready{name}").unlink(missing_ok=True)
        running[name] = _producer(peer, stack, ("benchmarks.peers.dbos_app", name), environ, name)
        _await((folder / f"ready{name}").exists, running[name])

    for n in range(PROCESSES):
        start(f"worker-{n}")
    peer.submit = lambda first, seconds, rate, inside: _drive(
        list(running.values()), first, seconds, rate / PROCESSES, inside // PROCESSES
    )
    peer.kill_worker = lambda: _kill(running["worker-0"])
    peer.start_worker = lambda: start("worker-0")
    _await_one(peer)
    return peer


def restate(folder: Path, stack: ExitStack) -> Peer:
    """
    Restate's server, and hypercorn with two workers that serve the handlers.

    :raises environment.Missing: if its server is not here
    """
    program = environment.restate()
    ports = {name: kept.port(folder, name) for name in ("ingress", "admin", "node", "worker")}
    told = {
        "RESTATE_BASE_DIR": str(folder / "restate"),
        "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{ports['ingress']}",
        "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{ports['admin']}",
        "RESTATE_BIND_ADDRESS": f"127.0.0.1:{ports['node']}",
        "RESTATE_NODE_NAME": "peer",
        "RESTATE_LOG_FILTER": "warn",
        "RESTATE_DISABLE_TELEMETRY": "true",
    }
    with (folder / "restate.log").open("wb") as log:
        server = subprocess.Popen([str(program)], env=os.environ | told, stdout=log, stderr=log)
    stack.callback(_end, server)
    config = folder / "hypercorn.toml"
    config.write_text(
        f'bind = "127.0.0.1:{ports["worker"]}"\nworkers = {PROCESSES}\nh2_max_concurrent_streams = 2147483647\n'
        "keep_alive_max_requests = 2147483647\nkeep_alive_timeout = 2147483647\n"
    )
    peer = Peer(folder)
    serve = (
        str(environment.PYTHON),
        "-m",
        "hypercorn",
        "--config",
        str(config),
        "benchmarks.peers.restate_app:app",
    )
    _worker(peer, stack, serve, {})
    deployment = json.dumps({"uri": f"http://127.0.0.1:{ports['worker']}"}).encode()
    _await(lambda: _posted(ports["admin"], "/deployments", deployment), server)
    peer.families["server"] = server.pid
    taken, done = lines.submitted(folder), lines.ended(folder)

    def submit(first: int, seconds: float, rate: float, inside: int) -> None:
        def send(name: str) -> None:
            if not _posted(ports["ingress"], "/Orders/fulfil/send", json.dumps(name).encode(), key=name):
                raise RuntimeError(f"Restate did not take {name}")

        lines.drive(
            send, taken, done, first=first, seconds=seconds, rate=rate or None, inside=inside, threads=16
        )

    peer.submit = submit
    _await_one(peer)
    return peer


PEERS: Mapping[str, Callable[[Path, ExitStack], Peer]] = {"celery": celery, "dbos": dbos, "restate": restate}


def _redis(folder: Path, stack: ExitStack) -> str:
    server = embedded_redis.prepare(folder)
    stack.enter_context(stores.process(server.command, folder / "redis.log", signal.SIGTERM))
    embedded_redis.wait_ready(server.url, READY_WITHIN_S)
    return server.url.rstrip("/")


def _worker(peer: Peer, stack: ExitStack, command: tuple[str, ...], environ: Mapping[str, str]) -> None:
    """A worker that can be killed and started again."""
    running: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        running[:] = [_start(peer, stack, command, environ, "worker")]

    start()
    peer.start_worker = start
    peer.kill_worker = lambda: _kill(running[0])


def _producer(
    peer: Peer, stack: ExitStack, module: tuple[str, ...], environ: Mapping[str, str], name: str
) -> subprocess.Popen[bytes]:
    return _start(peer, stack, (str(environment.PYTHON), "-m", *module), environ, name)


def _start(
    peer: Peer, stack: ExitStack, command: tuple[str, ...], environ: Mapping[str, str], name: str
) -> subprocess.Popen[bytes]:
    env = os.environ | environ | {"BENCH_FOLDER": str(peer.folder)}
    with (peer.folder / f"{name}.log").open("ab") as log:
        running = subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    peer.families[name] = running.pid
    stack.callback(_end, running)
    return running


def _drive(
    producers: list[subprocess.Popen[bytes]], first: int, seconds: float, rate: float, inside: int
) -> None:
    """All of them at once; one that is killed meanwhile says nothing more."""
    for n, each in enumerate(producers):
        assert each.stdin  # noqa: S101
        each.stdin.write(f"{first + n * NUMBERS_OF_A_PRODUCER} {seconds} {rate} {inside}\n".encode())
        each.stdin.flush()
    for each in producers:
        assert each.stdout  # noqa: S101
        each.stdout.readline()


def _await_one(peer: Peer) -> None:
    """Ready is who has brought an order to its end."""
    peer.submit(0, 0.5, 4.0, 1)
    _await(lambda: any(True for _ in peer.ends()), None)


def _await(holds: Callable[[], object], process: subprocess.Popen[bytes] | None) -> None:
    end = time.monotonic() + READY_WITHIN_S
    while not holds():
        if time.monotonic() > end or (process and process.poll() is not None):
            raise RuntimeError("a peer does not become ready: see its log")
        time.sleep(0.05)


def _posted(port: int, path: str, body: bytes, key: str | None = None) -> bool:
    connection = http.client.HTTPConnection(kept.LOOPBACK, port, timeout=20)
    headers = {"Content-Type": "application/json"} | ({"idempotency-key": key} if key else {})
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        answer.read()
    except OSError:
        return False
    finally:
        connection.close()
    return answer.status in (200, 201, 202)


def _listener(port: int) -> int:
    """Who listens at the port and is nobody's child among those who do."""
    return min(
        each.pid
        for each in psutil.net_connections("tcp")
        if each.laddr and each.laddr.port == port and each.status == psutil.CONN_LISTEN and each.pid
    )


def _kill(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
