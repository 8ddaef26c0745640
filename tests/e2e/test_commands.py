"""submit, status, trace, cancel, refund, replay and demo against the whole platform."""

import http.client
import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from uoop_command import Uoop

ORDER: dict[str, Any] = {
    "customer_id": "aisha",
    "restaurant_id": "corner-kitchen",
    "items": [{"sku": "machboos", "name": "Machboos", "quantity": 2, "unit_price": "3.500"}],
    "delivery_location": {"lat": 26.2235, "lng": 50.5876, "address": "Road 1, Manama"},
    "total_amount": "7.000",
    "currency": "BHD",
}
REFUSED = {**ORDER, "customer_id": "aisha/delivery:refuse", "channel_preference": "partner"}
STEPS = (
    *("validate-order", "reserve-capacity", "authorize-payment", "plan-fulfilment"),
    *("place-with-restaurant", "dispatch-to-partner", "confirm-order"),
)


def _file(folder: Path, order: dict[str, Any]) -> str:
    path = folder / "order.json"
    path.write_text(json.dumps(order))
    return str(path)


def _at_provider(uoop: Uoop, method: str, path: str, body: object = None) -> None:
    """Do something at a provider behind our back, with the token that he knows us by."""
    port = int((uoop.home / "sandbox" / "port").read_text())
    token = (uoop.home / "provider-token").read_text().strip()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, json.dumps(body), {"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    assert answer.status < 300, answer.read()
    connection.close()


def _reconciled(uoop: Uoop) -> "subprocess.CompletedProcess[str]":
    since = datetime.now(UTC) - timedelta(hours=1)
    return uoop("reconcile", "--since", f"{since:%Y-%m-%dT%H:%M}", "--margin", "0", "--json")


def test_an_order_is_submitted_followed_and_traced(running: Uoop, tmp_path: Path):
    submitted = running("submit", _file(tmp_path, ORDER))
    assert submitted.returncode == 0, submitted.stderr
    tracking_id = submitted.stdout.splitlines()[0]

    watched = running("status", tracking_id, "--watch")
    traced = running("trace", tracking_id)

    assert watched.stdout.splitlines()[-1].startswith("CONFIRMED")
    assert json.loads(running("status", tracking_id).stdout)["tracking_id"] == tracking_id
    assert all(step in traced.stdout for step in STEPS)


def test_a_trace_shows_what_was_undone(running: Uoop, tmp_path: Path):
    tracking_id = running("submit", _file(tmp_path, REFUSED)).stdout.splitlines()[0]
    watched = running("status", tracking_id, "--watch")

    traced = running("trace", tracking_id)

    assert watched.stdout.splitlines()[-1].startswith("FAILED")
    assert "no-available-partner" in traced.stdout
    assert "undo authorize-payment" in traced.stdout


def test_an_order_is_refunded_and_cancelled_after_its_promise_unless_the_partner_keeps_it(
    running: Uoop, tmp_path: Path
):
    by_partner = {**ORDER, "channel_preference": "partner"}
    given_back, kept = (
        running("submit", _file(tmp_path, order)).stdout.splitlines()[0]
        for order in (by_partner, {**by_partner, "customer_id": "aisha/delivery:keep"})
    )
    for order in (given_back, kept):
        assert running("status", order, "--watch").stdout.splitlines()[-1].startswith("CONFIRMED")
    _until_ended(running, given_back)

    refunded = running("refund", given_back, "--amount", "1.5", "--why", "cold soup")
    for order in (given_back, kept):
        assert running("cancel", order).returncode == 0
    last = [running("status", order, "--watch").stdout.splitlines()[-1] for order in (given_back, kept)]

    assert refunded.stdout.startswith("1.5 BHD are given back, 5.5"), refunded.stderr
    assert last[0].startswith("CANCELLED")
    assert last[0].endswith("7.000 of 7.000 BHD given back")
    assert last[1].startswith("CONFIRMED")
    assert last[1].endswith("cancellation refused  The delivery partner does not give the order back.")
    assert "return-money" in running("trace", given_back).stdout
    assert running("audit", "--settled").returncode == 0


def _until_ended(running: Uoop, order: str) -> None:
    """Until its money is captured too."""
    end = time.monotonic() + 30
    while json.loads(running("runs", "show", order, "--json").stdout)["run"]["state"] != "ended":
        assert time.monotonic() < end


def test_an_unknown_order_is_one_line_and_exit_code_2(running: Uoop):
    for command in (("status",), ("trace",), ("cancel",), ("refund", "--why", "cold")):
        told = running(*command, "nobody-knows-it")

        assert (told.returncode, told.stderr) == (2, "uoop: there is no order nobody-knows-it\n")


def test_a_broken_order_is_refused_with_what_is_wrong(running: Uoop, tmp_path: Path):
    told = running("submit", _file(tmp_path, {**ORDER, "total_amount": "6.000"}))

    assert told.returncode == 2
    assert "/total_amount must be 7.000" in told.stderr
    assert len(told.stderr.splitlines()) == 1


def test_a_recorded_day_is_replayed_and_its_broken_lines_are_told(running: Uoop, tmp_path: Path):
    (tmp_path / "restaurants.txt").write_text("restaurant\tx\ty\nr1\t1000\t2000\nr2\t2000\t2500\n")
    (tmp_path / "couriers.txt").write_text("courier\tx\ty\ton_time\toff_time\nc1\t1000\t1000\t700\t800\n")
    (tmp_path / "orders.txt").write_text(
        "order\tx\ty\tplacement_time\trestaurant\tready_time\n"
        + "".join(f"o{n}\t{900 + n * 10}\t2100\t{710 + n}\tr{1 + n % 2}\t{725 + n}\n" for n in range(20))
        + "o99\t1\t2\t720\tr7\t730\n"
    )

    played = running("replay", str(tmp_path), "--speed", "600", "--json")

    told = json.loads(played.stdout.splitlines()[-1])
    assert played.returncode == 0, played.stderr
    assert (told["accepted"], told["confirmed"], told["lost"]) == (20, 20, 0)
    assert "orders.txt:22: restaurant 'r7' is not in restaurants.txt" in played.stderr


def test_orders_from_a_file_are_replayed_and_what_is_none_is_told(running: Uoop, tmp_path: Path):
    file = tmp_path / "orders.jsonl"
    file.write_text("\n".join([json.dumps(ORDER), "{broken", json.dumps({**ORDER, "customer_id": "omar"})]))

    played = running("replay", str(file), "--json")

    told = json.loads(played.stdout.splitlines()[-1])
    assert (played.returncode, told["confirmed"]) == (0, 2), played.stderr
    assert "orders.jsonl:2: " in played.stderr
    (kept,) = [path for path in (running.home / "rejects").iterdir() if "orders.jsonl:2" in path.read_text()]
    assert "{broken" in kept.read_text()


def test_a_demo_with_failures_loses_nothing_and_undoes_what_failed(running: Uoop):
    played = running("demo", "--orders", "400", "--failure-rate", "0.1", "--json")

    told = json.loads(played.stdout.splitlines()[-1])
    assert played.returncode == 0, played.stdout + played.stderr
    assert (told["accepted"], told["confirmed"], told["compensated"]) == (400, 360, 40)
    assert told["accepted"] == told["confirmed"] + told["compensated"] + told["failed"] + told["lost"]
    assert (told["lost"], told["duplicates"], told["audit"]) == (0, 0, "clean")
    assert told["reasons"] == {"no-available-partner": 20, "payment-refused": 20}
    assert told["events"] == told["events_delivered"] == 800
    reconciled = _reconciled(running)
    assert reconciled.returncode == 0, reconciled.stdout + reconciled.stderr
    checks = [check for check in json.loads(reconciled.stdout)["checks"] if check["theirs"]]
    resources = {check["resource"] for check in checks}
    assert resources >= {"authorizations", "captures", "placements", "dispatches"}


def _begun(running: Uoop, known: set[Path], orders: int) -> bool:
    journals = set((running.home / "journals").glob("*.jsonl")) - known
    return sum(journal.read_bytes().count(b"\n") for journal in journals) >= orders


def test_a_worker_is_drained_under_load_and_nothing_is_lost_or_repeated(
    running: Uoop, eventually: Callable[..., object]
):
    known = set((running.home / "journals").glob("*.jsonl"))
    with running.start("demo", "--orders", "900", "--rate", "60", "--failure-rate", "0.1", "--json") as demo:
        eventually(lambda: _begun(running, known, 100))
        drained = running("drain", "worker-partner")
        states = {row["name"]: row["state"] for row in json.loads(running("ps", "--json").stdout)}
        again = running("undrain", "worker-partner")
        out, err = demo.communicate(timeout=180)

    assert (drained.returncode, again.returncode) == (0, 0), drained.stderr + again.stderr
    assert states["worker-partner"] == "stopped"
    told = json.loads(out.splitlines()[-1])
    assert (told["accepted"], told["lost"], told["duplicates"], told["audit"]) == (900, 0, 0, "clean"), err


def test_a_partner_is_paused_and_resumed_under_load(running: Uoop, eventually: Callable[..., object]):
    paused = running("pause", "partner", "benefit", "--reason", "their certificate", "--json")
    with running.start("demo", "--orders", "600", "--rate", "60", "--failure-rate", "0.1", "--json") as demo:
        eventually(lambda: json.loads(running("pauses", "--json").stdout)["pauses"][0]["runs"])
        resumed = running("resume", "partner", "benefit", "--reason", "their new certificate", "--json")
        out, err = demo.communicate(timeout=180)

    assert (paused.returncode, resumed.returncode) == (0, 0), paused.stderr + resumed.stderr
    assert json.loads(resumed.stdout)["pauses"] == []
    told = json.loads(out.splitlines()[-1])
    assert (told["accepted"], told["lost"], told["duplicates"], told["audit"]) == (600, 0, 0, "clean"), err


def test_a_key_opens_the_door_until_it_is_revoked(running: Uoop, eventually: Callable[..., object]):
    assert running("tenants", "create", "acme").returncode == 0
    made = running("keys", "create", "--tenant", "acme", "--scope", "orders:read", "--json")
    key = json.loads(made.stdout)
    (api,) = (row for row in json.loads(running("ps", "--json").stdout) if row["name"] == "api")
    request = urllib.request.Request(
        f"http://127.0.0.1:{api['port']}/v1/orders", headers={"Authorization": f"Bearer {key['key']}"}
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        assert json.load(answer) == {"orders": [], "next_cursor": None}

    assert running("keys", "revoke", key["prefix"]).returncode == 0

    assert eventually(lambda: _status(request) == 401, within_s=10)
    listed = running("keys", "list", "--tenant", "acme").stdout
    assert key["prefix"] in listed
    assert key["key"] not in listed


def _status(request: urllib.request.Request) -> int:
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code


# The last one on this home: what it does, every audit after it would find too.
def test_what_happened_behind_our_back_is_found(running: Uoop, tmp_path: Path):
    tracking_id = running("submit", _file(tmp_path, ORDER)).stdout.splitlines()[0]
    running("status", tracking_id, "--watch")
    _at_provider(running, "DELETE", f"/kitchens/placements/{tracking_id}:place-with-restaurant:0")
    second = {
        "not_after": f"{datetime.now(UTC) + timedelta(minutes=1):%Y-%m-%dT%H:%M:%SZ}",
        "order": tracking_id,
    }
    _at_provider(running, "PUT", f"/dhow/dispatches/{tracking_id}:dispatch-to-partner:dhow:7", second)

    differing = _reconciled(running)
    listed = json.loads(running("differences", "list", "--order", tracking_id, "--json").stdout)[
        "differences"
    ]

    assert differing.returncode == 1, differing.stderr
    assert {(each["kind"], each["provider"]) for each in listed} == {
        ("ours-not-theirs", "kitchens"),
        ("double-effect", "dhow"),
    }
