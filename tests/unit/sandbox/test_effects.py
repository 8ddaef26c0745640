"""The laws that every resource keeps, and what captures and refunds keep besides."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.providers.port import Resource
from infra.sandbox.effects import Authorization, Capture, Effects, Item, Outcome, Refund
from infra.sandbox.ledger import Ledger

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
EACH_RESOURCE = pytest.mark.parametrize("resource", list(Resource))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / "ledger.db")
    yield ledger
    ledger.close()


def _effects(ledger: Ledger, resource: Resource) -> Effects:
    return Effects(ledger, "acme", resource, lambda: NOW)


def _item(resource: Resource, key: str = "o-1:step:1", *, not_after: datetime | None = None) -> Item:
    not_after = not_after or NOW + timedelta(minutes=1)
    if resource is Resource.AUTHORIZATIONS:
        return Authorization(key, not_after, "o-1", amount="2.500", currency="BHD")
    if resource is Resource.CAPTURES:
        return Capture(key, not_after, "o-1", amount="2.500", currency="BHD", authorization="o-1:auth:1")
    if resource is Resource.REFUNDS:
        return Refund(key, not_after, "o-1", amount="1.000", currency="BHD", capture="o-1:capture:1")
    return Item(key, not_after, "o-1")


def _authorized(ledger: Ledger) -> Effects:
    authorizations = _effects(ledger, Resource.AUTHORIZATIONS)
    authorizations.do([_item(Resource.AUTHORIZATIONS, "o-1:auth:1")])
    return authorizations


def _founded(ledger: Ledger, resource: Resource) -> None:
    """What an effect of this resource is taken from is there."""
    _authorized(ledger)
    if resource is Resource.REFUNDS:
        _captured(ledger)


def _captured(ledger: Ledger) -> Effects:
    captures = _effects(ledger, Resource.CAPTURES)
    captures.do([_item(Resource.CAPTURES, "o-1:capture:1")])
    return captures


def _refund(amount: str, *, n: int = 1, currency: str = "BHD", capture: str = "o-1:capture:1") -> Refund:
    later = NOW + timedelta(minutes=1)
    return Refund(f"o-1:refund:{n}", later, "o-1", amount=amount, currency=currency, capture=capture)


def _ops(ledger: Ledger, key: str) -> list[str]:
    rows = b"".join(ledger.as_tsv(0, 100)).decode().splitlines()
    return [row.split("\t")[5] for row in rows if row.split("\t")[3] == key]


@EACH_RESOURCE
def test_twice_is_once(ledger: Ledger, resource: Resource) -> None:
    _founded(ledger, resource)
    effects = _effects(ledger, resource)

    first, second = (effects.do([_item(resource)]) for _ in range(2))
    (third, fourth) = effects.do([_item(resource), _item(resource)])

    assert first[0].status == "done"
    assert first == second == [third] == [fourth]
    assert _ops(ledger, "o-1:step:1") == ["do"]


@EACH_RESOURCE
def test_undo_without_do_leaves_a_tombstone(ledger: Ledger, resource: Resource) -> None:
    _founded(ledger, resource)
    effects = _effects(ledger, resource)

    undone = [effects.undo(["o-1:step:1"]) for _ in range(2)]
    late = effects.do([_item(resource)])

    assert undone == [[Outcome("o-1:step:1", "undone")]] * 2
    assert late == [Outcome("o-1:step:1", "refused", reason="undone")]
    assert _ops(ledger, "o-1:step:1") == ["tombstone"]


@EACH_RESOURCE
def test_do_then_undo_is_as_before_and_stays_so(ledger: Ledger, resource: Resource) -> None:
    _founded(ledger, resource)
    effects = _effects(ledger, resource)
    (done,) = effects.do([_item(resource)])

    undone = [effects.undo(["o-1:step:1"]) for _ in range(2)]
    late = effects.do([_item(resource)])

    assert undone == [[Outcome("o-1:step:1", "undone")]] * 2
    assert late[0].reason == "undone"
    assert effects.find(["o-1:step:1"]) == [Outcome("o-1:step:1", "undone", done.reference)]
    assert _ops(ledger, "o-1:step:1") == ["do", "undo"]


@EACH_RESOURCE
def test_find_tells_and_changes_nothing(ledger: Ledger, resource: Resource) -> None:
    _founded(ledger, resource)
    effects = _effects(ledger, resource)
    before = effects.find(["o-1:step:1"])

    (done,) = effects.do([_item(resource)])

    assert before == [Outcome("o-1:step:1", "unknown")]
    assert effects.find(["o-1:step:1"]) == [Outcome("o-1:step:1", "done", done.reference)]


@EACH_RESOURCE
def test_two_keys_of_one_order_are_two_effects(ledger: Ledger, resource: Resource) -> None:
    _founded(ledger, resource)
    effects = _effects(ledger, resource)

    outcomes = effects.do([_item(resource, "o-1:step:1"), _item(resource, "o-1:step:2")])

    assert len({outcome.reference for outcome in outcomes}) == 2


@EACH_RESOURCE
def test_what_comes_too_late_is_refused_unless_it_was_done(ledger: Ledger, resource: Resource) -> None:
    _founded(ledger, resource)
    effects = _effects(ledger, resource)
    effects.do([_item(resource, "o-1:step:1")])

    outcomes = effects.do([_item(resource, f"o-1:step:{generation}", not_after=NOW) for generation in (1, 2)])

    assert [outcome.status for outcome in outcomes] == ["done", "refused"]
    assert outcomes[1].reason == "too-late"


@pytest.mark.parametrize(
    ("amount", "currency", "authorization", "reason"),
    [
        ("2.500", "BHD", "o-1:auth:1", None),
        ("2.5", "BHD", "o-1:auth:1", None),
        ("2.501", "BHD", "o-1:auth:1", "exceeds-authorization"),
        ("2.500", "USD", "o-1:auth:1", "exceeds-authorization"),
        ("2.500", "BHD", "o-1:auth:2", "not-authorized"),
    ],
)
def test_a_capture_needs_an_authorization_that_covers_it(
    ledger: Ledger, amount: str, currency: str, authorization: str, reason: str | None
) -> None:
    _authorized(ledger)
    later = NOW + timedelta(minutes=1)

    (outcome,) = _effects(ledger, Resource.CAPTURES).do(
        [
            Capture(
                "o-1:capture:1", later, "o-1", amount=amount, currency=currency, authorization=authorization
            )
        ]
    )

    assert outcome.reason == reason
    assert outcome.status == ("refused" if reason else "done")


def test_a_void_authorization_cannot_be_captured(ledger: Ledger) -> None:
    _authorized(ledger).undo(["o-1:auth:1"])

    (outcome,) = _effects(ledger, Resource.CAPTURES).do([_item(Resource.CAPTURES)])

    assert outcome.reason == "not-authorized"


def test_a_captured_authorization_is_void_only_after_the_refund(ledger: Ledger) -> None:
    authorizations, captures = _authorized(ledger), _effects(ledger, Resource.CAPTURES)
    captures.do([_item(Resource.CAPTURES)])

    held = authorizations.undo(["o-1:auth:1"])
    captures.undo(["o-1:step:1"])
    released = authorizations.undo(["o-1:auth:1"])

    assert held == [Outcome("o-1:auth:1", "refused", reason="captured")]
    assert released == [Outcome("o-1:auth:1", "undone")]


@pytest.mark.parametrize(
    ("refund", "reason"),
    [
        (_refund("2.500"), None),
        (_refund("2.501"), "exceeds-capture"),
        (_refund("1.000", currency="USD"), "exceeds-capture"),
        (_refund("1.000", capture="o-1:auth:1"), "not-captured"),
    ],
)
def test_a_refund_needs_a_capture_that_covers_it(ledger: Ledger, refund: Refund, reason: str | None) -> None:
    _authorized(ledger)
    _captured(ledger)

    (outcome,) = _effects(ledger, Resource.REFUNDS).do([refund])

    assert (outcome.status, outcome.reason) == ("refused" if reason else "done", reason)


@pytest.mark.parametrize("together", [False, True], ids=["one by one", "in one request"])
def test_refunds_of_a_capture_are_added_up(ledger: Ledger, together: bool) -> None:
    _authorized(ledger)
    _captured(ledger)
    refunds = _effects(ledger, Resource.REFUNDS)
    asked = [_refund("1.500", n=1), _refund("1.001", n=2), _refund("1.000", n=3)]

    outcomes = refunds.do(asked) if together else [refunds.do([each])[0] for each in asked]

    assert [outcome.reason for outcome in outcomes] == [None, "exceeds-capture", None]


def test_a_capture_with_a_refund_is_not_undone(ledger: Ledger) -> None:
    _authorized(ledger)
    captures = _captured(ledger)
    _effects(ledger, Resource.REFUNDS).do([_refund("1.000")])

    (outcome,) = captures.undo(["o-1:capture:1"])

    assert outcome.reason == "refunded"


def test_the_ledger_is_paged_and_added_up(ledger: Ledger) -> None:
    authorizations = _effects(ledger, Resource.AUTHORIZATIONS)
    authorizations.do([_item(Resource.AUTHORIZATIONS, f"o-1:auth:{n}") for n in range(5)])
    authorizations.undo(["o-1:auth:0", "o-9:auth:0"])

    seen = [row.split(b"\t")[0] for row in b"".join(ledger.as_tsv(2, 3)).splitlines()]
    totals = list(ledger.totals())[-1]

    assert seen == [b"3", b"4", b"5"]
    assert {(it.op, it.lines, it.amount) for it in totals} == {
        ("do", 5, "12.5000"),
        ("undo", 1, "2.5000"),
        ("tombstone", 1, "0.0000"),
    }


def test_without_tombstones_what_was_undone_too_early_is_done_all_the_same(ledger: Ledger) -> None:
    effects = Effects(ledger, "acme", Resource.DISPATCHES, lambda: NOW, tombstones=False)

    (undone,) = effects.undo(["o-1:step:1"])
    (done,) = effects.do([_item(Resource.DISPATCHES)])

    assert (undone.status, done.status) == ("unknown", "done")
    assert _ops(ledger, "o-1:step:1") == ["do"]
