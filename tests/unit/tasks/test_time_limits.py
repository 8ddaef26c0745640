"""A step that hangs is interrupted within a message that may take longer, and ended if it does not heed that."""

import signal
import subprocess
import sys
import threading

import pytest
from billiard.exceptions import SoftTimeLimitExceeded

from tasks.time_limits import limited

DEAF = """
import signal, threading, tasks.time_limits as limits
limits.KILL_AFTER_S = 0.2
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
with limits.limited(0.2):
    threading.Event().wait(60)
"""


def test_what_takes_too_long_is_interrupted() -> None:
    with pytest.raises(SoftTimeLimitExceeded), limited(0.05):
        threading.Event().wait(60)


def test_what_ends_in_time_leaves_no_alarm_behind() -> None:
    with limited(60):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0

    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_outside_of_the_main_thread_nothing_is_interrupted() -> None:
    before, there = signal.getsignal(signal.SIGALRM), []

    def work() -> None:
        with limited(60):
            there.append(signal.getsignal(signal.SIGALRM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert there == [before]


def test_a_process_that_does_not_heed_it_ends() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", DEAF], capture_output=True, text=True, check=False, timeout=60
    )

    assert ended.returncode == 1
    assert "Timeout" in ended.stderr
