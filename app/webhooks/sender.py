"""
The sender: posts what is due, every receiver beside the others.

Any number may run. Of those on one machine one at a time looks for work; it stays while somebody is slow, and
whoever comes next takes over while it waits for the last answers. What a sender that died had in its hands is
sent again when its lease is over, under the same id.
"""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import structlog
from sqlalchemy import Engine, text

from app import leases
from app.outbox.model import Event, envelope
from app.webhooks import address, deliveries, endpoints, post, schedule, signature
from app.webhooks.address import AddressRefused
from app.webhooks.deliveries import Outcome, Taken
from app.webhooks.keyring import Keyring, SecretUnreadable
from app.webhooks.model import DisabledReason
from app.webhooks.post import Reply

AT_ONCE = 10
IN_FLIGHT = 500
NAMES_AT_ONCE = 128  # a name server that hangs keeps a thread for each name
STAYS_S, STAYS_FOR_THE_SLOW_S = 5.0, 20.0
SLOW_S = 1.0
LINGER_S, PACE_S = 0.25, 0.05
LEASE_S, PROLONGED_EVERY_S = 3.0, 1.0
MARGIN_S = 10.0  # between the longest a receiver may take and being taken for dead
UNREADABLE_AGAIN_S = 60.0

log = structlog.get_logger()


def _nobody(_: Outcome) -> None:
    """Nobody is watching."""


class Sender:
    """One per process."""

    def __init__(
        self,
        db: Engine,
        keyring: Keyring,
        *,
        machine: str,
        holder: str,
        ring: Callable[[], None],
        allowed: Collection[str] = (),
        at_once: int = AT_ONCE,
        timeout_s: float = post.TIMEOUT_S,
        linger_s: float = LINGER_S,
        observe: Callable[[Outcome], None] = _nobody,
        observe_disabled: Callable[[DisabledReason], None] = lambda _: None,
    ) -> None:
        """
        :param machine: senders of the same name look for work in turn
        :param ring: calls the next one
        :param allowed: `host:port` that may be inside
        :param at_once: most that one receiver gets at the same time, from all senders together
        :param linger_s: how long it stays when nothing is due any more
        :param observe: is shown each outcome once it is noted
        """
        self._db, self._keyring, self._allowed = db, keyring, allowed
        self._lease, self._holder, self._ring = f"webhooks:{machine}", holder, ring
        self._at_once, self._timeout_s, self._linger_s = at_once, timeout_s, linger_s
        self._observe, self._observe_disabled = observe, observe_disabled
        self._prolonged_at = float("-inf")

    def run(self) -> bool:
        """
        Send until nothing is due any more, or for some seconds.

        :return: whether there was anything to look after; False also while another looks
        """
        with self._db.connect() as connection:
            if not deliveries.is_due(connection):
                return False
        if not self._leads():
            return False
        asyncio.run(self._work())
        return True

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(NAMES_AT_ONCE, "names"))
        under_way: dict[asyncio.Task[Outcome], float] = {}
        started = busy_at = time.monotonic()
        with ThreadPoolExecutor(1, "webhooks-db") as database:
            while _may_stay(started, under_way.values()) and await loop.run_in_executor(
                database, self._leads
            ):
                take = partial(self._take, IN_FLIGHT - len(under_way))
                for taken, keys in await loop.run_in_executor(database, take):
                    busy_at = time.monotonic()
                    under_way[asyncio.create_task(self._send(taken, keys))] = busy_at
                if not under_way:
                    if time.monotonic() - busy_at > self._linger_s:
                        break
                    await asyncio.sleep(min(PACE_S, self._linger_s))
                elif ended := await _ended(under_way, within_s=PACE_S):
                    await loop.run_in_executor(database, self._note, ended)
            await loop.run_in_executor(database, self._give_way)
            while under_way:
                await loop.run_in_executor(database, self._note, await _ended(under_way, within_s=None))

    async def _send(self, taken: Taken, keys: Sequence[str]) -> Outcome:
        if taken.event is None:
            lost = Reply(status=None, took_s=0.0, error="the log does not hold the event any more")
            return Outcome(taken, lost, None)
        reply = await post_event(
            taken.event, taken.url, keys, allowed=self._allowed, timeout_s=self._timeout_s
        )
        wait_s = schedule.wait_s(
            taken.tries + 1,
            asked_s=reply.retry_after_s,
            chance=random.random(),  # noqa: S311 (it spreads load, it hides nothing)
        )
        return Outcome(taken, reply, None if reply.taken else wait_s)

    def _leads(self) -> bool:
        """Whether this sender looks for work now, of those on the machine."""
        if time.monotonic() - self._prolonged_at < PROLONGED_EVERY_S:
            return True
        with self._db.begin() as connection:
            connection.execute(text("SET LOCAL synchronous_commit = off"))
            leads = leases.take(connection, self._lease, holder=self._holder, for_s=LEASE_S) is not None
        self._prolonged_at = time.monotonic() if leads else float("-inf")
        return leads

    def _give_way(self) -> None:
        self._prolonged_at = float("-inf")
        with self._db.begin() as connection:
            leases.release(connection, self._lease, holder=self._holder)
        self._ring()

    def _take(self, room: int) -> list[tuple[Taken, list[str]]]:
        """Deliveries with the keys that sign them, in clear."""
        with self._db.begin() as connection:
            taken = deliveries.take(
                connection, at_once=self._at_once, room=room, lease_s=self._timeout_s + MARGIN_S
            )
        readable, unreadable = [], []
        for each in taken:
            try:
                readable.append((each, [self._keyring.open(key) for key in each.keys]))
            except SecretUnreadable:
                unreadable.append(each)
        if unreadable:
            log.error("webhook-secret-unreadable", endpoints=len({each.endpoint_id for each in unreadable}))
            with self._db.begin() as connection:
                deliveries.put_back(connection, unreadable, for_s=UNREADABLE_AGAIN_S)
        return readable

    def _note(self, outcomes: Sequence[Outcome]) -> None:
        replies: dict[str, list[Reply]] = defaultdict(list)
        for outcome in outcomes:
            if outcome.of.event is not None:
                replies[outcome.of.endpoint_id].append(outcome.reply)
        verdicts = {name: schedule.verdict(replies[name]) for name in sorted(replies)}
        with self._db.begin() as connection:
            disabled = endpoints.judge(connection, verdicts)
            deliveries.note(connection, outcomes)
        for name, reason in disabled:
            log.warning("webhook-disabled", endpoint=name, reason=reason)
            self._observe_disabled(reason)
        for outcome in outcomes:
            self._observe(outcome)


