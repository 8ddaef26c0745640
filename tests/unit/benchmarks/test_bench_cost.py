"""The cost model."""

import pytest

from benchmarks import cost

PRICES = {
    "utilisation": 0.5,
    "compute": {"vcpu_hour_usd": 0.1, "least_vcpus": 4},
    "postgres": {"vcpu_hour_usd": 0.2, "least_vcpus": 2, "copies": 2},
    "redis": {"vcpu_hour_usd": 0.1, "least_vcpus": 2, "copies": 2},
    "kafka": {"vcpu_hour_usd": 0.1, "least_vcpus": 6, "events_per_vcpu_s": 5000},
    "storage": {"gb_month_usd": 0.2, "kept_days": 30.4},
    "load_balancer": {"hour_usd": 0.02, "lcu_hour_usd": 0.01, "kb_per_order": 1.0},
}
CURVE = [
    {"rate": 10.0, "cpu_ms": {"API": 1.0, "workers, beat": 9.0, "Postgres": 2.0, "Redis": 1.0}},
    {"rate": 1000.0, "cpu_ms": {"API": 0.1, "workers, beat": 0.4, "Postgres": 0.2, "Redis": 0.05}},
]


def test_few_orders_bear_the_least_sizes_alone():
    found = cost.at(10, CURVE, 0.0, PRICES)

    assert found.vcpus == {"compute": 4, "postgres": 4, "redis": 4, "kafka": 6}
    assert found.usd["compute"] == pytest.approx(0.1 * 4 / 36_000)


def test_between_two_points_the_cpu_lies_halfway_of_their_logarithms():
    found = cost.at(100, CURVE, 0.0, PRICES | {"compute": {"vcpu_hour_usd": 0.1, "least_vcpus": 0}})

    assert found.vcpus["compute"] == 2  # 100/s x 5.25 ms / 0.5 are 1.05


def test_above_the_maximum_pieces_stand_side_by_side():
    found = cost.at(10_000, CURVE, 0.0, PRICES)

    assert found.pieces == 10
    assert found.vcpus["compute"] == 40  # least sizes of ten pieces; 10,000/s x 0.5 ms / 0.5 are 10


def test_an_order_grows_cheaper_while_least_sizes_are_spread():
    assert cost.growth(10, CURVE, 1.0, PRICES) < 0


def test_an_order_grows_dearer_when_its_cpu_does():
    dearer = [CURVE[1], {"rate": 20_000.0, "cpu_ms": {"API": 10.0, "Postgres": 2.0}}]

    assert cost.growth(1000, dearer, 1.0, PRICES) > cost.GROWTH_EXPLAINED_ABOVE


def test_storage_is_priced_by_what_an_order_keeps():
    found = cost.at(1000, CURVE, 2.0**20, PRICES)

    assert found.usd["storage"] == pytest.approx(0.2)


def test_the_table_of_prices_can_be_used():
    assert 0 < cost.at(1000, CURVE, 5.0, cost.prices()).usd_per_order < 1
