"""The platform's own keys, remembered, so that a request costs no query."""

import threading
import time
from collections.abc import Sequence, Set

import structlog
from sqlalchemy import Engine as Database

from app import database, errors
from app.tenants import keys
from app.tenants.keys import ApiKey
from web.services import Principal

LOOK_EVERY_S = 2.0
"""A key that is revoked opens nothing more after this time and one query, as long as Postgres answers."""
UNKNOWN_PER_S = 100

_NOBODY = (None, None)

log = structlog.get_logger()


class TooManyUnknown(errors.Unavailable):
    """Too many keys that nobody knows are being tried."""

    code = "too-many-unknown-keys"


class ApiKeys:
    """
    Every key that has been shown here is read again every 2 s, all in one query, from a thread of its own.

    While Postgres is away the keys hold as they were last read; no order can be taken meanwhile. Keys never seen
    before cost a query each: 100 a second at most, whatever is tried.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: dict[str, tuple[ApiKey, Principal]] = {}
        self._asked = (0.0, 0)  # in this second, so many
        threading.Thread(target=self._look, name="api-keys", daemon=True).start()

    def recognise(self, token: str) -> Principal | None:
        """Whose token this is, of the keys that are remembered."""
        key, principal = self._known.get(token[5 : 5 + keys.PREFIX_LENGTH], _NOBODY)
        return principal if key and key.matches(token) else None

    def authenticate(self, token: str) -> Principal | None:
        """
        Whose token this is, None when nobody's.

        :raises TooManyUnknown: when too many unknown ones were tried in this second
        """
        found = self.recognise(token)
        visible = keys.prefix(token)
        if found or visible is None or visible in self._known:
            return found
        self._count_unknown()
        self._find([visible])
        return self.recognise(token)

    def refresh(self) -> None:
        """Read all remembered keys again."""
        asked = [*self._known]
        if asked:
            for gone in set(asked) - self._find(asked):
                del self._known[gone]

    def _find(self, asked: Sequence[str]) -> Set[str]:
        """Read these, and tell which there are."""
        found = database.read(self._db, lambda connection: keys.find(connection, asked))
        self._known.update({visible: (key, _principal(key)) for visible, key in found.items()})
        return found.keys()

    def _look(self) -> None:
        pause = threading.Event()
        while not pause.wait(LOOK_EVERY_S):
            try:
                self.refresh()
            except errors.Unavailable as error:
                log.warning("keys-not-read", code=error.code)
            except Exception:  # the thread must live: without it a revoked key would open for ever
                log.exception("keys-not-read")

    def _count_unknown(self) -> None:
        second = float(int(time.monotonic()))
        since, count = self._asked
        self._asked = (second, count + 1 if since == second else 1)
        if self._asked[1] > UNKNOWN_PER_S:
            raise TooManyUnknown(retry_after_s=1)


def _principal(key: ApiKey) -> Principal:
    return Principal(key.tenant_id, key.prefix, key.scopes, key.rate_per_s, key.tenant_rate_per_s)