async def post_event(
    event: Event, url: str, keys: Sequence[str], *, allowed: Collection[str], timeout_s: float
) -> Reply:
    """Send one event, signed; what hinders it is said by the reply."""
    try:
        target = address.parse(url, allowed=allowed)
        body = envelope(event)
    except AddressRefused as refused:
        return Reply(status=None, took_s=0.0, error=str(refused.data["detail"]))
    except (TypeError, ValueError, UnicodeError) as error:
        return Reply(status=None, took_s=0.0, error=f"no envelope: {error}")
    headers = {
        "content-type": "application/cloudevents+json",
        "user-agent": "uoop-webhooks",
        **signature.headers(str(event.id), int(time.time()), body, keys=keys),
    }
    return await post.post(target, body, headers, timeout_s=timeout_s)


async def _ended(under_way: "dict[asyncio.Task[Outcome], float]", *, within_s: float | None) -> list[Outcome]:
    """Those that have come to an end, in the order in which they did."""
    done, _ = await asyncio.wait(under_way, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
    ended = [(under_way.pop(task), task.result()) for task in done]
    return [outcome for _, outcome in sorted(ended, key=lambda each: each[0] + each[1].reply.took_s)]


def _may_stay(since: float, under_way: Iterable[float]) -> bool:
    """A few seconds; more while somebody is slow, so that the others need not wait until his time is over."""
    now = time.monotonic()
    slow = any(now - began > SLOW_S for began in under_way)
    return now - since < (STAYS_FOR_THE_SLOW_S if slow else STAYS_S)
