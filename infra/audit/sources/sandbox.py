"""The sandbox's ledger of what really happened, over HTTP."""

import http.client
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from infra.audit.model import SourceAway

_CHUNK_BYTES = 1 << 18
_SILENCE_AT_MOST_S = 30.0


def effects(home: Path) -> Iterator[bytes]:
    """
    Every line of the ledger of the sandbox that serves `home`: seq, provider, resource, key, order, op, at,
    amount, currency. The lines are those up to one instant after the call.

    :raises SourceAway: if the sandbox does not answer
    """
    try:
        port = int((home / "sandbox" / "port").read_text())
        token = (home / "sandbox-token").read_text().strip()
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=_SILENCE_AT_MOST_S)) as connection:
            headers = {"Authorization": f"Bearer {token}", "Accept": "text/tab-separated-values"}
            connection.request("GET", "/_ledger", headers=headers)
            response = connection.getresponse()
            if response.status != http.HTTPStatus.OK:
                raise SourceAway(source="the sandbox's ledger", reason=f"status {response.status}")
            while chunk := response.read(_CHUNK_BYTES):
                yield chunk
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise SourceAway(source="the sandbox's ledger", reason=str(error) or type(error).__name__) from error
