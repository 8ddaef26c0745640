"""All sinks at once: one that is slow or silent is left to itself, and waited for by nobody."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

import structlog

from app.outbox.relay import Relay

PATIENCE_S = 0.1

log = structlog.get_logger()


class Relays:
    """One relay per sink, each in a thread of its own."""

    def __init__(self, relays: Sequence[Relay]) -> None:
        self._relays = tuple(relays)
        self._pool = ThreadPoolExecutor(max(1, len(self._relays)), thread_name_prefix="relay")
        self._running: dict[str, Future[int]] = {}

    def run_once(self) -> int:
        """
        Let every sink that is not busy take a batch; wait a moment for those.

        :return: how many events were taken since the last call
        """
        late = set(self._running)
        for relay in self._relays:
            if relay.sink not in late:
                self._running[relay.sink] = self._pool.submit(_run, relay)
        wait([future for sink, future in self._running.items() if sink not in late], timeout=PATIENCE_S)
        done = [sink for sink, future in self._running.items() if future.done()]
        return sum(self._running.pop(sink).result() for sink in done)


def _run(relay: Relay) -> int:
    """A sink that breaks in an unforeseen way is told of, and keeps no other from its events."""
    try:
        return relay.run_once()
    except Exception:
        log.exception("relay-broken", sink=relay.sink)
        return 0
