"""Orders are delivered as their partners tell, over real HTTP: signed, twice, late and out of order."""

import http.client
import json
from collections.abc import Callable
from contextlib import closing
from typing import Any

from test_commands import ORDER
from uoop_command import Uoop

PARTNERS, ORDERS = ("swift", "falcon", "dhow"), 12
STATES = sorted(["PREPARING", "READY_FOR_PICKUP", "PICKED_UP", "IN_TRANSIT", "DELIVERED"])
BY_PARTNER = {**ORDER, "channel_preference": "partner"}


def ask(port: int, method: str, path: str, token: str, body: object = None, **headers: str) -> Any:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        sent = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", **headers}
        connection.request(method, path, json.dumps(body), sent)
        answer = connection.getresponse()
        told = json.loads(answer.read())
    assert answer.status < 300, told
    return told


def test_orders_come_to_their_end_as_their_partners_tell(running: Uoop, eventually: Callable[..., object]):
    ports = {one["name"]: one["port"] for one in json.loads(running("ps", "--json").stdout)}
    key, sandbox = ((running.home / name).read_text().strip() for name in ("api-key", "sandbox-token"))
    life = {"behavior": "deliver", "seconds": 1.5, "to": f"http://127.0.0.1:{ports['api']}"}
    for partner in PARTNERS:
        ask(ports["sandbox"], "PUT", f"/_control/{partner}", sandbox, life)

    orders = [
        ask(ports["api"], "POST", "/v1/orders", key, BY_PARTNER, **{"Idempotency-Key": f"told-{n}"})[
            "tracking_id"
        ]
        for n in range(ORDERS)
    ]

    def delivered() -> bool:
        found = [ask(ports["api"], "GET", f"/v1/orders/{order}", key)["status"] for order in orders]
        return found == ["DELIVERED"] * ORDERS

    def decided() -> bool:
        found = [
            ask(ports["api"], "GET", f"/v1/ops/reports?tracking_id={order}&limit=50", key)["reports"]
            for order in orders
        ]
        fates = {each["fate"] for reports in found for each in reports}
        return all(sorted(each["what"] for each in reports) == STATES for reports in found) and fates == {
            "applied",
            "superseded",
        }

    eventually(delivered)
    eventually(decided)
    assert json.loads(running("audit", "--json").stdout)["clean"]
