"""
The doorbell over Redis and Celery: a key that says "a message is pending", and the message.

Ringing is done by a thread of its own, so that a slow broker delays nobody: what could not be rung, beat finds.
"""

import threading
import time
from typing import Any

import redis
import structlog
from celery import Celery

from app.doorbell import Bell
from tasks import names

# How long a ring silences the next ones, unless the one who answers takes the key away.
SILENCE_MS = {
    Bell.CLAIM: 2000,
    Bell.RELAY: 150,
    Bell.WEBHOOKS: 150,
    Bell.REPORTS: 1000,
    Bell.RECONCILE: 1000,
}
_TASKS = {
    Bell.CLAIM: names.CLAIM,
    Bell.RELAY: names.RELAY,
    Bell.WEBHOOKS: names.SEND_WEBHOOKS,
    Bell.REPORTS: names.APPLY_REPORTS,
    Bell.RECONCILE: names.RECONCILE,
}

STAY_MS = 750  # for which a place is held, and the bell silenced, from one look to the next
PAUSE_S = 0.01  # rings of many commits in a row become one

log = structlog.get_logger()


class RedisDoorbell:
    """One per process."""

    def __init__(self, client: "redis.Redis", app: Celery) -> None:
        self._client, self._app = client, app
        self._wanted: set[Bell] = set()
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def ring(self, bell: Bell) -> None:
        """Ask for the bell to be rung soon; returns at once."""
        self._wanted.add(bell)
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="doorbell", daemon=True)
                    self._thread.start()
        self._wake.set()

    def answer(self, bell: Bell) -> None:
        """Whoever comes to the door takes the key away first: a ring after that is a new one."""
        try:
            self._client.delete(_key(bell))
        except redis.RedisError as error:
            log.warning("doorbell-away", error=type(error).__name__)

    def stay(self, bell: Bell) -> bool:
        """Begin to stay at the door; False if somebody does so already, who will look in a moment."""
        try:
            return bool(self._client.set(_place(bell), 1, nx=True, px=STAY_MS))
        except redis.RedisError as error:
            log.warning("doorbell-away", error=type(error).__name__)
            return True

    def silence(self, bell: Bell) -> None:
        """Before each look of the one who stays: until the next, or until he is missed, nobody need ring or come."""
        try:
            with self._client.pipeline(transaction=False) as pipeline:
                for key in (_key(bell), _place(bell)):
                    pipeline.set(key, 1, px=STAY_MS)
                pipeline.execute()
        except redis.RedisError as error:
            log.warning("doorbell-away", error=type(error).__name__)

    def leave(self, bell: Bell) -> None:
        """Let others ring and stay again: what came after the last look shows in one that follows this."""
        try:
            self._client.delete(_place(bell), _key(bell))
        except redis.RedisError as error:
            log.warning("doorbell-away", error=type(error).__name__)

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            for bell in Bell:
                if bell in self._wanted:
                    self._wanted.discard(bell)
                    self._ring_now(bell)
            time.sleep(PAUSE_S)

    def _ring_now(self, bell: Bell) -> None:
        try:
            first: Any = self._client.set(_key(bell), 1, nx=True, px=SILENCE_MS[bell])
            if first:
                self._app.send_task(_TASKS[bell], retry=False, ignore_result=True)
        except Exception as error:  # noqa: BLE001 (whatever the broker's client raises: beat looks in anyway)
            log.warning("doorbell-away", error=type(error).__name__)


def _key(bell: Bell) -> str:
    return f"uoop:doorbell:{bell}"


def _place(bell: Bell) -> str:
    return f"uoop:doorbell:{bell}:staying"
