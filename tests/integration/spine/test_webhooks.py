"""From the log to receivers: signed, in order, tried again, and no receiver at another's cost."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import standardwebhooks
from receivers import HELD_AT_MOST_S, Receiver, receiver
from sqlalchemy import Engine as Database
from sqlalchemy import text
from test_outbox import relayed, sequenced, write, written
from together import all_at_once

from app.outbox import queries
from app.outbox.model import Event
from app.outbox.port import EventRefused
from app.outbox.queries import SinkStanding
from app.outbox.relay import Relay
from app.tenants import service as tenants
from app.webhooks import deliveries, schedule, sender
from app.webhooks.address import AddressRefused
from app.webhooks.deliveries import Outcome
from app.webhooks.desk import WebhookDesk, WebhookWithSecret
from app.webhooks.keyring import Keyring
from app.webhooks.model import (
    Changes,
    DeliveryState,
    DisabledReason,
    Replay,
    TooManyWebhooks,
    WebhookNotFound,
    WebhookState,
)
from app.webhooks.sender import Sender
from app.webhooks.sink import Webhooks

KEY = "0123456789abcdef0123456789abcdef"
EVERYTHING = {"failed": False, "order_id": None, "after": None, "limit": 100}


@dataclass
class Post:
    """The way from the log to receivers, walked when it is told to."""

    db: Database
    allowed: set[str] = field(default_factory=set)
    key: str = KEY
    outcomes: list[Outcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        ring: Callable[[], None] = lambda: None  # noqa: E731
        self.sink = Webhooks(self.db, ring=ring, remembered_s=0)
        self.relay = Relay(self.db, self.sink, holder="one", is_wanted=self.sink.is_wanted)
        self.relay.run_once()
        self.desk = WebhookDesk(self.db, Keyring(self.key), allowed=self.allowed, ring=ring)

    def to(self, receiver: Receiver, *types: str, tenant: str = "default") -> WebhookWithSecret:
        self.allowed.add(f"127.0.0.1:{receiver.port}")
        return self.desk.create(tenant, url=receiver.url, types=types, description=None)

    def sender(
        self, holder: str = "one", *, key: str = KEY, timeout_s: float = 5.0, **options: Any
    ) -> Sender:
        return Sender(
            self.db,
            Keyring(key),
            machine=options.pop("machine", "here"),
            holder=holder,
            ring=lambda: None,
            allowed=self.allowed,
            timeout_s=timeout_s,
            linger_s=0.02,
            observe=self.outcomes.append,
            **options,
        )

    def written(self, *orders: str, events: int = 1) -> None:
        with self.db.begin() as connection:
            for sequence in range(1, events + 1):
                for order in orders:
                    write(connection, order, sequence)
        sequenced(self.db)
        relayed(self.relay)

    def later(self) -> None:
        """All waits are over."""
        with self.db.begin() as connection:
            connection.execute(text("UPDATE webhook_deliveries SET due_at = now() - interval '1 s'"))
            connection.execute(text("UPDATE webhook_endpoints SET quiet_until = NULL"))

    def log(self, webhook: WebhookWithSecret, **options: Any) -> list[tuple[str, DeliveryState, int]]:
        page = self.desk.deliveries("default", webhook.id, **{**EVERYTHING, **options})
        return [(one.order_id, one.state, one.tries) for one in page.deliveries]

    def due_in_s(self) -> float:
        with self.db.connect() as connection:
            found = connection.execute(
                text("SELECT extract(epoch FROM due_at - answered_at) FROM webhook_deliveries")
            )
            return float(found.scalar_one())


@pytest.fixture
def post(db: Database) -> Post:
    return Post(db)


@pytest.fixture
def healthy() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


@pytest.fixture
def other() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def slowly(_: object) -> tuple[int, dict[str, str]]:
    threading.Event().wait(0.02)
    return 204, {}


def answers(status: int, **headers: str) -> Callable[[object], tuple[int, dict[str, str]]]:
    return lambda _: (status, {name.replace("_", "-"): value for name, value in headers.items()})


def test_events_arrive_signed_and_the_public_library_verifies_them(post: Post, healthy: Receiver) -> None:
    webhook = post.to(healthy)
    post.written("a")

    assert post.sender().run() is True

    (sent,) = healthy.got
    told = standardwebhooks.Webhook(webhook.secret).verify(sent.body, sent.headers)
    assert (told["subject"], told["type"], told["id"]) == ("a", "order.accepted", sent.headers["webhook-id"])
    assert post.log(webhook) == [("a", DeliveryState.DELIVERED, 1)]
    assert [outcome.reply.taken for outcome in post.outcomes] == [True]


def test_an_event_is_sent_with_the_trace_that_its_orders_client_told(post: Post, healthy: Receiver) -> None:
    post.to(healthy)
    with post.db.begin() as connection:
        write(connection, "a", trace="4bf92f3577b34da6a3ce929d0e0e4736-00")
    sequenced(post.db)
    relayed(post.relay)

    post.sender().run()

    (sent,) = healthy.got
    span = int(sent.headers["webhook-id"])
    assert json.loads(sent.body)["traceparent"] == f"00-4bf92f3577b34da6a3ce929d0e0e4736-{span:016x}-00"


def test_an_orders_events_are_sent_one_after_the_other(post: Post, healthy: Receiver) -> None:
    post.to(healthy)
    healthy.answer = slowly
    post.written("a", "b", events=5)

    post.sender().run()

    for order in ("a", "b"):
        assert [sequence for name, sequence in healthy.names if name == order] == [1, 2, 3, 4, 5]
    assert healthy.busiest <= 2


def test_a_receiver_is_sent_no_more_at_once_than_it_may_be(post: Post, healthy: Receiver) -> None:
    post.to(healthy)
    healthy.answer = slowly
    post.written(*(f"o{n}" for n in range(20)))

    post.sender(at_once=3).run()

    assert len(healthy.got) == 20
    assert 1 < healthy.busiest <= 3


def test_what_follows_a_failed_event_does_not_wait_for_it(post: Post, healthy: Receiver) -> None:
    webhook = post.to(healthy)
    healthy.answer = lambda sent: (500 if sent.name == ("a", 1) else 204, {})
    post.written("a", events=3)

    post.sender().run()

    assert healthy.names == [("a", 1), ("a", 2), ("a", 3)]
    assert [state for _, state, _ in post.log(webhook)] == [
        *[DeliveryState.DELIVERED] * 2,
        DeliveryState.WAITING,
    ]
    assert post.log(webhook, failed=True) == [("a", DeliveryState.WAITING, 1)]


def test_a_receiver_that_hangs_keeps_no_other_waiting(post: Post, healthy: Receiver, other: Receiver) -> None:
    done = threading.Event()
    other.answer = lambda _: (204 if done.wait(HELD_AT_MOST_S) else 500, {})
    hanging, quick = post.to(other), post.to(healthy)
    post.written(*(f"o{n}" for n in range(30)), events=2)
    working = threading.Thread(target=post.sender(timeout_s=20).run)
    working.start()

    try:
        while len(healthy.got) < 60 or {state for _, state, _ in post.log(quick)} != {
            DeliveryState.DELIVERED
        }:
            assert working.is_alive()
        assert DeliveryState.DELIVERED not in {state for _, state, _ in post.log(hanging)}
    finally:
        done.set()
        working.join()


def test_while_one_sender_waits_for_slow_answers_the_next_looks_for_work(
    post: Post, healthy: Receiver, other: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = threading.Event()
    other.answer = lambda _: (204 if done.wait(HELD_AT_MOST_S) else 500, {})
    monkeypatch.setattr(sender, "STAYS_S", 0.2)
    monkeypatch.setattr(sender, "STAYS_FOR_THE_SLOW_S", 0.2)
    slow, _ = post.to(other), post.to(healthy)
    post.written("early")
    waiting = threading.Thread(target=post.sender("one", timeout_s=20).run)
    waiting.start()

    try:
        while ("early", 1) not in healthy.names or other.open_now == 0:
            assert waiting.is_alive()
        post.desk.disable("default", slow.id)  # or the next one would wait for it too
        post.written("late")
        next_one = post.sender("two")
        while ("late", 1) not in healthy.names:
            assert waiting.is_alive()
            next_one.run()
        assert waiting.is_alive()
    finally:
        done.set()
        waiting.join()
    assert post.log(slow) == [("early", DeliveryState.DELIVERED, 1)]


def test_only_types_that_are_wanted_are_sent_and_only_to_their_tenant(
    post: Post, healthy: Receiver, other: Receiver, db: Database
) -> None:
    with db.begin() as connection:
        tenants.ensure_tenant(connection, "shop", name="Shop", order_deadline_s=900)
    post.to(healthy, "order.accepted", "order.failed")
    post.to(other, tenant="shop")
    unwanted = post.to(healthy, "order.confirmed")
    post.written("a")

    post.sender().run()

    assert healthy.names == [("a", 1)]
    assert other.got == []
    assert post.log(unwanted) == []


def test_what_receivers_have_taken_is_counted_from_the_commit_and_replays_are_not(
    post: Post, healthy: Receiver
) -> None:
    webhook = post.to(healthy, "order.accepted")
    post.written("a", "b")
    assert standing(post.db).delivered == 0  # it is noted, and nobody has it
    post.sender().run()
    post.desk.replay("default", webhook.id, Replay(order_id="a"))
    post.sender().run()

    found = standing(post.db)

    assert len(healthy.got) == 3
    assert (found.delivered, found.share_within_5s, found.lag) == (1, 1.0, 0)


def test_without_receivers_nothing_is_written_and_nothing_is_looked_at(post: Post, db: Database) -> None:
    post.written("a", "b")

    assert post.sender().run() is False
    with db.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM webhook_deliveries")).scalar_one() == 0
        place = connection.execute(text("SELECT pos FROM sinks WHERE name = 'webhooks'")).scalar_one()
    assert place == 2


def test_an_event_is_noted_once_however_often_it_is_published(
    post: Post, healthy: Receiver, db: Database
) -> None:
    post.to(healthy)
    post.written("a")
    post.sink.publish(logged(db))
    post.sender().run()
    post.sink.publish(logged(db))

    assert post.sender().run() is False
    assert healthy.names == [("a", 1)]


def test_events_of_the_log_are_published_again_on_demand_and_lost_ones_refused(
    post: Post, healthy: Receiver, db: Database
) -> None:
    post.to(healthy)
    post.written("a")
    post.sender().run()
    (event,) = logged(db)

    post.sink.publish_again([event])
    post.sender().run()
    with db.begin() as connection:
        connection.execute(text("DELETE FROM outbox_log"))

    assert healthy.names == [("a", 1)] * 2
    with pytest.raises(EventRefused):
        post.sink.publish_again([event])


def test_tries_follow_the_schedule_and_end(post: Post, healthy: Receiver) -> None:
    webhook = post.to(healthy)
    healthy.answer = answers(500)
    post.written("a")
    waits = []

    for _ in range(schedule.TRIES):
        post.sender().run()
        waits.append(post.due_in_s())
        post.later()

    assert all(
        least <= waited <= least * (1 + schedule.JITTER) + 1
        for least, waited in zip(schedule.WAITS_S, waits[:-1], strict=True)
    )
    assert post.log(webhook) == [("a", DeliveryState.GIVEN_UP, schedule.TRIES)]
    assert post.sender().run() is False
    assert len({sent.headers["webhook-id"] for sent in healthy.got}) == 1


def test_retry_after_is_heeded_by_the_event_and_by_those_behind_it(post: Post, healthy: Receiver) -> None:
    post.to(healthy)
    healthy.answer = answers(429, Retry_After="7000")
    post.written("a")
    post.sender().run()

    assert 6990 < post.due_in_s() < 7010
    post.written("b")
    assert post.sender().run() is False


def test_gone_disables_at_once_and_the_owner_is_told_at_his_other_receivers(
    post: Post, healthy: Receiver, other: Receiver
) -> None:
    gone, _ = post.to(other, "order.accepted"), post.to(healthy, "webhook.disabled")
    other.answer = answers(410)
    disabled: list[DisabledReason] = []
    post.written("a")

    post.sender(observe_disabled=disabled.append).run()
    sequenced(post.db)
    relayed(post.relay)
    post.sender().run()

    found = post.desk.webhook("default", gone.id)
    assert (found.state, found.reason, disabled) == (
        WebhookState.DISABLED,
        DisabledReason.GONE,
        [DisabledReason.GONE],
    )
    (told,) = healthy.got
    assert told.event["type"] == "webhook.disabled"
    assert (told.event["source"], told.event["subject"]) == ("/uoop/webhooks", gone.id)
    assert told.event["data"] == {"reason": "gone"}


def test_a_redirect_is_a_failure_and_not_followed(post: Post, healthy: Receiver, other: Receiver) -> None:
    webhook = post.to(healthy)
    post.to(other, "order.failed")
    healthy.answer = answers(302, Location=other.url)
    post.written("a")

    post.sender().run()

    (one,) = post.desk.deliveries("default", webhook.id, **EVERYTHING).deliveries
    assert (one.status, one.error) == (302, "redirects are not followed")
    assert other.got == []


def test_a_receiver_that_keeps_failing_is_only_probed_and_served_again_when_it_is_well(
    post: Post, healthy: Receiver
) -> None:
    webhook = post.to(healthy)
    healthy.answer = answers(503)
    post.written(*(f"o{n}" for n in range(30)))
    post.sender(at_once=schedule.BREAKS_AT).run()
    in_vain = len(healthy.got)
    assert schedule.BREAKS_AT <= in_vain < 2 * schedule.BREAKS_AT  # with those that were under way
    assert post.sender().run() is False  # left in peace

    post.later()
    post.sender().run()
    assert len(healthy.got) == in_vain + 1

    healthy.answer = answers(204)
    post.later()
    post.sender().run()

    assert {state for _, state, _ in post.log(webhook)} == {DeliveryState.DELIVERED}
    assert post.desk.webhook("default", webhook.id).failures == 0


def test_who_has_taken_nothing_for_days_is_disabled_and_goes_on_when_enabled(
    post: Post, healthy: Receiver
) -> None:
    webhook = post.to(healthy)
    healthy.answer = answers(500)
    post.written(*(f"o{n}" for n in range(schedule.BREAKS_AT + 1)))
    post.sender(at_once=schedule.BREAKS_AT).run()
    post.later()
    post.sender().run()
    assert post.desk.webhook("default", webhook.id).state is WebhookState.ENABLED
    with post.db.begin() as connection:
        connection.execute(
            text("UPDATE webhook_endpoints SET failing_since = failing_since - interval '3 days'")
        )

    post.later()
    post.sender().run()
    found = post.desk.webhook("default", webhook.id)
    assert (found.state, found.reason) == (WebhookState.DISABLED, DisabledReason.FAILING)
    sequenced(post.db)
    told = logged(post.db)[-1]
    assert (told.type, told.order_id, told.data) == ("webhook.disabled", webhook.id, {"reason": "failing"})
    post.later()
    assert post.sender().run() is False

    healthy.answer = answers(204)
    post.desk.enable("default", webhook.id)
    post.sender().run()
    assert {state for _, state, _ in post.log(webhook)} == {DeliveryState.DELIVERED}


def test_both_secrets_sign_while_receivers_change_over(post: Post, healthy: Receiver) -> None:
    first = post.to(healthy)
    second = post.desk.rotate("default", first.id, overlap_s=3600)
    post.written("a")
    post.sender().run()
    with post.db.begin() as connection:
        connection.execute(text("UPDATE webhook_endpoints SET old_until = now()"))
    post.written("b")
    post.sender().run()

    during, after = healthy.got
    for secret in (first.secret, second.secret):
        assert standardwebhooks.Webhook(secret).verify(during.body, during.headers)
    assert standardwebhooks.Webhook(second.secret).verify(after.body, after.headers)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(first.secret).verify(after.body, after.headers)


def test_secrets_are_not_in_the_database_nor_shown_again(post: Post, healthy: Receiver) -> None:
    webhook = post.to(healthy)

    with post.db.connect() as connection:
        row = connection.execute(text("SELECT e::text FROM webhook_endpoints e")).scalar_one()

    assert webhook.secret.removeprefix("whsec_") not in row
    assert bytes(webhook.secret, "ascii").hex() not in row
    assert "secret" not in {
        name for name in dir(post.desk.webhook("default", webhook.id)) if name == "secret"
    }


def test_another_key_sends_nothing_and_costs_no_try(post: Post, healthy: Receiver) -> None:
    webhook = post.to(healthy)
    post.written("a")

    post.sender(key="f" * 32).run()
    assert post.log(webhook) == [("a", DeliveryState.WAITING, 0)]
    post.later()
    post.sender().run()

    assert healthy.names == [("a", 1)]


@pytest.mark.parametrize(
    "wanted", [Replay(place=2), Replay(order_id="b"), Replay(type="order.accepted", after=1)]
)
def test_what_is_chosen_is_sent_again(post: Post, healthy: Receiver, wanted: Replay) -> None:
    webhook = post.to(healthy)
    post.written("a", "b")
    post.sender().run()

    told = post.desk.replay("default", webhook.id, wanted)
    post.sender().run()

    assert (told.events, told.next_after) == (1, None)
    assert sorted(healthy.names) == [("a", 1), ("b", 1), ("b", 1)]


def test_events_of_a_time_are_sent_again(post: Post, healthy: Receiver) -> None:
    webhook = post.to(healthy)
    for order, ago in (("older", "3 h"), ("old", "2 h"), ("new", "0 s")):
        written(post.db, order, ago=ago)
    now = datetime.now(UTC)

    post.desk.replay(
        "default", webhook.id, Replay(since=now - timedelta(minutes=150), until=now - timedelta(minutes=90))
    )
    post.sender().run()

    assert healthy.names == [("old", 1)]


def test_a_replay_reaches_events_from_before_the_receiver(post: Post, healthy: Receiver) -> None:
    post.written("a", "b")
    webhook = post.to(healthy)

    told = post.desk.replay("default", webhook.id, Replay(after=0))
    post.sender().run()

    assert told.events == 2
    assert sorted(healthy.names) == [("a", 1), ("b", 1)]


def test_two_senders_send_each_event_once_in_order_and_keep_the_bound(post: Post, healthy: Receiver) -> None:
    post.to(healthy)
    healthy.answer = slowly
    post.written(*(f"o{n}" for n in range(20)), events=3)
    senders = [post.sender(name, machine=name, at_once=4) for name in ("one", "two")]

    all_at_once([each.run for each in senders])

    assert len(healthy.names) == len(set(healthy.names)) == 60
    assert healthy.busiest <= 4
    for order in {order for order, _ in healthy.names}:
        assert [sequence for name, sequence in healthy.names if name == order] == [1, 2, 3]


def test_on_one_machine_senders_look_in_turn(post: Post, healthy: Receiver) -> None:
    post.to(healthy)
    post.written("a")
    looking = post.sender("one")
    assert looking._leads()

    assert post.sender("two").run() is False
    looking._give_way()
    assert post.sender("two").run() is True


def test_a_sender_that_dies_with_the_answer_unnoted_sends_again_under_the_same_id(
    post: Post, healthy: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook = post.to(healthy)
    post.written("a", events=2)
    with monkeypatch.context() as broken:
        broken.setattr(deliveries, "note", dies)
        with pytest.raises(Killed):
            post.sender(machine="first").run()
    post.sender().run()  # it is in the dead one's hands, and the one behind it waits
    assert healthy.names == [("a", 1)]

    post.later()
    post.sender().run()

    assert healthy.names == [("a", 1), ("a", 1), ("a", 2)]
    assert healthy.got[0].headers["webhook-id"] == healthy.got[1].headers["webhook-id"]
    assert [state for _, state, _ in post.log(webhook)] == [DeliveryState.DELIVERED] * 2


def test_a_late_failure_does_not_undo_what_a_successor_has_in_hands(post: Post, healthy: Receiver) -> None:
    webhook = post.to(healthy)
    post.written("a")
    one = post.sender()
    (late,) = one._take(10)
    post.later()
    one._take(10)

    asyncio.run(failing(one, late, healthy))

    assert post.log(webhook) == [("a", DeliveryState.SENDING, 0)]


def test_a_name_that_leads_inside_is_refused_when_it_is_given_and_when_it_is_called(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    leads_to = "8.8.8.8"

    def resolve(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (leads_to, port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    webhook = post.desk.create("default", url="https://hooks.example/x", types=(), description=None)
    leads_to = "169.254.169.254"
    post.written("a")
    post.sender().run()

    (one,) = post.desk.deliveries("default", webhook.id, **EVERYTHING).deliveries
    assert (one.status, one.error) == (None, "It is not on the public internet.")
    with pytest.raises(AddressRefused):
        post.desk.create("default", url="https://hooks.example/x", types=(), description=None)
    with pytest.raises(AddressRefused):
        post.desk.change("default", webhook.id, Changes(url="https://hooks.example/y"))


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "https://[::1]/", "https://2130706433/"])
def test_addresses_inside_are_refused_when_they_are_given(post: Post, url: str) -> None:
    with pytest.raises(AddressRefused):
        post.desk.create("default", url=url, types=(), description=None)


def test_a_test_event_is_answered_at_once_also_by_one_that_is_disabled(post: Post, healthy: Receiver) -> None:
    webhook = post.to(healthy)
    post.desk.disable("default", webhook.id)
    healthy.answer = answers(418)

    told = post.desk.test("default", webhook.id)

    (sent,) = healthy.got
    assert (told.taken, told.status, told.event_id) == (False, 418, sent.headers["webhook-id"])
    event = standardwebhooks.Webhook(webhook.secret).verify(sent.body, sent.headers)
    assert (event["type"], event["subject"]) == ("webhook.test", webhook.id)


def test_every_webhook_is_its_tenants_alone(post: Post, healthy: Receiver) -> None:
    desk, its = post.desk, post.to(healthy).id

    for foreign in (
        lambda: desk.webhook("shop", its),
        lambda: desk.change("shop", its, Changes(description="mine")),
        lambda: desk.delete("shop", its),
        lambda: desk.rotate("shop", its, overlap_s=0),
        lambda: desk.enable("shop", its),
        lambda: desk.disable("shop", its),
        lambda: desk.test("shop", its),
        lambda: desk.deliveries("shop", its, **EVERYTHING),
        lambda: desk.replay("shop", its, Replay(after=0)),
    ):
        with pytest.raises(WebhookNotFound):
            foreign()
    assert desk.webhooks("shop") == []
    assert healthy.got == []


def test_a_deleted_webhook_is_sent_nothing_more(post: Post, healthy: Receiver) -> None:
    webhook = post.to(healthy)
    post.written("a")
    post.desk.delete("default", webhook.id)

    assert post.sender().run() is False
    with pytest.raises(WebhookNotFound):
        post.desk.webhook("default", webhook.id)


def test_a_tenant_has_a_bounded_number(
    post: Post, healthy: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.webhooks.endpoints.AT_MOST", 1)
    post.to(healthy)

    with pytest.raises(TooManyWebhooks):
        post.to(healthy)


def test_the_log_is_read_page_by_page_newest_first(post: Post, healthy: Receiver) -> None:
    webhook = post.to(healthy)
    post.written("a", "b", "c")
    post.sender().run()

    first = post.desk.deliveries("default", webhook.id, **{**EVERYTHING, "limit": 2})
    rest = post.desk.deliveries("default", webhook.id, **{**EVERYTHING, "after": first.next})

    assert [one.order_id for one in first.deliveries + rest.deliveries] == ["c", "b", "a"]
    assert rest.next is None
    (oldest,) = rest.deliveries
    assert (oldest.status, oldest.type, oldest.sequence) == (204, "order.accepted", 1)
    assert oldest.took_ms is not None


class Killed(BaseException):
    """Nothing catches it."""


def dies(*_: object) -> None:
    raise Killed


async def failing(one: Sender, late: Any, receiver: Receiver) -> None:
    receiver.answer = answers(500)
    one._note([await one._send(*late)])


def standing(db: Database) -> SinkStanding:
    with db.connect() as connection:
        found = queries.standings(connection, window=timedelta(hours=1))
    return next(one for one in found if one.sink == "webhooks")


def logged(db: Database) -> list[Event]:
    with db.connect() as connection:
        found = connection.execute(
            text("SELECT pos, id, tenant_id, order_id, sequence, type, data, at FROM outbox_log ORDER BY pos")
        )
        return [Event(*row) for row in found]
