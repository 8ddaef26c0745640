"""A small client of the REST API: asks again, with the same key, until the platform has answered."""

import http.client
import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from app import errors
from infra.client import orders
from infra.client.orders import Order
from infra.settings import Settings

RUNS = "/v1/ops/runs"
DIFFERENCES = "/v1/ops/differences"
PAUSES = "/v1/ops/pauses"
CHANNELS = "/v1/ops/channels"
CAPACITY = "/v1/ops/capacity"
REPORTS = "/v1/ops/reports"
OPS_ORDERS = "/v1/ops/orders"
ASK_WITHIN_S = 15.0
GIVE_UP_AFTER_S = 60.0
AGAIN_AFTER_S = 0.5
SLOWEST_AGAIN_S = 5.0


class NoKey(errors.NotFound):
    """There is no API key on this home."""

    code = "no-key"

    def __str__(self) -> str:
        return f"{self.data['path']} is missing: start the platform with `uoop up`"


class NotAnswering(errors.Unavailable):
    """The API does not answer."""

    code = "not-answering"

    def __str__(self) -> str:
        return f"the API at {self.data['address']} does not answer: {self.data['reason']}"


class Refused(errors.Rejected):
    """The API has refused; `status` and `problem` say why."""

    code = "refused"

    def __str__(self) -> str:
        problem: Any = self.data["problem"]
        told = f"{self.data['status']} {problem.get('title', 'refused')}: {problem.get('detail', '')}"
        faults = problem.get("errors", ())
        return "; ".join([told, *(f"{fault['pointer']} {fault['message']}".strip() for fault in faults)])


