"""What to run, as plain data."""

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Trace:
    """How a process is recognised that overwrites its own environment: program name and working folder."""

    program: str
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """
    One process of the stack.

    Stages start one after another: one begins when every process of the earlier ones has been ready once.
    Stopping goes by ``stop_stage``, lowest first; ``stop_share`` is the part of the whole drain bound,
    counted from its start, after which what still runs of the stage is killed.
    """

    name: str
    command: tuple[str, ...]
    stage: int
    stop_stage: int
    stop_share: float = 1.0
    env: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None
    ready: Callable[[], bool] | None = None  # None: ready once it has run for a moment
    ready_within_s: float = 60.0
    once: bool = False  # runs to its end with exit code 0, which is when it is ready
    worker: bool = False  # holds messages that its death may lose
    stop_signal: signal.Signals = signal.SIGTERM
    before_start: Callable[[], None] | None = None  # when no process of an earlier start lives any more
    trace: Trace | None = None
