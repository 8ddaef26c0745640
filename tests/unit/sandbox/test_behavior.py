"""Which misbehavior hits which call."""

import pytest

from infra.sandbox.behavior import Behavior, Control, Magic, Name

SWIFT = frozenset({"swift", "delivery", "dispatches", "all"})


@pytest.mark.parametrize(
    ("customer", "behavior", "seconds"),
    [
        ("c-1/swift:refuse", Name.REFUSE, None),
        ("c-1/delivery:down", Name.DOWN, None),
        ("c-1/dispatches:garbage", Name.GARBAGE, None),
        ("c-1/all:slow:2.5", Name.SLOW, 2.5),
        ("c-1/payment:refuse,swift:hang", Name.HANG, None),
        ("c-1/swift:late:1,swift:hang", Name.LATE, 1.0),
        ("a/b/swift:fail", Name.FAIL, None),
    ],
)
def test_magic_names_a_target_and_a_behavior(customer: str, behavior: Name, seconds: float | None) -> None:
    hit = Magic().behavior(customer, "o-1", SWIFT, "swift/dispatches")

    assert hit is not None
    assert hit.behavior is behavior
    assert seconds is None or hit.seconds == seconds


@pytest.mark.parametrize(
    "customer",
    [
        "",
        "c-1",
        "c-1/",
        "swift:refuse",
        "c-1/falcon:refuse",
        "c-1/swift:dance",
        "c-1/swift:slow:much",
        "c/:::@once",
    ],
)
def test_other_customers_are_served(customer: str) -> None:
    assert Magic().behavior(customer, "o-1", SWIFT, "swift/dispatches") is None


def test_once_is_once_for_an_order_at_a_place() -> None:
    magic, customer = Magic(), "c-1/all:fail@once"

    hits = [
        magic.behavior(customer, order, SWIFT, place) is not None
        for order, place in [
            ("o-1", "swift/dispatches"),
            ("o-1", "swift/dispatches"),
            ("o-2", "swift/dispatches"),
            ("o-1", "benefit/captures"),
        ]
    ]

    assert hits == [True, False, True, True]


@pytest.mark.parametrize(("share", "hits"), [(1.0, 12), (0.5, 6), (0.25, 3), (0.1, 1)])
def test_a_share_of_the_calls_is_hit(share: float, hits: int) -> None:
    control = Control()
    control.tell(Behavior(Name.SLOW, share=share))

    assert sum(control.next_call() is not None for _ in range(12)) == hits


def test_refusal_hits_items_rather_than_calls() -> None:
    control = Control()
    control.tell(Behavior(Name.REFUSE, share=0.5))

    assert control.next_call() is None
    assert [control.refuses_next_item() for _ in range(4)] == [False, True, False, True]