@dataclass(frozen=True, slots=True)
class Client:
    """Speaks for one key. Every call raises NotAnswering or Refused."""

    host: str
    port: int
    token: str
    patience_s: float = GIVE_UP_AFTER_S

    @classmethod
    def of(cls, settings: Settings, *, patience_s: float = GIVE_UP_AFTER_S) -> "Client":
        """:raises NoKey: if the platform has never been started on this home"""
        path: Path = settings.home / "api-key"
        try:
            return cls(settings.host, settings.port, path.read_text().strip(), patience_s)
        except FileNotFoundError:
            raise NoKey(path=str(path)) from None

    @property
    def address(self) -> str:
        return f"http://{self.host}:{self.port}"

    def submit(self, body: bytes, *, key: str) -> Any:
        """Submit an order; sent again with the same key, it stays one order."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        return self._ask("POST", "/v1/orders", body, headers)

    def order(self, tracking_id: str) -> Any:
        return self._ask("GET", f"/v1/orders/{tracking_id}")

    def changes(self, tracking_id: str) -> Iterator[Order]:
        """The order as it stands, and again whenever it has changed."""
        asked = orders.Orders(self.address, self.token, patience_s=self.patience_s)
        try:
            yield from asked.changes(tracking_id, within_s=math.inf)
        except orders.Refused as error:
            raise Refused(status=error.status, problem=error.problem) from error
        except orders.NotAnswered as error:
            raise NotAnswering(address=self.address, reason=str(error)) from error

    def cancel(self, tracking_id: str) -> Any:
        """Wish an order cancelled; told again it stays one wish."""
        return self._ask("POST", f"/v1/orders/{quote(tracking_id, safe='')}/cancel")

    def refund(self, tracking_id: str, wish: Mapping[str, object], *, key: str) -> Any:
        """Give money back; sent again with the same key, it stays one refund. Needs a key of scope ops."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        path = f"/v1/ops/orders/{quote(tracking_id, safe='')}/refund"
        return self._ask("POST", path, json.dumps(wish).encode(), headers)

    def runs(self, wanted: Mapping[str, object]) -> Any:
        """Runs that fit, newest first; needs a key of scope ops, as all that follows."""
        return self._ask("GET", f"{RUNS}?{urlencode(wanted)}")

    def run(self, name: str) -> Any:
        """One run's story, by its id or its order's tracking id."""
        return self._ask("GET", f"{RUNS}/{quote(name, safe='')}")

    def parked(self) -> Any:
        return self._ask("GET", f"{RUNS}/parked")

    def act_on_run(self, name: str, act: str, instruction: Mapping[str, object]) -> Any:
        """Change one run's course; told again it does no harm, but may be refused, since the run has moved."""
        return self._tell(f"{RUNS}/{quote(name, safe='')}/{act}", instruction)

    def act_on_runs(self, instruction: Mapping[str, object]) -> Any:
        """Change the course of all runs that fit."""
        return self._tell(f"{RUNS}/bulk", instruction)

    def differences(self, wanted: Mapping[str, object]) -> Any:
        """Differences with providers that fit, newest first; needs a key of scope ops, as all that follows."""
        return self._ask("GET", f"{DIFFERENCES}?{urlencode(wanted)}")

    def difference(self, name: str) -> Any:
        return self._ask("GET", f"{DIFFERENCES}/{quote(name, safe='')}")

    def difference_summary(self) -> Any:
        return self._ask("GET", f"{DIFFERENCES}/summary")

    def act_on_difference(self, name: str, act: str, instruction: Mapping[str, object]) -> Any:
        """Resolve a difference, or have it undone."""
        return self._tell(f"{DIFFERENCES}/{quote(name, safe='')}/{act}", instruction)

    def pauses(self) -> Any:
        """What is paused."""
        return self._ask("GET", PAUSES)

    def switch(self, kind: str, name: str, act: str, instruction: Mapping[str, object]) -> Any:
        """Pause or resume; needs a key of scope admin."""
        return self._tell(f"{PAUSES}/{kind}/{quote(name, safe='')}/{act}", instruction)

    def channels(self) -> Any:
        """How delivery partners do."""
        return self._ask("GET", CHANNELS)

    def act_on_channels(self, path: str, instruction: Mapping[str, object]) -> Any:
        """Hold or release a breaker, which needs a key of scope admin, or set what the tenant weighs."""
        return self._tell(f"{CHANNELS}/{quote(path)}", instruction)

    def capacity(self, wanted: Mapping[str, object]) -> Any:
        """What slots have taken."""
        return self._ask("GET", f"{CAPACITY}?{urlencode(wanted)}")

    def capacity_picture(self, wanted: Mapping[str, object]) -> str:
        """The same as a heat map, in SVG."""
        return str(self._ask("GET", f"{CAPACITY}/picture?{urlencode(wanted)}"))

    def capacity_limits(self) -> Any:
        """What slots may take."""
        return self._ask("GET", f"{CAPACITY}/limits")

    def set_capacity_limit(self, instruction: Mapping[str, object]) -> Any:
        """Change what slots may take."""
        return self._tell(f"{CAPACITY}/limits", instruction)

    def reports(self, wanted: Mapping[str, object]) -> Any:
        """What was reported of deliveries, newest first."""
        return self._ask("GET", f"{REPORTS}?{urlencode(wanted)}")

    def parked_reports(self) -> Any:
        return self._ask("GET", f"{REPORTS}/parked")

    def settle_reports(self, instruction: Mapping[str, object]) -> Any:
        """Take parked reports up again, or leave them alone for good."""
        return self._tell(f"{REPORTS}/settle", instruction)

    def mark_order(self, order_id: str, instruction: Mapping[str, object]) -> Any:
        """Move an order by hand."""
        return self._tell(f"{OPS_ORDERS}/{quote(order_id, safe='')}/reports", instruction)

    def reroute_order(self, order_id: str, instruction: Mapping[str, object]) -> Any:
        """Give an order to another partner."""
        return self._tell(f"{OPS_ORDERS}/{quote(order_id, safe='')}/reroute", instruction)

    def refuse_order(self, order_id: str, instruction: Mapping[str, object]) -> Any:
        """Take an order from a courier of the own fleet."""
        return self._tell(f"{OPS_ORDERS}/{quote(order_id, safe='')}/refusals", instruction)

    def _tell(self, path: str, document: Mapping[str, object]) -> Any:
        return self._ask("POST", path, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def _ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Any:
        end, wait_s, reason = time.monotonic() + self.patience_s, AGAIN_AFTER_S, "no time was given"
        while time.monotonic() < end:
            try:
                status, told = self._once(method, path, body, headers or {})
            except (OSError, http.client.HTTPException) as error:
                reason = str(error) or type(error).__name__
            else:
                if status < 300:
                    return told
                if status < 500 and status not in (408, 425, 429) and told.get("code") != orders.IN_FLIGHT:
                    raise Refused(status=status, problem=told)
                reason = f"{status} {told.get('title', '')}".strip()
            time.sleep(min(wait_s, max(0.0, end - time.monotonic())))
            wait_s = min(wait_s * 2, SLOWEST_AGAIN_S)
        raise NotAnswering(address=self.address, reason=reason)

    def _once(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=ASK_WITHIN_S)
        try:
            connection.request(method, path, body, {"Authorization": f"Bearer {self.token}", **headers})
            answer = connection.getresponse()
            return answer.status, _document(answer.read(), answer.headers.get_content_type())
        finally:
            connection.close()


def _document(body: bytes, media_type: str) -> Any:
    if media_type == "image/svg+xml":
        return body.decode()
    try:
        return json.loads(body)
    except ValueError:
        return {}
