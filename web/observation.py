"""What happens around every request: it is timed and counted, and its answer gets the security headers."""

from functools import cache
from time import perf_counter

from flask import Flask, Response, g, request
from prometheus_client import Counter, Histogram

REQUESTS = Counter("uoop_http_requests_total", "Requests answered", ["method", "route", "status"])
DURATION = Histogram(
    "uoop_http_request_duration_seconds",
    "Time from routing to the answer",
    ["method", "route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10),
)
NO_ROUTE = "none"

SECURITY_HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Cache-Control", "no-store"),
    ("Server", "uoop"),  # else the server names itself
)


def register(app: Flask) -> None:
    """Observe every request of the application."""
    app.before_request(_start)
    app.after_request(_finish)


def _start() -> None:
    g.started = perf_counter()


def _finish(answer: Response) -> Response:
    answer.headers.extend(g.get("rate_limit", ()))
    present = {name for name, _ in answer.headers}
    answer.headers.extend(header for header in SECURITY_HEADERS if header[0] not in present)
    route = request.url_rule.rule if request.url_rule else NO_ROUTE
    method = request.method if request.url_rule else NO_ROUTE
    count(method, route, answer.status_code, perf_counter() - g.started)
    return answer


def count(method: str, route: str, status: int, took_s: float) -> None:
    """Count one answered request."""
    _requests(method, route, status // 100).inc()
    _duration(method, route).observe(took_s)


@cache
def _requests(method: str, route: str, status_class: int) -> Counter:
    return REQUESTS.labels(method, route, f"{status_class}xx")


@cache
def _duration(method: str, route: str) -> Histogram:
    return DURATION.labels(method, route)
