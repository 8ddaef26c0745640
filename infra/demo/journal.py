"""
What a client was promised: one JSON line for every 202, on disk before anybody counts on it.

    {"id": tracking id, "key": idempotency key, "first_sent_at": .., "sent_at": .., "accepted_at": ..}

Times are epoch seconds of the client's clock. The audit holds the platform to these lines.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self


class Promise(NamedTuple):
    """
    One 202.

    :param first_sent_at: when the order was sent for the first time
    :param sent_at: when the request was sent that got this answer
    """

    id: str
    key: str
    first_sent_at: float
    sent_at: float
    accepted_at: float


class Journal:
    """Appends promises; `flush` hands what was appended to the operating system."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = path
        self._file = path.open("ab", buffering=1 << 16)

    def append(self, promise: Promise) -> None:
        # By hand: ids and keys are plain visible ASCII without quotes, and this runs once per order.
        self._file.write(
            b'{"id":"%b","key":"%b","first_sent_at":%.6f,"sent_at":%.6f,"accepted_at":%.6f}\n'
            % (promise.id.encode(), promise.key.encode(), *promise[2:])
        )

    def flush(self) -> None:
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._file.close()


def read(path: Path) -> Iterator[Promise]:
    """The promises in a journal; a last line that was cut off by a kill is left out."""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield Promise(**json.loads(line))
