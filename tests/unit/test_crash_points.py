"""A process dies where it was told to, once, and nowhere else."""

import signal
import subprocess
import sys
from pathlib import Path

from app.crash_points import Point

PROGRAM = """
import sys
from pathlib import Path
from app import crash_points
if sys.argv[1]:
    crash_points.arm(Path(sys.argv[1]))
crash_points.reach(*sys.argv[2:])
"""


def _dies(armed_with: Path | None, *reached: str) -> bool:
    """Whether a process of its own dies there."""
    command = (sys.executable, "-c", PROGRAM, str(armed_with or ""), *reached)
    return subprocess.run(command, check=False).returncode == -signal.SIGKILL


def test_the_first_to_come_by_dies_and_the_next_passes(tmp_path: Path) -> None:
    (tmp_path / "after-effect.confirm-order.forward").touch()

    came = [_dies(tmp_path, Point.AFTER_EFFECT, "confirm-order", "forward") for _ in range(2)]

    assert came == [True, False]


def test_another_point_step_or_direction_is_passed(tmp_path: Path) -> None:
    (tmp_path / "after-effect.confirm-order.forward").touch()

    assert not _dies(tmp_path, Point.BEFORE_EFFECT, "confirm-order", "forward")
    assert not _dies(tmp_path, Point.AFTER_EFFECT, "capture-payment", "forward")
    assert not _dies(tmp_path, Point.AFTER_EFFECT, "confirm-order", "backward")


def test_a_process_that_is_not_armed_passes_whatever_lies_there(tmp_path: Path) -> None:
    (tmp_path / "after-effect.confirm-order.forward").touch()

    assert not _dies(None, Point.AFTER_EFFECT, "confirm-order", "forward")


def test_whoever_meets_a_poisonous_customer_at_the_step_dies_each_time(tmp_path: Path) -> None:
    (tmp_path / "poison.confirm-order.segfault").write_text("p-1")

    met = [_meets(tmp_path, "confirm-order", "c-1", "p-1") for _ in range(2)]

    assert met == [-signal.SIGSEGV, -signal.SIGSEGV]
    assert _meets(tmp_path, "confirm-order", "c-1") == 0
    assert _meets(tmp_path, "capture-payment", "p-1") == 0
    assert _meets(None, "confirm-order", "p-1") == 0


def _meets(armed_with: Path | None, step: str, *customers: str) -> int:
    program = PROGRAM.replace("reach(*sys.argv[2:])", "meet(sys.argv[2], sys.argv[3:])")
    command = (sys.executable, "-c", program, str(armed_with or ""), step, *customers)
    return subprocess.run(command, check=False).returncode
