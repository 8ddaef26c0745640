"""What a client would like, in the Prefer header (RFC 7240)."""

import re
from collections.abc import Iterable

LONGEST_WAIT_S = 60

_WAIT = re.compile(r'(?:^|,)[ \t]*wait[ \t]*=[ \t]*(?:"(\d{1,9})"|(\d{1,9}))[ \t]*(?=[,;]|$)', re.IGNORECASE)


def wait_s(header: str | None) -> int:
    """For how many seconds the client would wait, 60 at most; 0 without a word on it."""
    found = _WAIT.search(header) if header else None
    return min(int(found[1] or found[2]), LONGEST_WAIT_S) if found else 0


def applied(waited_s: int) -> Iterable[tuple[str, str]]:
    """The field that tells the client its wish was heard."""
    return [("Preference-Applied", f"wait={waited_s}")] if waited_s else []
