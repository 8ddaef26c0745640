"""What `uoop up` starts, with workers whose saga of an order does nothing: `python -m benchmarks.noop.platform`."""

from collections.abc import Sequence
from dataclasses import replace

from infra import running, stack, wiring
from infra.settings import Settings
from infra.supervisor import Process


def _processes(settings: Settings) -> Sequence[Process]:
    return [
        replace(
            each,
            command=tuple("benchmarks.noop.pool" if word == "infra.pool" else word for word in each.command),
        )
        for each in stack.processes(settings)
    ]


if __name__ == "__main__":
    running.up(Settings.load(), processes=_processes, on_unclean_worker_death=wiring.worker_died)
