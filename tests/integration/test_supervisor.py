import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from infra import kept, running
from infra.settings import Settings
from infra.supervisor import remains, state

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("stand_in_stack.py")


@pytest.fixture
def stack(home, furnish, eventually):
    """Starts stand-in stacks on the home; whatever is left of them goes at the end."""
    started = []
    furnish(home)

    def start(stand_in="", *, drain_s=10, ready=True):
        before = story(home).count("ready at")
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT)],
            env=environment(home, STAND_IN=stand_in, UOOP_DRAIN_S=str(drain_s)),
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        started.append(process)
        if ready:
            eventually(lambda: story(home).count("ready at") > before, within_s=60)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()
    running.down(Settings.load().with_values(home=home))


def environment(home, **more):
    return os.environ | {"UOOP_HOME": str(home), "UOOP_PORT": "0", "PYTHONPATH": str(ROOT)} | more


def uoop(home, *arguments, **more):
    return subprocess.run(
        [sys.executable, "-m", "infra.cli", *arguments],
        env=environment(home, **more),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def story(home):
    path = home / "story"
    return path.read_text() if path.exists() else ""


def rows(home):
    return {row["name"]: row for row in json.loads(uoop(home, "ps", "--json").stdout)}


def pids(home):
    seen = state.read(home)
    return {row.name: row.pid for row in seen.processes} if seen else {}


def runs(process):
    """Whether it lives: one that nobody has buried yet does not."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def alive(home):
    return remains.find(home, running.stack.traces(home))


def test_everything_starts_in_order_and_is_shown(stack, home):
    stack()

    shown = rows(home)

    assert list(shown) == ["supervisor", "postgres", "redis", "web", "worker"]
    assert {row["state"] for row in shown.values()} == {"running"}
    assert all(psutil.pid_exists(row["pid"]) and row["uptime_s"] >= 0 for row in shown.values())
    assert story(home).startswith("prepared\n")


def test_the_home_is_closed_to_others(home):
    inner = home / "inner"

    with socket.create_server((kept.LOOPBACK, 0)) as taken:
        refused = uoop(inner, "up", "--detach", UOOP_PORT=str(taken.getsockname()[1]))

    assert refused.returncode == 2
    assert refused.stderr.startswith("uoop: port ")
    assert stat.S_IMODE(inner.stat().st_mode) == 0o700


def test_a_stop_drains_workers_before_their_servers_go(stack, home):
    supervisor = stack()

    supervisor.send_signal(signal.SIGTERM)

    assert supervisor.wait(30) == 0
    told = story(home)
    assert told.index("web ended") < told.index("worker drained")
    assert "database system is shut down" in (home / "logs" / "postgres.log").read_text()
    assert alive(home) == []
    assert state.read(home) is None
    assert "messages may be lost" not in told


@pytest.mark.timeout(120)
def test_whatever_is_killed_runs_again_with_all_that_it_had_started(stack, home, eventually):
    stack()
    for name in ("postgres", "redis", "web", "worker"):
        before = pids(home)[name]
        offspring = psutil.Process(before).children(recursive=True)

        os.kill(before, signal.SIGKILL)

        eventually(
            lambda name=name, before=before: (
                rows(home)[name]["state"] == "running" and rows(home)[name]["pid"] != before
            )
        )
        assert not [process for process in offspring if runs(process)]
    eventually(lambda: "messages may be lost" in story(home))
    assert {name: row["restarts"] for name, row in rows(home).items()} == {
        "supervisor": 0,
        "postgres": 1,
        "redis": 1,
        "web": 1,
        "worker": 1,
    }


def test_strays_in_other_sessions_die_with_their_process(stack, home, eventually):
    stack()
    worker = psutil.Process(pids(home)["worker"])
    strays = eventually(lambda: len(worker.children()) == 2 and worker.children())

    worker.kill()

    eventually(lambda: pids(home)["worker"] not in {None, worker.pid})
    assert not [stray for stray in strays if runs(stray)]


def test_what_a_killed_supervisor_left_is_cleaned_by_the_next(stack, home):
    supervisor = stack()
    left = [psutil.Process(pid) for name, pid in pids(home).items() if name != "supervisor"]
    supervisor.kill()
    supervisor.wait()
    assert {row["state"] for row in rows(home).values()} == {"orphan"}

    stack()

    assert not [process for process in left if runs(process)]
    assert {row["state"] for row in rows(home).values()} == {"running"}
    told = story(home).splitlines()
    assert told.index("messages may be lost") < len(told) - told[::-1].index("worker began")


def test_down_ends_also_what_a_killed_supervisor_left(stack, home):
    supervisor = stack()
    supervisor.kill()
    supervisor.wait()

    done = uoop(home, "down")

    assert (done.returncode, done.stderr) == (0, "stopped\n")
    assert alive(home) == []


def test_down_drains_what_runs(stack, home):
    supervisor = stack()

    done = uoop(home, "down")

    assert (done.returncode, done.stderr) == (0, "stopped\n")
    assert supervisor.wait(30) == 0
    assert "worker drained" in story(home)
    assert alive(home) == []


def test_a_second_up_on_the_same_home_is_refused_in_one_line(stack, home):
    stack()

    for arguments in (("up",), ("up", "--detach")):
        second = uoop(home, *arguments)
        assert second.returncode == 2
        assert (
            second.stderr
            == f"uoop: UOOP already runs on {home}: stop it with `uoop down`, or set UOOP_HOME\n"
        )


def test_two_homes_live_side_by_side(stack, home, tmp_path_factory):
    stack()
    other = Settings.load().with_values(home=tmp_path_factory.mktemp("other"))

    assert not running.down(other)
    assert len(rows(home)) == 5


def test_a_process_that_never_comes_up_ends_the_start_in_one_line(stack, home):
    supervisor = stack("broken", ready=False)

    assert supervisor.wait(60) == 2
    assert supervisor.stderr.read().decode() == (
        f"worker does not come up (exit code 1): see {home}/logs/worker.log\n"
    )
    assert alive(home) == []


def test_a_process_that_does_not_hear_is_killed_within_the_bound(stack, home, eventually):
    supervisor = stack("deaf", drain_s=2)
    eventually(lambda: "worker began" in story(home))

    supervisor.send_signal(signal.SIGINT)

    assert supervisor.wait(30) == 0
    assert alive(home) == []
    assert state.path(home).exists()  # the next start knows that messages may be lost


def test_a_second_signal_hurries(stack, home, eventually):
    supervisor = stack("deaf", drain_s=500)
    eventually(lambda: "worker began" in story(home))

    supervisor.send_signal(signal.SIGINT)
    eventually(lambda: state.read(home).processes[0].state == "stopping")
    supervisor.send_signal(signal.SIGINT)

    assert supervisor.wait(30) == 0
    assert alive(home) == []


def test_a_taken_port_is_refused_in_one_line(home):
    with socket.create_server((kept.LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        refused = uoop(home, "up", UOOP_PORT=str(port))

    assert refused.returncode == 2
    assert refused.stderr == f"uoop: port {port} is taken: end what listens there, or set UOOP_PORT\n"
    assert alive(home) == []


def test_a_wrong_setting_is_refused_in_one_line(home):
    refused = uoop(home, "up", UOOP_PROT="1")

    assert refused.returncode == 2
    assert refused.stderr == "uoop: UOOP_PROT is not a setting: did you mean UOOP_PORT?\n"


def test_external_servers_are_used_instead_of_embedded_ones(home, postgres_url, redis_url):
    given = Settings.load().with_values(home=home, database_url=postgres_url, redis_url=redis_url)

    resolved, servers = running.stack.embed(given)

    assert servers == []
    assert resolved == given
    assert running.connected(given).database_url.get_secret_value() == postgres_url


def test_nothing_is_shown_where_nothing_runs(home):
    shown = uoop(home, "ps", "--json")

    assert (shown.returncode, shown.stdout) == (0, "[]\n")
    assert uoop(home, "down").stderr == f"nothing runs on {home}\n"


def test_logs_shows_the_last_lines(stack, home):
    stack()

    shown = uoop(home, "logs", "supervisor", "-n", "1")

    assert "stack-ready" in shown.stdout
    assert uoop(home, "logs", "nobody").returncode == 2


@pytest.mark.timeout(120)
def test_a_drained_worker_finishes_and_rests_while_the_others_go_on(stack, home, eventually):
    stack()
    before = pids(home)

    drained = uoop(home, "drain", "worker")
    resting = rows(home)
    told = story(home)
    again = uoop(home, "undrain", "worker")

    assert (drained.returncode, again.returncode) == (0, 0), drained.stderr + again.stderr
    assert "worker rests" in drained.stderr
    assert (resting["worker"]["state"], resting["worker"]["pid"]) == ("stopped", None)
    assert "worker drained" in told
    assert {name: resting[name]["pid"] for name in ("postgres", "redis", "web")} == {
        name: before[name] for name in ("postgres", "redis", "web")
    }
    assert "messages may be lost" not in story(home)
    assert story(home).count("worker began") == 2
    assert rows(home)["worker"]["state"] == "running"


@pytest.mark.timeout(120)
def test_a_worker_that_is_killed_while_it_drains_is_told_of_and_stays_at_rest(stack, home, eventually):
    stack(stand_in="deaf")
    worker = pids(home)["worker"]

    with subprocess.Popen(
        [sys.executable, "-m", "infra.cli", "drain", "worker"], env=environment(home), stderr=subprocess.PIPE
    ) as draining:
        eventually(lambda: rows(home)["worker"]["state"] == "stopping")
        os.kill(worker, signal.SIGKILL)
        draining.communicate(timeout=60)

    assert draining.returncode == 0
    assert rows(home)["worker"]["state"] == "stopped"
    eventually(lambda: "messages may be lost" in story(home))


def test_only_workers_are_drained(stack, home):
    stack()

    for name in ("web", "nobody"):
        refused = uoop(home, "drain", name)

        assert refused.returncode == 2
        assert refused.stderr == f"uoop: {name} is no worker that runs on {home}: worker\n"
