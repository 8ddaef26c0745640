"""
Places at which a process can be made to die, so that what follows its death can be tested.

Inert unless armed with a folder. Then whoever puts a file there, named `POINT`, or `POINT.STEP.DIRECTION` for a
point that every step passes, has the next process that comes by killed, once: it dies only if it was the one
who removed the file.

A file named `poison.STEP.HARM`, with a customer in it, harms whoever executes the step for that customer's order,
each time, as long as it lies there.
"""

import os
import signal
import time
from collections.abc import Collection
from contextlib import suppress
from enum import StrEnum
from pathlib import Path


class Point(StrEnum):
    """Where."""

    BEFORE_EFFECT = "before-effect"  # the intent is committed, nobody has been called
    AFTER_EFFECT = "after-effect"  # the other side has acted, its answer is not committed
    AFTER_COMMIT = "after-commit"  # the outcomes are committed, the message is not acknowledged
    JOIN_AFTER_COMMIT = "join-after-commit"  # the branches are joined, the message is not acknowledged
    CLAIM_AFTER_COMMIT = "claim-after-commit"  # a cohort is claimed, and not sent
    ACCEPT_AFTER_COMMIT = "accept-after-commit"  # orders are kept, their senders are not answered
    RELAY_AFTER_PUBLISH = "relay-after-publish"  # the sink has the events, nobody has noted it


class Harm(StrEnum):
    """What an order does to the process that handles it."""

    SEGFAULT = "segfault"
    MEMORY = "memory"  # takes 4 GB, if it is let
    HANG = "hang"  # for an hour


_folder: Path | None = None


def arm(folder: Path) -> None:
    """Look for files in this folder from now on, in this process and those that it forks."""
    global _folder  # noqa: PLW0603 (a process is armed once, as it starts)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _folder = folder


def reach(point: Point, step: str = "", direction: str = "") -> None:
    """Pass the point, or die there without a word."""
    if _folder is not None:
        _die_if_told(_folder / name(point, step, direction))


def meet(step: str, customers: Collection[object]) -> None:
    """Execute the step for these customers' orders unharmed, or not."""
    if _folder is None:
        return
    for harm in Harm:
        with suppress(FileNotFoundError):
            if (_folder / f"poison.{step}.{harm}").read_text() in customers:
                _suffer(harm)


def name(point: Point, step: str = "", direction: str = "") -> str:
    """The name of the file that arms the point."""
    return ".".join(part for part in (point, step, direction) if part)


def _die_if_told(told: Path) -> None:
    try:
        told.unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def _suffer(harm: Harm) -> None:
    match harm:
        case Harm.SEGFAULT:
            os.kill(os.getpid(), signal.SIGSEGV)
        case Harm.MEMORY:
            _ = [bytearray(1 << 24) for _ in range(256)]
        case Harm.HANG:
            time.sleep(3600)
