"""How an API process learns of changed orders while clients wait: it is told by Redis, and looks for itself."""

import threading
import time
from collections.abc import Mapping
from typing import Any

import redis
import structlog
from sqlalchemy import Engine as Database

from app import database, errors
from app.orders import queries
from infra.status_cache import CHANNEL
from web.services import Listener

LOOK_EVERY_S = 1.0

log = structlog.get_logger()


class Watcher:
    """
    One thread per process, started by the first client that waits.

    Redis says at once what has changed, or is away, was emptied, or lost a word: so all orders that are waited for
    are looked up in Postgres each second as well, in one query.
    """

    def __init__(self, client: "redis.Redis", db: Database) -> None:
        self._client, self._db = client, db
        self._thread: threading.Thread | None = None
        self._listener: Listener | None = None
        self._stopped = threading.Event()

    def follow(self, listener: Listener) -> None:
        self._listener = listener
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="changes", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Look no more; returns when the thread has ended."""
        self._stopped.set()
        if self._thread:
            self._thread.join()

    def _run(self) -> None:
        heard: Any = self._client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
        while not self._stopped.is_set():
            end = time.monotonic() + LOOK_EVERY_S
            try:
                self._look()
                if not heard.subscribed:
                    heard.subscribe(CHANNEL)
                while (left_s := end - time.monotonic()) > 0:
                    self._hear(heard.get_message(timeout=left_s))
            except redis.RedisError as error:
                log.warning("changes-unheard", error=type(error).__name__)
            except Exception:  # the thread must live: without it nobody who waits is woken
                log.exception("changes-unheard")
            self._stopped.wait(max(0.0, end - time.monotonic()))
        heard.close()

    def _hear(self, message: Mapping[str, Any] | None) -> None:
        if message and self._listener:
            pairs = (pair.rpartition(":") for pair in message["data"].decode().split())
            self._listener.tell({order_id: int(version) for order_id, _, version in pairs})

    def _look(self) -> None:
        watched = self._listener.watched() if self._listener else []
        if not watched or not self._listener:
            return
        try:
            self._listener.tell(database.read(self._db, lambda c: queries.versions(c, watched)))
        except errors.Unavailable as error:
            log.warning("changes-unread", code=error.code)
