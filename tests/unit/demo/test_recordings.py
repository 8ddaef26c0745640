"""Recorded days and files of orders; nothing is dropped silently."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.orders import document
from infra.demo import lines, recording, rejects
from infra.demo.day import Day
from infra.demo.recording import NoDay
from infra.demo.rejects import Reject

ORDERS = """\
order\tx\ty\tplacement_time\trestaurant\tready_time
o2\t1500\t2500\t720\tr2\t735
o1\t1200\t1800\t715\tr1\t725
"""
RESTAURANTS = "restaurant\tx\ty\nr1\t1000\t2000\nr2\t2000\t2000\n"
COURIERS = "courier\tx\ty\ton_time\toff_time\nc1\t1000\t1000\t700\t800\n"
VALID = {
    "customer_id": "aisha",
    "restaurant_id": "r1",
    "items": [{"sku": "a", "name": "A", "quantity": 2, "unit_price": "1.250"}],
    "delivery_location": {"lat": 26.2, "lng": 50.6, "address": "Road 1"},
    "total_amount": "2.500",
    "currency": "BHD",
}


def _folder(path: Path, orders: str = ORDERS) -> Path:
    for name, content in (("orders", orders), ("restaurants", RESTAURANTS), ("couriers", COURIERS)):
        (path / f"{name}.txt").write_text(content)
    return path


def test_a_day_is_read_in_the_order_of_its_minutes(tmp_path: Path):
    day = recording.read(_folder(tmp_path))

    assert [order.id for order in day.orders] == ["o1", "o2"]
    assert not day.rejects


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("o3\t1\t2\t720\tr1", "has 5 columns, not 6"),
        ("o3\tx\t2\t720\tr1\t730", "could not convert string to float: 'x'"),
        ("o3\tnan\t2\t720\tr1\t730", "'nan' metres is no place in a city"),
        ("o3\t1\t2\tnoon\tr1\t730", "invalid literal for int() with base 10: 'noon'"),
        ("o3\t1\t2\t-5\tr1\t730", "'-5' is no minute of a day"),
        ("o3\t1\t2\t720\tr9\t730", "restaurant 'r9' is not in restaurants.txt"),
        ("o3\t1\t2\t720\tr1\t700", "is ready before it is placed"),
        ("o1\t1\t2\t720\tr1\t730", "the id 'o1' is there already"),
        ("\t1\t2\t720\tr1\t730", "has no id"),
    ],
)
def test_a_broken_line_is_told_with_its_number(tmp_path: Path, line: str, reason: str):
    day = recording.read(_folder(tmp_path, f"{ORDERS}{line}\n"))

    assert day.rejects == (Reject("orders.txt", 4, reason, line),)
    assert len(day.orders) == 2


def test_a_folder_without_a_day_is_refused(tmp_path: Path):
    with pytest.raises(NoDay, match=r"restaurants\.txt is missing"):
        recording.read(tmp_path)


def test_a_day_becomes_valid_orders_of_known_restaurants(tmp_path: Path):
    day = Day(recording.read(_folder(tmp_path)))

    documents = [document.decode(order.body) for order in day.orders()]

    assert [order.restaurant_id for order in documents] == [f"{tmp_path.name}-r1", f"{tmp_path.name}-r2"]
    assert {entry.id: entry.prep_minutes for entry in day.restaurants()} == {
        f"{tmp_path.name}-r1": 10,
        f"{tmp_path.name}-r2": 15,
    }


def test_a_days_hours_shrink_with_the_speed(tmp_path: Path):
    day = Day(recording.read(_folder(tmp_path)))
    start = datetime(2026, 1, 1, tzinfo=UTC)

    (rider,) = day.couriers(speed=60, start=start)

    assert day.offsets_s(60) == [0, 5]
    assert rider.on_from is not None
    assert rider.on_until is not None
    assert (rider.on_from - start).total_seconds() == -15
    assert (rider.on_until - start).total_seconds() == 85


def test_metres_stay_metres_on_the_map(tmp_path: Path):
    west, east = Day(recording.read(_folder(tmp_path))).restaurants()

    assert west.at[0] == east.at[0] == 26.22
    assert (east.at[1] - west.at[1]) * 99_860 == pytest.approx(1000, rel=0.01)  # a degree of longitude there


def test_lines_that_are_no_orders_are_told_with_their_number():
    given = [
        json.dumps(VALID).encode(),
        b"",
        b"{not json",
        json.dumps({**VALID, "total_amount": "2.400"}).encode(),
        b"\xff\xfe",
    ]

    orders, broken = lines.parse("orders.jsonl", given)

    assert [order.label for order in orders] == ["orders.jsonl:1"]
    assert [reject.number for reject in broken] == [3, 4, 5]
    assert broken[1].reason == "/total_amount must be 2.500, the sum of items and fees"


def test_rejects_are_kept_in_a_file(tmp_path: Path):
    rejects.write(tmp_path / "r" / "x.tsv", [Reject("orders.txt", 4, "has no id", "\t1")])

    assert (tmp_path / "r" / "x.tsv").read_text() == "orders.txt:4\thas no id\t\t1\n"
