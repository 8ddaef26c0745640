"""A step that hangs is interrupted within a message that may take longer, and ended if it does not heed that."""

import subprocess
import sys
import threading
import time

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


def test_what_ends_in_time_is_left_alone() -> None:
    with limited(0.05):
        pass

    time.sleep(0.1)  # an alarm that was left would ring here


def test_outside_of_the_main_thread_nothing_is_interrupted() -> None:
    ended = threading.Event()

    def work() -> None:
        with limited(0.01):
            time.sleep(0.1)  # longer than the limit
        ended.set()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert ended.is_set()


def test_a_process_that_does_not_heed_it_ends() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", DEAF], capture_output=True, text=True, check=False, timeout=60
    )

    assert ended.returncode == 1
    assert "Timeout" in ended.stderr
