"""A submission as it comes over the wire: overload, idempotency key, media type and size, each before the next."""

import re

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from app import errors
from web.services import Services

BODY_LIMIT_BYTES = 256 * 1024

_PLAIN = re.compile(r"[\x21\x23-\x7e][\x21-\x7e]{0,254}")
# A string of RFC 9651, section 3.3.3, without spaces
_QUOTED = re.compile(r'"((?:[\x21\x23-\x5b\x5d-\x7e]|\\["\\]){1,510})"')


class Overloaded(errors.Unavailable):
    """More orders are waiting than can be served in time."""

    code = "overloaded"


class KeyMissing(errors.Rejected):
    """The Idempotency-Key header is missing."""

    code = "idempotency-key-missing"


class KeyMalformed(errors.Rejected):
    """The Idempotency-Key header is malformed."""

    code = "idempotency-key-malformed"


def admit(services: Services, tenant_id: str) -> None:
    """
    Turn a submission away while too much of its tenant's waits behind the door.

    :raises Overloaded: with the time to stay away
    """
    wait_s = services.shedding(tenant_id)
    if wait_s is not None:
        raise Overloaded(retry_after_s=wait_s)


def idempotency_key(header: str | None) -> str:
    """
    Read an Idempotency-Key header: 1 to 255 visible ASCII characters, plain or quoted.

    :raises KeyMissing: without the header
    :raises KeyMalformed: when it is anything else
    """
    if header is None:
        raise KeyMissing()
    key = header.strip(" \t")
    if _PLAIN.fullmatch(key):
        return str(key)
    quoted = _QUOTED.fullmatch(key)
    if quoted is None:
        raise KeyMalformed()
    plain = re.sub(r"\\(.)", r"\1", quoted[1])
    if len(plain) > 255:
        raise KeyMalformed()
    return plain


def body(limit_bytes: int = BODY_LIMIT_BYTES) -> bytes:
    """
    Read the body of the current request, chunked or not.

    :raises UnsupportedMediaType: unless it is plain JSON
    :raises RequestEntityTooLarge: over the limit, before reading on
    """
    media_type = request.environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnsupportedMediaType()
    if request.environ.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise UnsupportedMediaType()
    request.max_content_length = limit_bytes + 1
    read = request.get_data(cache=False)
    if len(read) > limit_bytes:  # of a chunked body Werkzeug silently cuts off what is over its limit
        raise RequestEntityTooLarge()
    return read
