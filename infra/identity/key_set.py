"""
The issuer's public keys (JWKS, RFC 7517), from a file or an https address.

A set is read again when it has become old, and at once for a key id that it lacks, but never more often than every
10 s: neither a stream of invented ids nor a rotation makes a request per call. If it cannot be read the last one
holds.
"""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import jwt
import structlog

from app import errors
from app.providers.connections import Connections, ExchangeError

AGAIN_AFTER_S = 10.0
FETCH_WITHIN_S = 3.0
LEAST_RSA_BITS = 2048

log = structlog.get_logger()


class NoKeySet(errors.Unavailable):
    """The issuer's keys cannot be read."""

    code = "no-key-set"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """:param algorithm: the one for which this key may be used, told by its kind and never by a token"""

    algorithm: str
    key: jwt.PyJWK


class KeySet:
    """The keys by their ids; thread-safe."""

    def __init__(
        self, read: Callable[[], bytes], *, refresh_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read, self._refresh_s, self._clock = read, refresh_s, clock
        self._keys: dict[str, SigningKey] | None = None
        self._read_at = self._tried_at = -float("inf")
        self._reading = threading.Lock()

    def find(self, key_id: str) -> SigningKey | None:
        """
        The key of this id.

        :raises NoKeySet: if the set has never been read
        """
        if self._is_due(key_id) and self._reading.acquire(blocking=not self._has(key_id)):
            try:
                if self._is_due(key_id):  # nobody else has just read it
                    self._read_again()
            finally:
                self._reading.release()
        if self._keys is None:
            raise NoKeySet(retry_after_s=AGAIN_AFTER_S)
        return self._keys.get(key_id)

    def _is_due(self, key_id: str) -> bool:
        now = self._clock()
        wanted = not self._has(key_id) or now >= self._read_at + self._refresh_s
        return wanted and now >= self._tried_at + AGAIN_AFTER_S

    def _has(self, key_id: str) -> bool:
        return self._keys is not None and key_id in self._keys

    def _read_again(self) -> None:
        self._tried_at = self._clock()
        try:
            self._keys = parse(self._read())
            self._read_at = self._tried_at
        except (OSError, ValueError, ExchangeError, jwt.PyJWTError) as error:
            log.warning("key-set-not-read", error=f"{type(error).__name__}: {error}"[:200])


def parse(document: bytes) -> dict[str, SigningKey]:
    """
    Read a JWKS; keys that are not for RS256 or ES256 signatures, or have no id, are left out.

    :raises ValueError: if it is no JWKS
    """
    told = json.loads(document)
    if not isinstance(told, dict) or not isinstance(told.get("keys"), list):
        raise ValueError("no JWKS: it has no list of keys")
    found = {}
    for each in told["keys"]:
        algorithm = _algorithm(each) if isinstance(each, dict) else None
        if algorithm is None:
            continue
        key = jwt.PyJWK(each, algorithm=algorithm)
        if algorithm == "RS256" and key.key.key_size < LEAST_RSA_BITS:
            continue
        found[each["kid"]] = SigningKey(algorithm, key)
    return found


def source(place: str) -> Callable[[], bytes]:
    """How to read the set at this place: a file, or an https address."""
    parts = urlsplit(place)
    if parts.scheme != "https":
        return Path(place).read_bytes
    target = parts.path + (f"?{parts.query}" if parts.query else "") or "/"
    asked = f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: application/json\r\n\r\n".encode()
    connections = Connections(place)

    def fetch() -> bytes:
        status, body = connections.exchange(asked, "GET", deadline=time.monotonic() + FETCH_WITHIN_S)
        if status != 200:
            raise ValueError(f"the address answers {status}")
        return body

    return fetch


def _algorithm(key: dict[str, object]) -> str | None:
    if not isinstance(key.get("kid"), str) or key.get("use", "sig") != "sig":
        return None
    wanted = {"RSA": "RS256", "EC": "ES256"}.get(str(key.get("kty")))
    if key.get("kty") == "EC" and key.get("crv") != "P-256":
        return None
    return wanted if key.get("alg", wanted) == wanted else None
