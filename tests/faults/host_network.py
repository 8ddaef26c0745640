"""
Hosts on one machine: each with its own network, name, process ids and /proc, at a switch that is our own network.

Nothing of it is seen from the machine, and all of it is gone with us: a host's first process reads a pipe of ours,
and the kernel ends whatever else runs on a host when that process does.
"""

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import psutil

from infra import stack

T = TypeVar("T")

SWITCH = "switch"
OUTSIDE = "10.89.0.1"  # our own address: clients and providers are there
_PERIOD_US = 20_000
_FIRST = ("sh", "-c", 'hostname "$0" && exec cat')
_NAMESPACES = ("--net", "--uts", "--ipc", "--pid", "--mount")


@dataclass(frozen=True)
class Host:
    """
    One of them.

    :param group: the control group of its processes; None: they are in ours
    """

    name: str
    address: str
    first_pid: int
    group: Path | None = None
    beside: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def run(self, *command: str, **settings: str) -> None:
        """
        Run to its end.

        :raises subprocess.CalledProcessError: if it fails
        """
        subprocess.run(
            self._inside(command), env=_environment(settings), check=True, stdout=subprocess.DEVNULL
        )

    def start(self, *command: str, log: Path) -> None:
        """Run beside us, until the host goes."""
        with log.open("ab") as file:
            self.beside.append(
                subprocess.Popen(self._inside(command), env=_environment({}), stdout=file, stderr=file)
            )

    def bind(self, cores: float) -> None:
        """Let all of it take no more than this share of CPU, from now on."""
        assert self.group
        if (self.group / "cpu.max").exists():
            (self.group / "cpu.max").write_text(f"{round(cores * _PERIOD_US)} {_PERIOD_US}")
        else:
            (self.group / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (self.group / "cpu.cfs_quota_us").write_text(str(round(cores * _PERIOD_US)))

    def cut(self) -> None:
        """Pull its cable out of the switch."""
        _ip(f"link set {self.name} down")

    def heal(self) -> None:
        """Put it back."""
        _ip(f"link set {self.name} up")

    def _inside(self, command: Sequence[str]) -> list[str]:
        entered = ["nsenter", f"--target={self.first_pid}", *_NAMESPACES, "--wd", "--", *command]
        if self.group is None:
            return entered
        return ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self.group / "cgroup.procs"), *entered]


def make_switch() -> None:
    """In a network of our own, in which there is nothing yet."""
    _ip("link set lo up")
    _ip(f"link add name {SWITCH} type bridge")
    _ip(f"addr add {OUTSIDE}/24 dev {SWITCH}")
    _ip(f"link set {SWITCH} up")


@contextmanager
def host(name: str, number: int, *, can_be_bound: bool = False) -> Iterator[Host]:
    """
    A host at the switch; all that runs on it ends with it.

    :param number: the last part of its address
    :param can_be_bound: whether it shall have a control group
    """
    with _group(name, can_be_bound) as group:
        unshared = subprocess.Popen(
            ("unshare", *_NAMESPACES, "--fork", "--mount-proc", *_FIRST, name),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        assert unshared.stdin
        made = Host(name, f"10.89.0.{number}", awaited(lambda: _first(unshared.pid), f"host {name}"), group)
        try:
            _ip(f"link add name {name} type veth peer name eth0 netns {made.first_pid}")
            _ip(f"link set {name} master {SWITCH} up")
            made.run("ip", "addr", "add", f"{made.address}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                made.run("ip", "link", "set", device, "up")
            yield made
        finally:
            unshared.stdin.close()
            for process in (unshared, *made.beside):
                process.wait(30)
            with suppress(subprocess.CalledProcessError):
                _ip(f"link del {name}")  # the kernel takes its time, and the next may have the same name


def awaited(condition: Callable[[], T], what: str, within_s: float = 60.0) -> T:
    """
    What the condition gives once it is not empty.

    :raises TimeoutError: if it stays empty
    """
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.005)
    raise TimeoutError(f"{what} did not come within {within_s:.0f} s")


def _first(unshared: int) -> int:
    """The host's first process, once it has its name and waits."""
    return next((child.pid for child in psutil.Process(unshared).children() if child.name() == "cat"), 0)


@contextmanager
def _group(name: str, wanted: bool) -> Iterator[Path | None]:
    """Of version 1 or 2, whichever there is."""
    if not wanted:
        yield None
        return
    first, second = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")
    group = (first if first.is_dir() else second) / f"uoop-{name}"
    group.mkdir()
    try:
        yield group
    finally:
        awaited(lambda: not (group / "cgroup.procs").read_text(), f"the end of {name}'s processes")
        group.rmdir()


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    return stack.bare_environment() | dict(settings)


def _ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True)
