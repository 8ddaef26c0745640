"""What tenants may do with their webhooks; every method opens its own short transaction."""

import asyncio
import threading
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection
from sqlalchemy import Engine as Database

from app import database, errors
from app.outbox.model import Event, EventType
from app.webhooks import address, deliveries, endpoints, sender, signature
from app.webhooks.address import AddressRefused
from app.webhooks.keyring import Keyring
from app.webhooks.model import Changes, DeliveryPage, Replay, Replayed, Webhook
from app.webhooks.post import Reply

TEST_TIMEOUT_S = 5.0
RESOLVED_WITHIN_S = 3.0
OUTSIDE_AT_ONCE = 4  # requests that wait for somebody's name server or receiver


class WebhooksBusy(errors.Unavailable):
    """Too many receivers are being asked at this moment."""

    code = "webhooks-busy"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookWithSecret(Webhook):
    """A receiver and its new secret, which is shown this once."""

    secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """What the receiver has answered to a test event."""

    event_id: str
    taken: bool
    status: int | None
    took_ms: int
    error: str | None


class WebhookDesk:
    """
    One per process.

    :param allowed: `host:port` that may be inside
    :param ring: wakes the sender
    """

    def __init__(
        self, db: Database, keyring: Keyring, *, allowed: Collection[str], ring: Callable[[], None]
    ) -> None:
        self._db, self._keyring, self._allowed, self._ring = db, keyring, allowed, ring
        self._outside = ThreadPoolExecutor(OUTSIDE_AT_ONCE, "webhooks")
        self._places = threading.BoundedSemaphore(OUTSIDE_AT_ONCE)

    def create(
        self, tenant_id: str, *, url: str, types: Sequence[str], description: str | None
    ) -> WebhookWithSecret:
        """:raises AddressRefused, TooManyWebhooks, WebhooksBusy:"""
        self._check(url)
        secret = signature.new_secret()
        with self._db.begin() as connection:
            made = endpoints.create(
                connection,
                tenant_id,
                url=url,
                types=types,
                description=description,
                sealed=self._keyring.seal(secret),
            )
        return _with_secret(made, secret)

    def webhooks(self, tenant_id: str) -> list[Webhook]:
        """Oldest first."""
        return database.read(self._db, lambda c: endpoints.of_tenant(c, tenant_id))

    def webhook(self, tenant_id: str, webhook_id: str) -> Webhook:
        """:raises WebhookNotFound:"""
        return database.read(self._db, lambda c: endpoints.one(c, tenant_id, webhook_id))

    def change(self, tenant_id: str, webhook_id: str, changes: Changes) -> Webhook:
        """:raises WebhookNotFound, AddressRefused, WebhooksBusy:"""
        if changes.url is not None:
            self._check(changes.url)
        with self._db.begin() as connection:
            return endpoints.change(connection, tenant_id, webhook_id, changes)

    def delete(self, tenant_id: str, webhook_id: str) -> None:
        """:raises WebhookNotFound:"""
        with self._db.begin() as connection:
            endpoints.delete(connection, tenant_id, webhook_id)

    def rotate(self, tenant_id: str, webhook_id: str, *, overlap_s: float) -> WebhookWithSecret:
        """
        A new secret; the one before it signs too, for so long.

        :raises WebhookNotFound:
        """
        secret = signature.new_secret()
        with self._db.begin() as connection:
            changed = endpoints.rotate(
                connection,
                tenant_id,
                webhook_id,
                self._keyring.seal(secret),
                overlap=timedelta(seconds=overlap_s),
            )
        return _with_secret(changed, secret)

    def enable(self, tenant_id: str, webhook_id: str) -> Webhook:
        """
        What waited goes on.

        :raises WebhookNotFound:
        """
        with self._db.begin() as connection:
            enabled = endpoints.enable(connection, tenant_id, webhook_id)
        self._ring()
        return enabled

    def disable(self, tenant_id: str, webhook_id: str) -> Webhook:
        """:raises WebhookNotFound:"""
        with self._db.begin() as connection:
            return endpoints.disable(connection, tenant_id, webhook_id)

    def test(self, tenant_id: str, webhook_id: str) -> Tested:
        """
        Send an event of its own type at once, also to one that is disabled.

        :raises WebhookNotFound, WebhooksBusy, SecretUnreadable, TimeoutError:
        """
        with self._db.connect() as connection:
            found = endpoints.one(connection, tenant_id, webhook_id)
            sealed = endpoints.keys(connection, tenant_id, webhook_id)
        keys = [self._keyring.open(key) for key in sealed]
        event = Event(
            pos=0,
            id=uuid.uuid4().int >> 65,  # 63 bits: beside those of the log, which are small
            tenant_id=tenant_id,
            order_id=webhook_id,
            sequence=0,
            type=EventType.WEBHOOK_TEST,
            data={},
            at=datetime.now(UTC),
        )
        with self._place():
            reply: Reply = self._outside.submit(
                asyncio.run,
                sender.post_event(event, found.url, keys, allowed=self._allowed, timeout_s=TEST_TIMEOUT_S),
            ).result(TEST_TIMEOUT_S * 2)
        return Tested(
            event_id=str(event.id),
            taken=reply.taken,
            status=reply.status,
            took_ms=round(reply.took_s * 1000),
            error=reply.error,
        )

    def deliveries(
        self,
        tenant_id: str,
        webhook_id: str,
        *,
        failed: bool,
        order_id: str | None,
        after: int | None,
        limit: int,
    ) -> DeliveryPage:
        """:raises WebhookNotFound:"""

        def read(connection: Connection) -> DeliveryPage:
            endpoints.one(connection, tenant_id, webhook_id)
            return deliveries.log(
                connection, webhook_id, failed=failed, order_id=order_id, after=after, limit=limit
            )

        return database.read(self._db, read)

    def replay(self, tenant_id: str, webhook_id: str, wanted: Replay) -> Replayed:
        """:raises WebhookNotFound:"""
        with self._db.begin() as connection:
            endpoints.one(connection, tenant_id, webhook_id)
            again = deliveries.replay(connection, tenant_id, webhook_id, wanted)
        self._ring()
        return again

    def _check(self, url: str) -> None:
        """:raises AddressRefused: also if the name leads inside, or nowhere"""
        target = address.parse(url, allowed=self._allowed)
        with self._place():
            try:
                self._outside.submit(asyncio.run, address.resolve(target)).result(RESOLVED_WITHIN_S)
            except (OSError, TimeoutError):
                raise AddressRefused("Its host cannot be found.") from None

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise WebhooksBusy
        try:
            yield
        finally:
            self._places.release()


def _with_secret(webhook: Webhook, secret: str) -> WebhookWithSecret:
    shown = {field.name: getattr(webhook, field.name) for field in fields(webhook)}
    return WebhookWithSecret(**shown, secret=secret)
