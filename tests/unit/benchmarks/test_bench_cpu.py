"""CPU of families."""

import os
import subprocess
import sys

from benchmarks import cpu

BURN = "import time\nwhile time.process_time() < 0.5: pass"


def test_the_time_of_a_child_that_has_ended_counts():
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN!r}]); print(1, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        spent = cpu.spent_s(process.pid)
        process.communicate(b"\n")

    assert spent >= 0.4


def test_the_time_of_a_child_that_lives_counts_unless_asked_otherwise():
    child = f"{BURN}\nprint(1, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", child], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        with_it, alone = cpu.spent_s(os.getpid()), cpu.spent_s(os.getpid(), alone=True)
        process.communicate(b"\n")

    assert with_it - alone >= 0.4


def test_a_process_that_is_gone_has_spent_nothing():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()

    assert cpu.spent_s(process.pid) == 0.0


def test_costs_are_told_by_group_and_the_platform_is_without_what_stands_apart():
    meter = cpu.Meter(None)
    meter.spent = {"api": 1.0, "worker-steps": 2.0, "beat": 0.5, "sandbox": 4.0, cpu.GENERATOR: 8.0}

    assert meter.per(1000) == {
        "API": 1.0,
        "workers, beat": 2.5,
        "sandbox": 4.0,
        "load generator": 8.0,
        "platform": 3.5,
    }


def test_who_dies_meanwhile_is_not_counted_twice(monkeypatch):
    """The supervisor buries a process of 5 s, which had 4 of them before; all else stands still."""
    meter = cpu.Meter(None)
    looks = iter([{("supervisor", 1): 1.0, ("api", 2): 4.0}, {("supervisor", 1): 6.0, ("api", 3): 0.5}])
    monkeypatch.setattr(meter, "_look", lambda: next(looks))

    with meter:
        pass

    assert meter.platform_s == 1.5
