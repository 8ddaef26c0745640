"""Messages of partners: checked from memory, translated, and stored as reports; a task applies them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog
from sqlalchemy import Engine as Database
from sqlalchemy.exc import InterfaceError, OperationalError

from app import errors
from app.callbacks import signature
from app.callbacks.callers import Caller
from app.callbacks.model import Message
from app.callbacks.signature import SignatureRefused, Signed
from app.database import DatabaseAway
from app.deliveries import service
from app.deliveries.model import Report
from app.doorbell import Bell, Doorbell
from app.limits.service import Limit, Limiter, RateLimited
from app.orders import faults
from app.orders.document import PATTERN_MEANINGS, MalformedJson
from app.orders.faults import Fault

log = structlog.get_logger()


class PartnerNotFound(errors.NotFound):
    """Nobody of that name sends callbacks."""

    code = "partner-not-found"


class InvalidCallback(errors.Rejected):
    """The message is not in the partner's format."""

    code = "invalid-callback"

    def __init__(self, found: list[Fault]) -> None:
        super().__init__(faults=found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """
    What a message brought.

    :param reports: that it made, without those of no matter here
    :param new: of these, what had not been told before
    """

    reports: int
    new: int


class Callbacks:
    """Where the messages of one process come in."""

    def __init__(
        self,
        db: Database,
        doorbell: Doorbell,
        callers: Callable[[], Mapping[str, Caller]],
        limiter: Limiter,
    ) -> None:
        self._db, self._doorbell, self._callers, self._limiter = db, doorbell, callers, limiter

    def take(self, partner: str, message: Signed) -> Received:
        """
        Keep what a partner says; the same event again changes nothing. Only a signed message reaches the database.

        :raises PartnerNotFound, SignatureRefused, RateLimited, MalformedJson, InvalidCallback, DatabaseAway,
            CallbacksClosed:
        """
        caller = self._callers().get(partner)
        if caller is None:
            raise PartnerNotFound()
        try:
            message_id = signature.verify(message, caller.keys, now=datetime.now(UTC))
        except SignatureRefused as refused:
            log.warning("callback-refused", partner=partner, reason=refused.data["detail"])
            raise
        limit = Limit("partner", f"partner:{partner}", caller.rate_per_s)
        # who signs as somebody else cannot use up what is his: signatures are checked before
        _admit(self._limiter.take([limit]).retry_after_s)
        reports = _translated(
            caller, Message(partner=partner, reporter=caller.reporter, id=message_id), message.body
        )
        _admit(self._limiter.charge([limit], len(reports) - 1))
        new = self._store(reports) if reports else 0
        if new:
            self._doorbell.ring(Bell.REPORTS)
        return Received(reports=len(reports), new=new)

    def _store(self, reports: Sequence[Report]) -> int:
        try:
            with self._db.begin() as connection:
                return service.store(connection, reports)
        except (OperationalError, InterfaceError) as error:
            raise DatabaseAway from error


def _admit(wait_s: float | None) -> None:
    if wait_s is not None:
        raise RateLimited(retry_after_s=wait_s)


def _translated(caller: Caller, message: Message, body: bytes) -> Sequence[Report]:
    try:
        return caller.format.reports(_read(body, caller.format.body), message)
    except OverflowError:
        raise InvalidCallback([Fault("", "out-of-range", "a time lies outside of any calendar")]) from None


def _read(body: bytes, form: type[msgspec.Struct]) -> Any:
    try:
        return msgspec.json.decode(body, type=form)
    except msgspec.ValidationError as wrong:
        raise InvalidCallback([faults.of_schema(wrong, PATTERN_MEANINGS)]) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise MalformedJson([Fault("", "malformed", str(wrong))]) from None
    except RecursionError:  # in a member that is passed over
        raise MalformedJson([Fault("", "malformed", "is nested too deeply")]) from None
