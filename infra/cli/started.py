"""The platform for the time of one command: used if it runs, else started, and stopped again."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from infra import running
from infra.settings import Settings
from infra.supervisor import state

READY_WITHIN_S = 300.0


@dataclass(slots=True)
class Started:
    """
    :param by_us: whether this command has started it
    :param keep: set it, and what we have started goes on running
    """

    settings: Settings
    by_us: bool
    keep: bool = False


@contextmanager
def platform(chosen: Settings) -> Iterator[Started]:
    """
    Have the platform running.

    :raises UoopError: if it does not become ready
    """
    by_us = not state.is_held(chosen.home)
    if by_us:
        running.up_detached(chosen)
    else:
        _await_ready(chosen)
    found = Started(running.connected(chosen), by_us)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: stop what we have started
    try:
        yield found
    except BaseException:
        found.keep = False
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
        if by_us and not found.keep:
            running.down(chosen)


def _await_ready(chosen: Settings) -> None:
    """Somebody else may just be starting it."""
    end = time.monotonic() + READY_WITHIN_S
    while not ((seen := state.read(chosen.home)) and seen.ready):
        if time.monotonic() > end or not state.is_held(chosen.home):
            raise running.NotStarted(said="it was being started by somebody else, and did not become ready")
        time.sleep(0.1)
