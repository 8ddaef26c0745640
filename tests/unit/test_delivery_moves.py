"""The table of moves: what a report does to an order, whoever tells it, whenever it comes."""

import itertools
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.deliveries.model import (
    BEFORE_PICKUP,
    MAY_REPORT,
    MOVES,
    Decision,
    Delivery,
    Fate,
    Report,
    Reported,
    Reporter,
    after,
    decide,
)
from app.orders.model import Status

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
LIFE = tuple(MOVES)


def report(what: str, reporter: Reporter = Reporter.PARTNER, by: str = "swift", **details: object) -> Report:
    return Report(reporter=reporter, by=by, event_id="1", order="o", what=what, at=AT, details=details)


def delivery(status: Status = Status.CONFIRMED, *, rerouting: bool = False) -> Delivery:
    return Delivery(status=status, partner="swift", version=2, rerouting=rerouting)


@pytest.mark.parametrize(("now", "what"), list(itertools.product(LIFE, LIFE[1:])))
def test_a_report_moves_forward_or_is_superseded(now: Status, what: Status) -> None:
    decision = decide(delivery(now), report(what))

    forward = LIFE.index(what) > LIFE.index(now)
    assert decision == (Decision(Fate.APPLIED, status=what) if forward else Decision(Fate.SUPERSEDED))


@given(
    st.lists(st.sampled_from(LIFE[1:]), min_size=1, max_size=20).flatmap(
        lambda told: st.tuples(st.just(told), st.permutations(told))
    )
)
def test_the_order_of_reports_does_not_matter(told: tuple[list[Status], list[Status]]) -> None:
    in_order, shuffled = (_play(reports) for reports in told)

    assert in_order[-1] == shuffled[-1]
    assert [LIFE.index(status) for status in shuffled] == sorted({LIFE.index(status) for status in shuffled})


def _play(reports: list[Status]) -> list[Status]:
    """The statuses that an order passes."""
    order = delivery()
    passed = [order.status]
    for what in reports:
        order = after(order, decide(order, report(what)))
        if order.status is not passed[-1]:
            passed.append(order.status)
    return passed


@pytest.mark.parametrize(("reporter", "what"), list(itertools.product(Reporter, Reported)))
def test_nobody_reports_what_is_not_theirs(reporter: Reporter, what: Reported) -> None:
    decision = decide(delivery(), report(what, reporter, version=2))

    refused = decision == Decision(Fate.PARKED, "not-theirs-to-report")
    assert refused == (what not in MAY_REPORT[reporter])


@pytest.mark.parametrize(
    ("found", "told", "expected"),
    [
        (None, report("PICKED_UP"), Decision(Fate.PARKED, "unknown-order")),
        (delivery(), report("EATEN"), Decision(Fate.PARKED, "unknown-state")),
        (delivery(Status.PENDING), report("PICKED_UP"), Decision(Fate.WAITING)),
        (delivery(Status.FAILED), report("PICKED_UP"), Decision(Fate.PARKED, "order-not-under-way")),
        (delivery(Status.CANCELLED), report("GIVEN_BACK"), Decision(Fate.SUPERSEDED)),
        (delivery(), report("PICKED_UP", by="falcon"), Decision(Fate.PARKED, "other-partner")),
        (delivery(), report("GIVEN_BACK", by="falcon"), Decision(Fate.SUPERSEDED)),
        (delivery(rerouting=True), report("PICKED_UP"), Decision(Fate.WAITING)),
        (delivery(rerouting=True), report("PICKED_UP", by="falcon"), Decision(Fate.WAITING)),
        (
            delivery(rerouting=True),
            report("PREPARING", Reporter.RESTAURANT, "kitchens"),
            Decision(Fate.APPLIED, status=Status.PREPARING),
        ),
        (delivery(), report("SILENT", Reporter.PLATFORM, version=1), Decision(Fate.SUPERSEDED)),
    ],
)
def test_what_does_not_fit_waits_or_is_parked(
    found: Delivery | None, told: Report, expected: Decision
) -> None:
    assert decide(found, told) == expected


@pytest.mark.parametrize("status", LIFE)
@pytest.mark.parametrize(
    ("told", "code"),
    [
        (report("GIVEN_BACK"), "given-back-after-pickup"),
        (report("SILENT", Reporter.PLATFORM, version=2), "silent-after-pickup"),
    ],
)
def test_a_partner_who_fails_is_replaced_before_the_pickup_only(
    told: Report, code: str, status: Status
) -> None:
    decision = decide(delivery(status), told)

    if status in BEFORE_PICKUP:
        assert decision == Decision(Fate.APPLIED, reroute=True)
    elif status is Status.DELIVERED:
        assert decision == Decision(Fate.SUPERSEDED)
    else:
        assert decision == Decision(Fate.PARKED, code)


def test_the_docs_show_the_table_as_it_is() -> None:
    page = (Path(__file__).parents[2] / "docs" / "delivery-life.md").read_text()

    drawn = {f"    {before} --> {then}" for before, targets in MOVES.items() for then in targets}
    told = {f"| {who} | {', '.join(reports)} |" for who, reports in MAY_REPORT.items()}
    arrows = {line for line in page.splitlines() if "-->" in line and "[*]" not in line}
    assert arrows == drawn
    assert told <= set(page.splitlines())
