"""
What runs on one machine, as data built from the settings.

Starting goes in stages: Postgres and Redis; migrations, first key and sandbox; all that works with them.
Stopping closes the doors first (API, beat), lets the workers finish, then ends what they use, Postgres last.
"""

import os
import shutil
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

from infra import kept
from infra.embedded import postgres, redis
from infra.settings import Settings, SettingsRefused
from infra.supervisor import Process, Trace, readiness

# name -> the queue it consumes, and the setting that says by how many processes; who is waited for most is first
WORKERS = {
    "worker-control": ("control", "control_processes"),
    "worker-steps": ("steps", "step_processes"),
    "worker-partner": ("partner", "partner_processes"),
    "worker-optimizer": ("optimizer", "optimizer_processes"),
    "worker-outbox": ("outbox", None),  # one: order allows no more, and it must not wait for the others' work
    "worker-patient": ("patient", "patient_processes"),
    "worker-webhooks": ("webhooks", "webhook_processes"),
}
NAMES = {"api", "beat", "sandbox", "flower", *WORKERS}


def processes(settings: Settings) -> tuple[Process, ...]:
    """
    The platform's own processes on this host, for settings in which every URL and port is filled in.

    :raises SettingsRefused: if UOOP_ONLY names a process that there is not
    """
    if unknown := set(filter(None, settings.only.split(","))) - NAMES - {"workers"}:
        raise SettingsRefused(
            only=f"UOOP_ONLY names {', '.join(sorted(unknown))}, which is no process of ours"
        )
    env = bare_environment() | settings.environment() | _tuning(settings)
    python = (sys.executable, "-m")
    listed = [
        Process(
            name="prepare",
            command=(*python, "infra.bootstrap"),
            env=env,
            stage=1,
            stop_stage=0,
            stop_share=0.3,
            once=True,
        ),
        Process(
            name="api",
            command=(*python, "infra.http_server", "infra.api:served"),
            env=env,
            stage=2,
            stop_stage=0,
            stop_share=0.3,
            port=settings.port,
            ready=partial(readiness.http_ok, _reachable(settings.host), settings.port, "/readyz"),
        ),
        Process(
            name="beat",
            command=(*python, "infra.beat"),
            env=env,
            stage=2,
            stop_stage=0,
            stop_share=0.3,
            **_says_when_ready(settings, "beat"),
        ),
        *(_worker(settings, env, name) for name in WORKERS),
    ]
    if settings.runs("sandbox"):
        listed.append(
            Process(
                name="sandbox",
                command=(
                    *(*python, "infra.sandbox", "--home", str(settings.home)),
                    *("--port", str(settings.sandbox_port), "--providers", str(settings.providers)),
                ),
                env=env,
                stage=1,
                stop_stage=2,
                stop_share=0.9,
                port=settings.sandbox_port,
                ready=partial(readiness.port_open, kept.LOOPBACK, settings.sandbox_port),
            )
        )
    if settings.runs("flower"):
        listed.append(_flower(settings, env))
    return tuple(process for process in listed if process.once or settings.runs(process.name))


def _tuning(settings: Settings) -> dict[str, str]:
    """Counters of all processes meet in one folder, emptied here; numeric libraries start no threads of their own."""
    folder = settings.home / "metrics"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return {"PROMETHEUS_MULTIPROC_DIR": str(folder), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _worker(settings: Settings, env: dict[str, str], name: str) -> Process:
    queue, setting = WORKERS[name]
    size = getattr(settings, setting) if setting else 1
    return Process(
        name=name,
        command=(
            *(sys.executable, "-m", "infra.pool", name),
            *("--queue", queue, "--processes", str(size)),
        ),
        env=env,
        stage=2,
        stop_stage=1,
        stop_share=0.8,
        worker=True,
        **_says_when_ready(settings, name),
    )


def _says_when_ready(settings: Settings, name: str) -> dict[str, Any]:
    return {
        "ready": partial(readiness.said_ready, settings.home, name),
        "before_start": partial(readiness.unsay_ready, settings.home, name),
    }


def _flower(settings: Settings, env: dict[str, str]) -> Process:
    password = kept.secret(settings.home / "flower-password")
    return Process(
        name="flower",
        command=(
            *(sys.executable, "-m", "celery", "-A", "infra.worker", "flower"),
            *(f"--address={kept.LOOPBACK}", f"--port={settings.flower_port}"),
        ),
        env=env | {"FLOWER_BASIC_AUTH": f"uoop:{password}"},  # a command line is seen by all
        stage=2,
        stop_stage=2,
        stop_share=0.9,
        port=settings.flower_port,
        ready=partial(readiness.port_open, kept.LOOPBACK, settings.flower_port),
    )


def embed(settings: Settings) -> tuple[Settings, list[Process]]:
    """
    Prepare the embedded servers that stand in for external ones; the settings returned name them.

    :raises CannotEmbed: if one cannot run here
    """
    urls: dict[str, object] = {}
    servers = []
    if not settings.database_url:
        server = postgres.prepare(settings.home)
        urls["database_url"] = server.url
        servers.append(
            Process(
                name="postgres",
                command=server.command,
                env=bare_environment(),
                stage=0,
                stop_stage=3,
                port=server.port,
                ready=partial(postgres.is_ready, server.url),
                ready_within_s=300.0,  # after a kill it first replays its log
                stop_signal=signal.SIGINT,  # its fast shutdown; SIGTERM would wait for clients
                before_start=server.clean,
                trace=traces(settings.home)[0],
            )
        )
    if settings.lacks_redis:
        cache = redis.prepare(settings.home)
        urls["redis_url"] = cache.url
        servers.append(
            Process(
                name="redis",
                command=cache.command,
                env=bare_environment(),
                stage=0,
                stop_stage=2,
                stop_share=0.9,
                port=cache.port,
                ready=partial(redis.is_ready, cache.url),
                ready_within_s=120.0,
                trace=traces(settings.home)[1],
            )
        )
    return settings.with_values(**urls), servers


def traces(home: Path) -> tuple[Trace, Trace]:
    return Trace("postgres", home / "postgres" / "data"), Trace("redis-server", home / "redis")


def bare_environment() -> dict[str, str]:
    """Our environment without settings: children get those resolved, embedded servers get none."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith("UOOP_")}


def _reachable(host: str) -> str:
    return kept.LOOPBACK if host in {"0.0.0.0", "::"} else host  # noqa: S104 - we compare, we do not listen
