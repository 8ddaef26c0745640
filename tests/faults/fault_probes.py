"""Availability as a client sees it: once a second an order is submitted and read."""

import http.client
import json
import secrets
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from fault_stack import Stack

from infra.demo import city

RETRIED_FOR_S = 30.0
ANSWER_WITHIN_S = 12.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 2.0  # where the API says nothing, as when nobody listens


@dataclass
class Probes:
    """
    Counts of probes, each an order submitted or read.

    :param at_once: answered without 5xx at the first try
    :param in_the_end: the same with the retries that the API asks for, within half a minute
    :param refused: why those were not answered at once
    :param given_up: when and why those were not answered in the end
    """

    stack: Stack
    made: int = 0
    at_once: int = 0
    in_the_end: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    given_up: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> None:
        """Probe until stopped, then wait for the last ones."""
        orders = city.orders(city.city(2), 1_000_000)
        with ThreadPoolExecutor(max_workers=64) as pool:
            while not self._stop.wait(1.0):
                pool.submit(self._submit_and_read, next(orders).body)

    def stop(self) -> None:
        self._stop.set()

    def _submit_and_read(self, body: bytes) -> None:
        headers = {"Content-Type": "application/json", "Idempotency-Key": secrets.token_hex(12)}
        told = self._probe("POST", "/v1/orders", body, headers)
        if told:
            self._probe("GET", f"/v1/orders/{json.loads(told)['tracking_id']}", None, {})

    def _probe(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> bytes | None:
        end, first, told, pause_s = time.monotonic() + RETRIED_FOR_S, True, None, FIRST_PAUSE_S
        why = ""
        while told is None and (first or time.monotonic() < end):
            told, wait_s, why = self._once(method, path, body, headers)
            with self._lock:
                self.made += first
                self.at_once += first and told is not None
                self.refused.update([f"{method} {why}"] if first and told is None else [])
                self.in_the_end += told is not None
            first = False
            if told is None:
                time.sleep(wait_s or pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        if told is None:
            self.given_up.append(f"{time.strftime('%H:%M:%S')} {method} {why}")
        return told

    def _once(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[bytes | None, float, str]:
        """The answer's body, or None, how long the API asks to wait (0 if it does not), and what came instead."""
        settings = self.stack.settings
        token = (settings.home / "api-key").read_text().strip()
        connection = http.client.HTTPConnection(settings.host, settings.port, timeout=ANSWER_WITHIN_S)
        try:
            connection.request(method, path, body, {"Authorization": f"Bearer {token}", **headers})
            answer = connection.getresponse()
            told = answer.read()
            if answer.status < 300:
                return told, 0.0, ""
            return None, float(answer.getheader("Retry-After") or 0), str(answer.status)
        except (OSError, http.client.HTTPException) as error:
            return None, 0.0, type(error).__name__
        finally:
            connection.close()
