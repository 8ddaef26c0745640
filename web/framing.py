"""Requests of which two servers in a row could think differently are refused, whatever they ask for."""

from flask import Flask, request

from app import errors


class Ambiguous(errors.Rejected):
    """Where the request ends, or whom it is for, can be read in two ways."""

    code = "bad-request"


def register(app: Flask) -> None:
    """Look at every request before it is answered."""
    app.before_request(_look)


def _look() -> None:
    """
    What the server lets through (RFC 9112, sections 3.2, 6.1 and 7).

    :raises Ambiguous: when the body is encoded in another way than in chunks, or not one host is named
    """
    if request.environ.get("HTTP_TRANSFER_ENCODING", "chunked").lower() != "chunked":
        raise Ambiguous(detail="Transfer-Encoding may be chunked, once, and nothing else.")
    host = request.environ.get("HTTP_HOST", "")
    if "," in host or (not host and request.environ.get("SERVER_PROTOCOL") == "HTTP/1.1"):
        raise Ambiguous(detail="Name one Host.")
