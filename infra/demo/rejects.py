"""Lines of a file that cannot be played: told with their number, and kept in a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Reject:
    """
    :param number: of the line in its file, from 1; 0 for the whole file
    :param line: as it was read, without its end
    """

    file: str
    number: int
    reason: str
    line: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.number}: {self.reason}"


def write(path: Path, rejects: Sequence[Reject]) -> None:
    """Keep them, tab-separated: place, reason, line."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("w") as file:
        for reject in rejects:
            file.write(f"{reject.file}:{reject.number}\t{reject.reason}\t{reject.line}\n")
