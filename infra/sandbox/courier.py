"""
Plays the lives of deliveries, and tells of them by signed callbacks: twice, late and out of order, as couriers do.

Told at run time only. A message that is not taken is sent again every second, a minute long.
"""

from __future__ import annotations

import asyncio
import http.client
import secrets
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit

import msgspec

from app.callbacks import signature
from app.callbacks.formats import uoop
from app.callbacks.formats.uoop import ToldEvent, ToldEvents

FORMAT = uoop.FORMAT.name
TRIES, AGAIN_AFTER_S, ANSWER_WITHIN_S = 60, 1.0, 5.0

# One before its time, and three that were told already.
LIFE = (
    *("PREPARING", "PICKED_UP", "READY_FOR_PICKUP", "PICKED_UP"),
    *("IN_TRANSIT", "DELIVERED", "IN_TRANSIT", "DELIVERED"),
)


class Courier:
    """Of one provider."""

    def __init__(self, provider: str, key: bytes) -> None:
        self._path = f"/v1/partners/{provider}/callbacks"
        self._key = key
        self._telling = set[asyncio.Task[None]]()

    def begin(self, keys: Sequence[str], *, to: str, seconds: float) -> None:
        """Let these dispatches be delivered within so many seconds; `to` is the platform's address."""
        loop = asyncio.get_running_loop()
        for nth, state in enumerate(LIFE, start=1):
            loop.call_later(seconds * nth / len(LIFE), self._begin_telling, keys, state, to)

    def _begin_telling(self, keys: Sequence[str], state: str, to: str) -> None:
        now = datetime.now(UTC)
        told = ToldEvents(
            events=[ToldEvent(id=f"{key}:{state}", order=key, state=state, at=now) for key in keys]
        )
        task = asyncio.get_running_loop().create_task(self._tell(msgspec.json.encode(told), to))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell(self, body: bytes, to: str) -> None:
        message_id = f"msg_{secrets.token_hex(12)}"
        for _ in range(TRIES):
            at = str(int(time.time()))
            headers = {
                "Content-Type": "application/json",
                "webhook-id": message_id,
                "webhook-timestamp": at,
                "webhook-signature": signature.sign(self._key, message_id, at, body),
            }
            if await asyncio.to_thread(_posted, to, self._path, body, headers):
                return
            await asyncio.sleep(AGAIN_AFTER_S)


def _posted(to: str, path: str, body: bytes, headers: dict[str, str]) -> bool:
    """Whether it was taken."""
    parts = urlsplit(to)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=ANSWER_WITHIN_S)
    try:
        connection.request("POST", path, body, headers)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
