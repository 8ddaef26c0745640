"""
A bound for each step of a message that carries several: the pool's own bounds are those of the whole message.

Like the pool's they interrupt first, and kill a while later what did not heed it, even inside of a library that holds
the interpreter.
"""

import faulthandler
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from billiard.exceptions import SoftTimeLimitExceeded

from sagas.definition import KILL_AFTER_S

STDERR = 2  # the real one: a worker's sys.stderr is its log


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """
    Only a process's main thread can be interrupted; in another one nothing is.

    :raises SoftTimeLimitExceeded: in the block, after so many seconds
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGALRM, _interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    faulthandler.dump_traceback_later(seconds + KILL_AFTER_S, exit=True, file=STDERR)
    try:
        yield
    finally:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_IGN)  # one that comes now has come too late
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            faulthandler.cancel_dump_traceback_later()


def _interrupt(*_: Any) -> None:
    raise SoftTimeLimitExceeded
