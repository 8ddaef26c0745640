"""Our books compared with the providers' own lists."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fake_providers import FakeProvider, Mood
from prometheus_client import CollectorRegistry, generate_latest
from test_operations import do
from world import RANKING, STEPS, World

from app import leases
from app.optimization.model import OWN_FLEET
from app.providers.port import Resource
from app.runs.allowed import Act
from app.settlement import comparing, differences
from app.settlement.differences import DifferenceNotFound, DifferenceResolved, NothingToUndo
from app.settlement.service import NoSuchProvider, Settlement
from infra.settlement_gauges import Differing
from sagas.all import SAGAS
from sagas.operations import Instruction, Operations
from sagas.reroute_order import REROUTE_ORDER
from sagas.settlement import BOOKS, UNDOABLE

FIRST, SECOND, THIRD = RANKING
STEP = {
    "authorizations": "authorize-payment",
    "captures": "capture-payment",
    "placements": "place-with-restaurant",
    "dispatches": f"dispatch-to-partner:{FIRST}",
}
EACH_RESOURCE = pytest.mark.parametrize("resource", STEP)


class Killed(BaseException):
    """What a process that is killed leaves undone, this leaves undone too."""


def settlement(world: World, holder: str = "test") -> Settlement:
    sides = {world.payment.name: world.payment, world.kitchens.name: world.kitchens, **world.ports.delivery}
    return Settlement(world.db, BOOKS, sides, holder=holder)


def span() -> dict[str, datetime]:
    now = datetime.now(UTC)
    return {"since": now - timedelta(hours=1), "until": now + timedelta(minutes=1)}


def compare(world: World, *, provider: str | None = None, margin_s: float = 0.0) -> list[Any]:
    """Compare the last hour; what is open after it, as (kind, provider, key)."""
    settling = settlement(world)
    ids = settling.plan(**span(), provider=provider, margin_s=margin_s)
    found = settling.run(ids, lambda _: None, within_s=0)
    assert [check.trouble for check in found] == [None] * len(found)
    return still_open(world)


def still_open(world: World) -> list[Any]:
    return [
        tuple(row)
        for row in world.rows(
            "SELECT kind, provider, key FROM differences WHERE resolved_at IS NULL ORDER BY id"
        )
    ]


def side(world: World, resource: str) -> FakeProvider:
    return {
        "placements": world.kitchens,
        "dispatches": world.partners[FIRST],
    }.get(resource, world.payment)


def fulfilled(world: World, count: int = 1, **changes: Any) -> list[str]:
    orders = world.accept(count, **changes)
    world.settle()
    return orders


def failed(world: World) -> str:
    (order,) = world.accept()
    for partner in world.partners.values():
        partner.behave(Mood.REFUSE, orders=[order])
    world.settle()
    assert world.statuses()[order] == "FAILED"
    return order


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """So that a handful of orders makes several parts and pages."""
    monkeypatch.setattr(comparing, "ITEMS_PER_PART", 2)
    monkeypatch.setattr(comparing, "RUNS_PER_PAGE", 3)
    yield


def test_every_resource_is_compared() -> None:
    assert {book.resource for book in BOOKS} == set(Resource)


def test_where_all_agree_there_is_no_difference(world: World) -> None:
    fulfilled(world, 5)
    failed(world)
    world.add_courier()
    fulfilled(world, 3)
    world.partners[FIRST].behave(Mood.LOSE_ANSWER, op="do", times=1)
    fulfilled(world, 2, channel_preference="partner")
    assert world.pooled() == 3

    assert compare(world) == []
    assert world.one("SELECT sum(theirs) FROM settlement_checks") > 30
    assert world.one("SELECT sum(ours) FROM settlement_checks") == 0  # nothing listed is asked for again
    assert world.one("SELECT count(*) FROM settlement_lines") == 0


@EACH_RESOURCE
@pytest.mark.parametrize("left", ["undone", "nothing"])
def test_what_they_do_not_have_any_more_is_found(world: World, resource: str, left: str) -> None:
    orders = fulfilled(world, 5)
    key = f"{orders[2]}:{STEP[resource]}:0"
    them = side(world, resource)
    if left == "undone":
        them.tamper(resource, key, standing=False)
    else:
        them.forget(resource, key)

    assert compare(world) == [("ours-not-theirs", them.name, key)]


@EACH_RESOURCE
def test_what_they_have_of_an_order_that_failed_is_found(world: World, resource: str) -> None:
    fulfilled(world, 3)
    order = failed(world)
    key = f"{order}:{STEP[resource]}:0"
    side(world, resource).tamper(resource, key)

    assert compare(world) == [("theirs-not-ours", side(world, resource).name, key)]


def test_what_stands_of_an_order_that_was_terminated_is_found(world: World) -> None:
    (order,) = world.accept()
    world.kitchens.behave(Mood.SILENT)
    world.walk(world.claim_one())
    terminate = Instruction(act=Act.TERMINATE, who="tests", why="because", confirm=True)
    Operations(world.db, SAGAS, world.doorbell).act("default", order, terminate)

    assert compare(world) == [("theirs-not-ours", "benefit", f"{order}:authorize-payment:0")]


def test_what_stands_of_a_reroute_that_was_terminated_in_doubt_is_found(world: World) -> None:
    (order,) = fulfilled(world)
    world.partners[SECOND].behave(Mood.LOSE_ANSWER)
    for op in ("find", "undo"):
        world.partners[SECOND].behave(Mood.SILENT, op=op)
    (reroute,) = world.follow_up(REROUTE_ORDER, order)
    world.settle()
    do(world, Act.TERMINATE, str(reroute), confirm=True)
    world.partners[SECOND].recover()

    assert compare(world) == [("theirs-not-ours", SECOND, f"{order}:dispatch-to-partner:{SECOND}:1")]


@pytest.mark.parametrize("key", ["nobody:capture-payment:0", "odd", "a:b:c:d:e"])
def test_what_belongs_to_no_order_is_found_and_is_the_platforms_own(world: World, key: str) -> None:
    fulfilled(world)
    world.payment.tamper("captures", key, amount="9.999")

    assert compare(world) == [("theirs-not-ours", "benefit", key)]
    assert world.rows("SELECT tenant_id, order_id, amount::text, currency, ours FROM differences") == [
        ("default", None, "9.999", "BHD", "no such order")
    ]


@pytest.mark.parametrize(
    ("resource", "who", "step"),
    [
        ("captures", "benefit", "capture-payment:1"),
        ("captures", "benefit", "capture-again:0"),
        ("dispatches", SECOND, f"dispatch-to-partner:{SECOND}:0"),
        ("dispatches", FIRST, f"dispatch-to-partner:{FIRST}:1"),
    ],
)
def test_a_second_effect_of_one_order_is_found(world: World, resource: str, who: str, step: str) -> None:
    order, _ = fulfilled(world, 2)
    them = world.payment if who == "benefit" else world.partners[who]
    them.tamper(resource, f"{order}:{step}")

    assert compare(world) == [("double-effect", who, f"{order}:{step}")]
    assert world.one("SELECT ours FROM differences") == f"stands as {order}:{STEP[resource]}:0"


def test_a_dispatch_beside_one_in_the_own_fleet_is_found(world: World) -> None:
    world.add_courier()
    (order,) = fulfilled(world)
    key = f"{order}:dispatch-to-partner:{THIRD}:0"
    world.partners[THIRD].tamper("dispatches", key)

    assert compare(world) == [("double-effect", THIRD, key)]


def test_what_left_the_own_fleets_pool_is_found(world: World) -> None:
    world.add_courier()
    (order,) = fulfilled(world)
    world.sql("UPDATE fleet_pool SET state = 'recalled', at = clock_timestamp()")

    assert compare(world) == [("ours-not-theirs", OWN_FLEET, f"{order}:dispatch-to-partner:{OWN_FLEET}:0")]


@pytest.mark.parametrize(
    ("amount", "currency", "at_stake"), [("2.500", "BHD", "0.250"), ("2.750", "SAR", "2.750")]
)
def test_other_money_is_found(world: World, amount: str, currency: str, at_stake: str) -> None:
    (order, _) = fulfilled(world, 2)
    key = f"{order}:capture-payment:0"
    world.payment.tamper("captures", key, amount=amount, currency=currency)

    assert compare(world) == [("amount-differs", "benefit", key)]
    assert world.rows("SELECT ours, theirs, amount::text, currency, order_id FROM differences") == [
        ("stands 2.750 BHD", f"stands {amount} {currency}", at_stake, "BHD", order)
    ]


def test_the_same_money_in_other_words_is_no_difference(world: World) -> None:
    (order,) = fulfilled(world)
    world.payment.tamper("captures", f"{order}:capture-payment:0", amount="2.75")

    assert compare(world) == []


def test_an_order_under_way_is_no_difference(world: World) -> None:
    orders = world.accept(2)
    claimed = world.claim_one()
    world.walk(claimed, until="dispatch-to-partner")
    world.partners[FIRST].tamper("dispatches", f"{orders[0]}:dispatch-to-partner:{FIRST}:0")

    assert compare(world) == []


def test_what_changed_a_moment_ago_is_no_difference_yet(world: World) -> None:
    (order,) = fulfilled(world)
    world.payment.forget("captures", f"{order}:capture-payment:0")
    world.payment.tamper("captures", f"{order}:capture-payment:7")

    assert compare(world, margin_s=60) == []
    assert len(compare(world, margin_s=0)) == 2


def test_a_capture_that_nobody_heard_of_may_stand(world: World) -> None:
    (order,) = world.accept()
    world.payment.behave(Mood.REFUSE, resource="captures")
    world.settle()
    assert world.states()[order] == "p"
    world.payment.tamper("captures", f"{order}:capture-payment:0", amount="2.750")

    assert compare(world) == []


def test_a_step_that_an_operator_skipped_may_be_missing(world: World) -> None:
    (order,) = fulfilled(world)
    world.sql("DELETE FROM outcomes WHERE step = :step", step=STEPS["place-with-restaurant"])
    world.kitchens.lists = False
    world.kitchens.forget("placements", f"{order}:place-with-restaurant:0")

    assert compare(world) == []


def test_a_suspicion_that_the_provider_denies_is_no_difference(world: World) -> None:
    (order,) = fulfilled(world)
    world.payment.listed.clear()

    assert compare(world) == []
    assert ("find", f"{order}:capture-payment:0") in world.payment.calls
    assert world.one("SELECT count(*) FROM differences") == 0  # not even one that has gone


def test_an_order_that_moves_while_it_is_asked_for_is_no_difference(world: World) -> None:
    (order,) = fulfilled(world)
    world.payment.forget("captures", f"{order}:capture-payment:0")
    world.payment.meanwhile("after find", lambda: world.sql("UPDATE runs SET state = 't'"))

    assert compare(world, provider="benefit") == []


def test_a_rerouted_order_stands_with_its_new_partner(world: World) -> None:
    (order,) = fulfilled(world)
    old, new = (f"{order}:dispatch-to-partner:{who}:{n}" for n, who in enumerate((FIRST, SECOND)))
    world.follow_up(REROUTE_ORDER, order)
    world.settle()
    assert world.book.standing("dispatches") == [new]

    agreed = compare(world)
    world.partners[FIRST].tamper("dispatches", old)
    beside = compare(world)
    world.partners[FIRST].tamper("dispatches", old, standing=False)
    world.partners[SECOND].forget("dispatches", new)

    assert agreed == []
    assert beside == [("double-effect", FIRST, old)]
    assert compare(world) == [("ours-not-theirs", SECOND, new)]


def cancel(world: World, order: str) -> None:
    do(world, Act.CANCEL, order)
    world.settle()


def test_what_was_given_back_agrees(world: World) -> None:
    part, whole, both, cancelled, kept = fulfilled(world, 5)
    world.refund(part, "1.000")
    world.refund(whole, "2.750")
    world.refund(both, "0.750")
    world.settle()
    cancel(world, both)
    cancel(world, cancelled)
    world.partners[FIRST].behave(Mood.REFUSE, op="undo", orders=[kept])
    cancel(world, kept)
    world.partners[FIRST].recover()
    world.add_courier()
    (pooled,) = fulfilled(world)
    cancel(world, pooled)
    states = world.statuses()
    assert [states[order] for order in (part, both, cancelled, kept, pooled)] == [
        "CONFIRMED",
        "CANCELLED",
        "CANCELLED",
        "CONFIRMED",
        "CANCELLED",
    ]

    assert compare(world) == []
    assert world.one("SELECT theirs FROM settlement_checks WHERE resource = 'refunds'") >= 5


def test_a_refund_that_they_do_not_have_is_found(world: World) -> None:
    (order,) = fulfilled(world)
    world.refund(order, "1.000")
    world.settle()
    world.payment.forget("refunds", f"{order}:refund-payment:1")

    assert compare(world) == [("ours-not-theirs", "benefit", f"{order}:refund-payment:1")]
    assert world.one("SELECT amount::text FROM differences") == "1.000"


@pytest.mark.parametrize(
    ("key", "amount", "kind"),
    [
        ("refund-payment:1", "2.000", "amount-differs"),
        ("refund-payment:2", "1.000", "double-effect"),
        ("return-money:1", "1.000", "double-effect"),
    ],
)
def test_a_refund_of_theirs_is_compared(world: World, key: str, amount: str, kind: str) -> None:
    (order,) = fulfilled(world)
    world.refund(order, "1.000")
    world.settle()
    world.payment.tamper("refunds", f"{order}:{key}", amount=amount)

    assert compare(world) == [(kind, "benefit", f"{order}:{key}")]


@pytest.mark.parametrize("resource", ["placements", "dispatches"])
def test_what_stands_of_an_order_that_was_cancelled_after_all_is_found(world: World, resource: str) -> None:
    (order,) = fulfilled(world)
    cancel(world, order)
    side(world, resource).tamper(resource, f"{order}:{STEP[resource]}:0")

    assert compare(world) == [("theirs-not-ours", side(world, resource).name, f"{order}:{STEP[resource]}:0")]


def test_a_dispatch_that_its_partner_kept_still_counts(world: World) -> None:
    (order,) = fulfilled(world)
    world.partners[FIRST].behave(Mood.REFUSE, op="undo")
    cancel(world, order)
    world.partners[FIRST].forget("dispatches", f"{order}:dispatch-to-partner:{FIRST}:0")

    assert compare(world) == [("ours-not-theirs", FIRST, f"{order}:dispatch-to-partner:{FIRST}:0")]


def test_twice_is_one_row_seen_again(world: World) -> None:
    (order,) = fulfilled(world)
    world.payment.tamper("captures", f"{order}:capture-payment:1", amount="1.000")
    compare(world)
    (first,) = world.rows("SELECT id, first_seen, last_seen FROM differences")

    compare(world)

    (second,) = world.rows("SELECT id, first_seen, last_seen FROM differences")
    assert (second.id, second.first_seen) == (first.id, first.first_seen)
    assert second.last_seen > first.last_seen


@pytest.mark.parametrize("resource", ["captures", "dispatches"])
def test_one_that_is_gone_is_closed_whatever_its_day_and_opened_again(world: World, resource: str) -> None:
    order = failed(world)
    key, them = f"{order}:{STEP[resource]}:0", side(world, resource)
    them.tamper(resource, key)
    found = compare(world)
    later = {"since": datetime.now(UTC) + timedelta(days=1), "until": datetime.now(UTC) + timedelta(days=2)}

    them.tamper(resource, key, standing=False)
    settling = settlement(world)
    settling.run(settling.plan(**later, margin_s=0), lambda _: None, within_s=0)

    assert still_open(world) == []
    assert world.rows("SELECT resolved_by, resolved_why FROM differences") == [("settlement", "gone")]
    them.tamper(resource, key)
    assert compare(world) == found


def test_an_amount_that_was_put_right_is_closed_and_one_that_was_not_stays(world: World) -> None:
    orders = fulfilled(world, 2)
    keys = [f"{order}:capture-payment:0" for order in orders]
    for key in keys:
        world.payment.tamper("captures", key, amount="2.000")
    compare(world)

    world.payment.tamper("captures", keys[0], amount="2.750")

    assert compare(world) == [("amount-differs", "benefit", keys[1])]


def test_what_a_person_has_resolved_stays_so(world: World) -> None:
    (order,) = fulfilled(world)
    world.payment.tamper("captures", f"{order}:capture-payment:1")
    compare(world)
    name = str(world.one("SELECT id FROM differences"))

    with world.db.begin() as connection:
        told = differences.resolve(connection, "default", name, who="key/fatima", why="paid back by hand")

    assert (told.before.resolved_at, told.after.resolved_by) == (None, "key/fatima")
    assert compare(world) == []
    with world.db.begin() as connection:
        (act,) = differences.past_acts(connection, name)
    assert (act.act, act.who, act.why) == ("resolve", "key/fatima", "paid back by hand")
    with world.db.begin() as connection, pytest.raises(DifferenceResolved):
        differences.resolve(connection, "default", name, who="key", why="again")


def test_a_tenant_sees_and_resolves_its_own_only(world: World) -> None:
    world.sql("INSERT INTO tenants (id, name) VALUES ('other', 'Other')")
    (order,) = fulfilled(world, tenant="other")
    world.payment.tamper("captures", f"{order}:capture-payment:1", amount="1.000")
    compare(world)
    name = str(world.one("SELECT id FROM differences"))

    with world.db.begin() as connection:
        assert [g.differences for g in differences.groups(connection, "other")] == [1]
        assert differences.groups(connection, "default") == []
        with pytest.raises(DifferenceNotFound):
            differences.resolve(connection, "default", name, who="key", why="not mine")


@pytest.mark.parametrize("who", [FIRST, SECOND, OWN_FLEET])
def test_a_provider_without_a_list_is_asked_for_what_we_know_of(world: World, who: str) -> None:
    for partner in [world.payment, world.kitchens, *world.partners.values()]:
        partner.lists = False
    world.partners[FIRST].behave(Mood.REFUSE)
    orders = fulfilled(world, 4)
    gone, kept = f"{orders[0]}:dispatch-to-partner:{SECOND}:0", f"{orders[1]}:dispatch-to-partner:{FIRST}:0"
    world.partners[SECOND].forget("dispatches", gone) if (
        "dispatches",
        gone,
    ) in world.partners[SECOND].listed else None
    world.partners[FIRST].tamper("dispatches", kept)
    world.partners[FIRST].tamper("dispatches", "nobody:dispatch-to-partner:dhow:0")

    found = compare(world, provider=who)

    expected = {
        FIRST: [("double-effect", FIRST, kept)],
        SECOND: [("ours-not-theirs", SECOND, gone)],
        OWN_FLEET: [],
    }
    assert found == expected[who]
    assert world.one("SELECT bool_and(listed) FROM settlement_checks") is (who == OWN_FLEET)


def test_a_provider_that_does_not_answer_is_put_off_and_another_goes_on(world: World) -> None:
    (order,) = fulfilled(world)
    world.payment.behave(Mood.SILENT, op="listing")
    world.kitchens.tamper("placements", f"{order}:place-with-restaurant:5")
    settling = settlement(world)
    ids = settling.plan(**span(), margin_s=0)

    told = settling.run(ids, lambda _: None, within_s=0)

    assert {check.provider for check in told if check.trouble} == {"benefit"}
    assert still_open(world) == [("double-effect", "kitchens", f"{order}:place-with-restaurant:5")]
    world.payment.recover()
    world.sql("UPDATE settlement_checks SET due_at = now()")
    settling.tick(now=datetime.now(UTC), from_hour=24, for_s=60)
    assert world.one("SELECT count(*) FROM settlement_checks WHERE finished_at IS NULL") == 0


def test_a_provider_in_doubt_about_a_key_is_no_difference(world: World) -> None:
    (order,) = fulfilled(world)
    world.payment.forget("captures", f"{order}:capture-payment:0")
    world.payment.behave(Mood.SILENT, op="find")
    settling = settlement(world)

    told = settling.run(settling.plan(**span(), provider="benefit", margin_s=0), lambda _: None, within_s=0)

    assert "does not answer" in {check.trouble for check in told}
    assert still_open(world) == []


@pytest.mark.parametrize("moment", ["before listing", "after find"])
@pytest.mark.parametrize("passed", [0, 1, 2])
def test_a_killed_check_is_taken_up_where_it_stood(world: World, moment: str, passed: int) -> None:
    orders = fulfilled(world, 7)
    keys = {f"{orders[n]}:capture-payment:0" for n in (0, 3, 6)}
    for key in keys:
        world.payment.tamper("captures", key, standing=False)

    def die() -> None:
        raise Killed

    for _ in range(passed):
        world.payment.meanwhile(moment, lambda: None)
    world.payment.meanwhile(moment, die)
    killed = settlement(world, "killed")
    ids = killed.plan(**span(), provider="benefit", margin_s=0)
    with pytest.raises(Killed):
        killed.run(ids, lambda _: None, within_s=0)
    listings = world.payment.calls.count(("listing", "captures"))

    settlement(world, "successor").tick(now=datetime.now(UTC), from_hour=24, for_s=60)

    assert {key for _, _, key in still_open(world)} == keys
    assert world.one("SELECT count(*) FROM settlement_checks WHERE finished_at IS NULL") == 0
    assert world.one("SELECT theirs FROM settlement_checks WHERE resource = 'captures'") == 7
    assert (
        listings <= world.payment.calls.count(("listing", "captures")) <= 5
    )  # of 4 parts, one perhaps twice


def test_two_at_once_are_one(world: World) -> None:
    fulfilled(world)
    first, second = settlement(world, "first"), settlement(world, "second")
    ids = first.plan(**span(), margin_s=0)
    world.payment.meanwhile(
        "before listing", lambda: second.tick(now=datetime.now(UTC), from_hour=24, for_s=60)
    )

    first.run(ids, lambda _: None, within_s=0)

    assert world.payment.calls.count(("listing", "captures")) == 1


def test_who_lost_the_lease_writes_nothing_more(world: World) -> None:
    fulfilled(world)
    sleeper = settlement(world, "sleeper")
    ids = sleeper.plan(**span(), provider="benefit", margin_s=0)

    def overtake() -> None:
        world.sql("UPDATE leases SET expires_at = '-infinity'")
        settlement(world, "successor").tick(now=datetime.now(UTC), from_hour=24, for_s=60)

    world.payment.meanwhile("before listing", overtake)
    with pytest.raises(leases.LeaseLost):
        sleeper.run(ids, lambda _: None, within_s=0)

    assert world.one("SELECT bool_and(phase = 'done') FROM settlement_checks")


def test_yesterday_is_planned_once_after_its_hour_and_missed_days_are_made_up_for(world: World) -> None:
    settling = settlement(world)
    places = len(settling.places())
    today = datetime.now(UTC).replace(hour=3, minute=0, second=0, microsecond=0)

    def planned() -> int:
        return int(world.one("SELECT count(*) FROM settlement_checks WHERE daily")) // places

    settling.tick(now=today.replace(hour=0), from_hour=1, for_s=0)
    before_its_hour = planned()
    for _ in range(2):
        settling.tick(now=today, from_hour=1, for_s=0)
    at_its_hour = planned()
    settling.tick(now=today + timedelta(days=3), from_hour=1, for_s=0)

    assert (before_its_hour, at_its_hour, planned()) == (0, 1, 4)
    assert world.one("SELECT min(since) FROM settlement_checks").date() == today.date() - timedelta(days=1)


def test_nothing_is_compared_while_orders_wait(world: World) -> None:
    world.accept()
    world.sql("UPDATE runs SET due_at = now() - interval '5 s'")
    settling = settlement(world)
    settling.plan(**span(), margin_s=0)

    settling.tick(now=datetime.now(UTC), from_hour=24, for_s=60)

    assert world.one("SELECT sum(theirs) FROM settlement_checks") == 0
    assert ("listing", "captures") not in world.payment.calls


def test_an_unknown_provider_is_refused(world: World) -> None:
    with pytest.raises(NoSuchProvider):
        settlement(world).plan(**span(), provider="nobody")


def asked_to_undo(world: World, name: str) -> None:
    with world.db.begin() as connection:
        differences.ask_to_undo(
            connection, "default", name, undoable=UNDOABLE, who="key/fatima", why="too many"
        )


def tick(world: World) -> None:
    settlement(world).tick(now=datetime.now(UTC), from_hour=24, for_s=0)


@pytest.mark.parametrize("resource", sorted(UNDOABLE))
def test_an_effect_of_a_failed_order_is_undone_on_an_operators_word(world: World, resource: str) -> None:
    order = failed(world)
    key, them = f"{order}:{STEP[resource]}:0", side(world, resource)
    them.tamper(resource, key)
    compare(world)
    untouched = them.calls.count(("undo", key))
    tick(world)
    assert them.calls.count(("undo", key)) == untouched

    asked_to_undo(world, str(world.one("SELECT id FROM differences")))
    tick(world)

    assert them.calls.count(("undo", key)) == untouched + 1
    assert world.rows("SELECT resolved_by, resolved_why FROM differences") == [
        ("key/fatima", "undone: too many")
    ]
    assert compare(world) == []


def test_an_undoing_waits_for_a_silent_provider_and_ends_at_a_refusal(world: World) -> None:
    order = failed(world)
    world.kitchens.tamper("placements", f"{order}:place-with-restaurant:0")
    compare(world)
    asked_to_undo(world, str(world.one("SELECT id FROM differences")))

    world.kitchens.behave(Mood.SILENT, op="undo", times=1)
    tick(world)
    silent = world.rows("SELECT undo_trouble, undo_due_at > now() FROM differences")
    world.kitchens.behave(Mood.REFUSE, op="undo")
    world.sql("UPDATE differences SET undo_due_at = now()")
    tick(world)

    assert silent == [("in-doubt", True)]
    assert world.rows("SELECT undo_trouble, undo_due_at, resolved_at FROM differences") == [
        ("refused", None, None)
    ]


def test_what_our_books_want_by_now_is_not_undone(world: World) -> None:
    order = failed(world)
    key = f"{order}:place-with-restaurant:0"
    world.kitchens.tamper("placements", key)
    compare(world)
    asked_to_undo(world, str(world.one("SELECT id FROM differences")))
    world.sql("UPDATE runs SET undone = 0, failure = NULL, done = touched, direction = 'f'")

    tick(world)

    assert world.kitchens.calls.count(("undo", key)) == 1  # by its own compensation, before
    assert "stands" in world.one("SELECT undo_trouble FROM differences")


@pytest.mark.parametrize(
    ("resource", "key"),
    [("captures", "{order}:capture-payment:0"), ("placements", "nobody:place-with-restaurant:0")],
)
def test_money_and_what_belongs_to_nobody_is_not_undone(world: World, resource: str, key: str) -> None:
    order = failed(world)
    side(world, resource).tamper(resource, key.format(order=order))
    compare(world)

    with pytest.raises(NothingToUndo):
        asked_to_undo(world, str(world.one("SELECT id FROM differences")))


def test_what_is_missing_there_cannot_be_undone(world: World) -> None:
    (order,) = fulfilled(world)
    world.kitchens.forget("placements", f"{order}:place-with-restaurant:0")
    compare(world)

    with pytest.raises(NothingToUndo):
        asked_to_undo(world, str(world.one("SELECT id FROM differences")))


def gauges(world: World) -> str:
    registry = CollectorRegistry()
    registry.register(Differing(world.db))
    return generate_latest(registry).decode()


def test_what_is_open_is_told_to_prometheus_with_its_money(world: World) -> None:
    order, other = fulfilled(world, 2)
    world.payment.tamper("captures", f"{order}:capture-payment:1", amount="1.500")
    world.payment.tamper("captures", f"{other}:capture-payment:1", amount="2.000", currency="SAR")
    world.kitchens.tamper("placements", f"{order}:place-with-restaurant:1")
    compare(world)
    settlement(world).plan(**span(), provider="kitchens")

    told = gauges(world)

    labels = 'kind="double-effect",provider="benefit",resource="captures"'
    assert f"uoop_differences_open{{{labels}}} 2.0" in told
    assert f'uoop_differences_open_amount{{currency="BHD",{labels}}} 1.5' in told
    assert f'uoop_differences_open_amount{{currency="SAR",{labels}}} 2.0' in told
    assert 'resource="placements"} 1.0' in told
    (unfinished,) = [
        line for line in told.splitlines() if line.startswith("uoop_settlement_unfinished_seconds ")
    ]
    assert float(unfinished.split()[1]) > 0


def test_alerts_ask_for_what_is_told(world: World) -> None:
    (order,) = fulfilled(world)
    world.payment.tamper("captures", f"{order}:capture-payment:1", amount="1.500")
    compare(world)
    told = gauges(world)

    rules = Path("infra/prometheus/alerts.yml").read_text()
    asked = re.findall(r"expr: .*?(uoop_(?:differences|settlement)\w+)", rules)

    assert len(asked) == 3
    assert [name for name in asked if f"\n{name}" not in told] == []
