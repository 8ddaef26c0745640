"""Following one order: how it is told under its validator, and when a client would rather wait."""

from werkzeug.http import parse_etags

from app.orders.model import FINAL, Status
from web import pacing
from web.services import Tracked

Told = tuple[int, list[tuple[str, str]], bytes]

_JSON = ("Content-Type", "application/json")
_PRIVATE = ("Cache-Control", "private, no-cache")


def told(found: Tracked, if_none_match: str | None) -> Told:
    """Status, header fields and body: 304 when the client has it already; Retry-After while it is under way."""
    fields = [("ETag", _validator(found)), _PRIVATE]
    if found.status is Status.PENDING:
        fields.append(pacing.retry_after(found.accepted_at))
    if is_known(found, if_none_match):
        return 304, fields, b""
    return 200, [_JSON, *fields], found.body


def is_known(found: Tracked, if_none_match: str | None) -> bool:
    """Whether the client has it already (RFC 9110, section 13.1.2)."""
    if if_none_match is None:
        return False
    return if_none_match == _validator(found) or parse_etags(if_none_match).contains_weak(found.etag)


def _validator(found: Tracked) -> str:
    return f'"{found.etag}"'


def is_worth_waiting(found: Tracked, if_none_match: str | None) -> bool:
    """
    Whether a client that would wait knows already what could be told now, and more is to come.

    Without a validator it is taken to know what a 202 told it: that the order is pending.
    """
    if found.status in FINAL:
        return False
    return found.status is Status.PENDING if if_none_match is None else is_known(found, if_none_match)
