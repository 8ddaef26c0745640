"""Journals, as JSON lines: what clients wrote down of every 202, and consumers of every event that they heard."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from infra.audit.model import JournalUnreadable

_LINES_PER_CHUNK = 5_000


class _Promise(msgspec.Struct, frozen=True):
    id: str
    key: str

    @property
    def fields(self) -> tuple[str, ...]:
        return self.id, self.key


class _Event(msgspec.Struct, frozen=True):
    """Of the envelope, what identifies an event."""

    id: Annotated[str, msgspec.Meta(pattern="^[0-9]{1,18}$|^[0-8][0-9]{18}$")]
    subject: str
    sequence: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
    type: str

    @property
    def fields(self) -> tuple[str, ...]:
        return self.id, self.subject, str(self.sequence), self.type


_PROMISES = msgspec.json.Decoder(_Promise)
_EVENTS = msgspec.json.Decoder(_Event)
_SPECIAL = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def entries(paths: Sequence[Path]) -> Iterator[bytes]:
    """
    Rows of tracking id and idempotency key. A torn last line is passed over: its writer was killed.

    :raises JournalUnreadable: if a file cannot be read or a whole line is not an entry
    """
    for path in paths:
        yield from _rows(path, _PROMISES)


def heard(consumer: str, path: Path) -> Iterator[bytes]:
    """
    Rows of consumer, event id, subject, sequence and type, as they were heard. A torn last line is passed over.

    :raises JournalUnreadable: if a file cannot be read or a whole line is not an event
    """
    return _rows(path, _EVENTS, f"{consumer.translate(_SPECIAL)}\t")


def _rows(
    path: Path, decoder: "msgspec.json.Decoder[_Promise] | msgspec.json.Decoder[_Event]", first: str = ""
) -> Iterator[bytes]:
    chunk: list[str] = []
    for number, line in enumerate(_lines(path), start=1):
        try:
            fields = decoder.decode(line).fields
        except msgspec.DecodeError as error:
            if not line.endswith(b"\n"):
                break
            raise JournalUnreadable(path=path, reason=f"line {number} is not an entry: {error}") from error
        if b"\\" in line:  # the only way for a special character into a JSON string
            fields = tuple(field.translate(_SPECIAL) for field in fields)
        chunk.append(first + "\t".join(fields) + "\n")
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
