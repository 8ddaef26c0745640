"""What comes before a body: bounded, and refused where two servers in a row could think differently of it."""

from flask import Flask, request

from app import errors
from web import paths

FIELDS = 64
FIELDS_BYTES = 32 * 1024


class Ambiguous(errors.Rejected):
    """Where the request ends, or whom it is for, can be read in two ways."""

    code = "bad-request"


class AddressTooLong(errors.Rejected):
    """Path and query are longer than any that we have given."""

    code = "address-too-long"


class FieldsTooLarge(errors.Rejected):
    """The header has too many fields, or too much in them."""

    code = "fields-too-large"


def register(app: Flask) -> None:
    """Look at every request before it is answered."""
    app.before_request(_look)


def _look() -> None:
    """
    What the server lets through (RFC 9112, sections 3.2, 6.1 and 7). Its own bounds are wider, and it says no word.

    :raises AddressTooLong: over 8 kB
    :raises FieldsTooLarge: over 64 of them, or 32 kB
    :raises Ambiguous: when the body is encoded in another way than in chunks, or not one host is named
    """
    if len(request.environ["PATH_INFO"]) + len(request.environ["QUERY_STRING"]) > paths.LONGEST:
        raise AddressTooLong()
    sizes = [len(value) for _, value in request.headers]
    if len(sizes) > FIELDS or sum(sizes) > FIELDS_BYTES:
        raise FieldsTooLarge()
    if request.environ.get("HTTP_TRANSFER_ENCODING", "chunked").lower() != "chunked":
        raise Ambiguous(detail="Transfer-Encoding may be chunked, once, and nothing else.")
    host = request.environ.get("HTTP_HOST", "")
    if "," in host or (not host and request.environ.get("SERVER_PROTOCOL") == "HTTP/1.1"):
        raise Ambiguous(detail="Name one Host.")
