import os
import signal
from functools import partial

from infra.supervisor import Process, Supervisor

AT_ONCE = max(2, len(os.sched_getaffinity(0)))


def test_no_more_load_at_once_than_there_are_cores(tmp_path):
    told = []

    def is_ready(asked):
        asked.append(True)
        if len(asked) == 3:
            told.append(-1)
        return len(asked) >= 3

    processes = [
        Process(
            name=f"p{n}",
            command=("sleep", "60"),
            stage=0,
            stop_stage=0,
            ready=partial(is_ready, []),
            before_start=partial(told.append, 1),
        )
        for n in range(AT_ONCE + 3)
    ]

    Supervisor(
        home=tmp_path,
        processes=processes,
        drain_s=5.0,
        on_ready=lambda: os.kill(os.getpid(), signal.SIGTERM),
    ).run()

    loading = [sum(told[: n + 1]) for n in range(len(told))]
    assert max(loading) == AT_ONCE
    assert told.count(1) == len(processes)


def test_who_waits_for_something_holds_nobody_up(tmp_path):
    begun = []
    stuck = Process(
        name="stuck", command=("sleep", "60"), stage=0, stop_stage=0, ready=lambda: "last" in begun
    )
    last = Process(
        name="last",
        command=("sleep", "60"),
        stage=0,
        stop_stage=0,
        ready=lambda: True,
        before_start=partial(begun.append, "last"),
    )

    Supervisor(
        home=tmp_path,
        processes=[*(stuck for _ in range(AT_ONCE)), last],
        drain_s=5.0,
        on_ready=lambda: os.kill(os.getpid(), signal.SIGTERM),
    ).run()

    assert begun == ["last"]
