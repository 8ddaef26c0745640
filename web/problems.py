"""The one place where errors become statuses: every error answer is a problem document (RFC 9457)."""

import math
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec
import structlog
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from app import errors
from app.orders.faults import Fault
from web import paths, trace_context
from web.problem_kinds import KINDS, Kind, kind_of

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 1
SIGNED = 'StandardWebhooks realm="uoop"'

_log = structlog.get_logger(__name__)


class Problem(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What went wrong, after RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    instance: str
    trace_id: str
    errors: list[Fault] = []
    links: dict[str, str] = {}
    dependencies: dict[str, bool | str] = {}


_BY_STATUS = {
    404: "no-such-path",
    405: "method-not-allowed",
    413: "body-too-large",
    415: "unsupported-media-type",
}
_encode = msgspec.json.Encoder().encode


def register(app: Flask) -> None:
    """Answer every error of the application with a problem."""
    app.register_error_handler(errors.UoopError, of_platform)
    app.register_error_handler(TimeoutError, of_timeout)
    app.register_error_handler(HTTPException, of_http)
    app.register_error_handler(Exception, of_bug)


def of_platform(error: errors.UoopError) -> Response:
    """Answer an error that the platform foresaw."""
    status, headers, body = told(error, request.path, request.headers.get("Traceparent", ""))
    return Response(body, status, headers)


def told(error: errors.UoopError, path: str, traceparent: str) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, header fields and body by which an error that the platform foresaw is told."""
    kind = kind_of(error)
    headers: list[tuple[str, str]] = [("Content-Type", MEDIA_TYPE), *_fields(error)]
    wait_s = error.data.get("retry_after_s")
    if kind.status in {429, 503} or wait_s is not None:
        seconds = max(1, math.ceil(wait_s)) if isinstance(wait_s, int | float) else RETRY_AFTER_S
        headers.append(("Retry-After", str(seconds)))
    if kind.status in {401, 403}:
        headers.append(("WWW-Authenticate", str(error.data.get("challenge", SIGNED))))
    return kind.status, headers, _document(kind, error.data, path, _trace_id(traceparent))


def of_timeout(_: TimeoutError) -> Response:
    """Answer for somebody who did not answer in time; the client may ask again with the same key."""
    return of_platform(errors.Unavailable())


def of_http(error: HTTPException) -> Response:
    """Answer an error that was met below the views: routing, reading the request."""
    status = error.code or 500
    kind = KINDS[_BY_STATUS.get(status, "bad-request" if status < 500 else "internal-error")]
    answer = Response(_document(kind, {}, request.path, trace_id()), kind.status, mimetype=MEDIA_TYPE)
    for name, value in error.get_headers():
        if name.lower() not in {"content-type", "content-length"}:
            answer.headers[name] = value
    return answer


def of_bug(error: Exception) -> Response:
    """Answer what nobody foresaw."""
    status, headers, body = bug_told(
        error, request.method, request.path, request.headers.get("Traceparent", "")
    )
    return Response(body, status, headers)


def bug_told(
    error: Exception, method: str, path: str, traceparent: str
) -> tuple[int, list[tuple[str, str]], bytes]:
    """As `told`, of what nobody foresaw: all of it to the log, nothing of it to the client."""
    trace, kind = _trace_id(traceparent), KINDS["internal-error"]
    _log.error("request-failed", trace_id=trace, method=method, path=path, exc_info=error)
    return kind.status, [("Content-Type", MEDIA_TYPE)], _document(kind, {}, path, trace)


def trace_id() -> str:
    """Give the caller's trace id (W3C Trace Context), else a new one: 32 hex digits."""
    return _trace_id(request.headers.get("Traceparent", ""))


def _trace_id(traceparent: str) -> str:
    found = trace_context.read(traceparent)
    return found.partition("-")[0] if found else secrets.token_hex(16)


def _document(kind: Kind, data: Mapping[str, object], path: str, trace: str) -> bytes:
    return _encode(_problem(kind, data, quote(path[: paths.LONGEST]), trace))


def of_part(error: errors.UoopError, pointer: str) -> Problem:
    """Tell an error that concerns a part of the current request's body alone."""
    return _problem(kind_of(error), error.data, f"{quote(request.path)}#{pointer}", trace_id())


def _problem(kind: Kind, data: Mapping[str, object], instance: str, trace: str) -> Problem:
    return Problem(
        type=kind.type,
        title=kind.title,
        status=kind.status,
        detail=str(data.get("detail", kind.advice)),
        code=kind.code,
        instance=instance,
        trace_id=trace,
        **_extensions(data),
    )


def _fields(error: errors.UoopError) -> list[tuple[str, str]]:
    """Header fields that come with the error itself."""
    fields = error.data.get("fields")
    return fields if isinstance(fields, list) else []


def _extensions(data: Mapping[str, object]) -> dict[str, Any]:
    """Choose what of an error's data the client may see."""
    told = {name: data[key] for name, key in (("errors", "faults"), ("dependencies",) * 2) if key in data}
    if "order_id" in data:
        told["links"] = {"order": paths.ORDER.format(order_id=data["order_id"])}
    return told
