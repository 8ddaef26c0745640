"""Journals: what clients wrote down of every 202, as JSON lines."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from infra.audit.model import JournalUnreadable

_LINES_PER_CHUNK = 5_000


class _Entry(msgspec.Struct, frozen=True):
    id: str
    key: str


_DECODER = msgspec.json.Decoder(_Entry)
_SPECIAL = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def entries(paths: Sequence[Path]) -> Iterator[bytes]:
    """
    Rows of tracking id and idempotency key. A torn last line is passed over: its writer was killed.

    :raises JournalUnreadable: if a file cannot be read or a whole line is not an entry
    """
    for path in paths:
        chunk: list[str] = []
        for number, line in enumerate(_lines(path), start=1):
            try:
                entry = _DECODER.decode(line)
            except msgspec.DecodeError as error:
                if not line.endswith(b"\n"):
                    break
                raise JournalUnreadable(
                    path=path, reason=f"line {number} is not an entry: {error}"
                ) from error
            if b"\\" in line:  # the only way for a special character into a JSON string
                entry = _Entry(entry.id.translate(_SPECIAL), entry.key.translate(_SPECIAL))
            chunk.append(f"{entry.id}\t{entry.key}\n")
            if len(chunk) == _LINES_PER_CHUNK:
                yield "".join(chunk).encode()
                chunk = []
        yield "".join(chunk).encode()


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from file
    except OSError as error:
        raise JournalUnreadable(path=path, reason=error.strerror) from error
