"""Who may ask for what: providers by their declared path and token, the administration by its own token."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

import msgspec

from app.callbacks import callers
from app.deliveries.model import Reporter
from app.providers.port import Resource
from app.providers.registry import ProviderConfig
from infra.sandbox import courier
from infra.sandbox.behavior import Behavior, Control, Magic, Name
from infra.sandbox.courier import Courier
from infra.sandbox.effects import RESOURCES, Effects
from infra.sandbox.endpoint import Endpoint
from infra.sandbox.http import Reply, Request, Response
from infra.sandbox.ledger import Ledger, Total

_EVERYTHING = 2**62
_BULK_VERBS = ("do", "undo", "find")
_ENCODE = msgspec.json.Encoder().encode
_READ_BEHAVIOR = msgspec.json.Decoder(Behavior)


class Service:
    """
    Every declared provider, played.

    `handle` answers at once, or gives something to await when it has to take its time.
    """

    def __init__(
        self,
        ledger: Ledger,
        configs: Sequence[ProviderConfig],
        admin_token: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._ledger = ledger
        self._admin = f"Bearer {admin_token}".encode()
        self._controls = {config.name: Control() for config in configs}
        self._providers = {_path(config): config for config in configs}
        self._tokens = {_path(config): f"Bearer {config.token}".encode() for config in configs}
        magic = Magic()
        self._couriers = {
            name: Courier(name, caller.keys[0])
            for name, caller in callers.callers(configs).items()
            if caller.reporter is Reporter.PARTNER and caller.format.name == courier.FORMAT
        }
        self._endpoints = {
            (_path(config), resource.value): Endpoint(
                config,
                resource,
                Effects(ledger, config.name, resource, clock, tombstones=config.tombstones),
                self._controls[config.name],
                magic,
                self._couriers.get(config.name) if resource is Resource.DISPATCHES else None,
            )
            for config in configs
            for resource in RESOURCES[config.kind]
        }

    def handle(self, request: Request) -> Reply | Awaitable[Reply]:
        path, _, query = request.target.partition("?")
        try:
            if path.startswith("/_"):
                return self._administrate(request, path, query)
            prefix, _, resource = path.rpartition("/")
            if (prefix, resource) in self._endpoints:
                return self._list(request, prefix, resource, query)
            return self._provide(request, path)
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
            return _reason(400, str(error))

    def _provide(self, request: Request, path: str) -> Reply | Awaitable[Reply]:
        place, _, last = path.rpartition("/")
        if last == "_health" and place in self._providers:
            return self._health_of(place)
        prefix, _, resource = place.rpartition("/")
        endpoint = self._endpoints.get((prefix, resource))
        if endpoint is None:
            return _reason(404, "no such resource")
        if not _is_authorized(request, self._tokens[prefix]):
            return _reason(401, "wrong token")
        if request.method in ("PUT", "DELETE", "GET"):
            return endpoint.single(request.method, unquote(last), request.body)
        if request.method != "POST" or last not in _BULK_VERBS or not self._providers[prefix].bulk:
            return _reason(405, "not offered")
        return endpoint.bulk(last, request.body)

    def _list(self, request: Request, prefix: str, resource: str, query: str) -> Reply | Awaitable[Reply]:
        if not _is_authorized(request, self._tokens[prefix]):
            return _reason(401, "wrong token")
        if request.method != "GET":
            return _reason(405, "not offered")
        return self._endpoints[prefix, resource].listing(dict(parse_qsl(query)))

    def _health_of(self, prefix: str) -> Response:
        if self._controls[self._providers[prefix].name].is_down():
            return _reason(503, "down")
        return Response(200, b'{"status":"up"}')

    def _administrate(self, request: Request, path: str, query: str) -> Reply | Awaitable[Reply]:
        if path == "/_health":
            return Response(200, _ENCODE({"status": "up", "last_seq": self._ledger.last_seq}))
        if not _is_authorized(request, self._admin):
            return _reason(401, "wrong token")
        if path == "/_ledger":
            return self._lines(request, query)
        if path == "/_ledger/summary":
            return self._summary()
        if path == "/_control":
            return Response(200, _ENCODE({name: control.told for name, control in self._controls.items()}))
        return self._control(request, path.removeprefix("/_control/"))

    def _control(self, request: Request, provider: str) -> Response:
        control = self._controls.get(provider)
        if control is None:
            return _reason(404, "no such provider")
        if request.method == "PUT":
            wanted = _READ_BEHAVIOR.decode(request.body)
            if wanted.behavior is Name.DELIVER and not (wanted.to and provider in self._couriers):
                return _reason(400, "deliver needs `to`, and a partner with callbacks in the format uoop")
            control.tell(wanted)
        elif request.method == "DELETE":
            control.tell(None)
        return Response(200, _ENCODE(control.told))

    def _lines(self, request: Request, query: str) -> Response:
        asked = parse_qs(query)
        numbers = [asked.get("since", ["0"])[0], asked.get("limit", [str(_EVERYTHING)])[0]]
        if not all(number.isdecimal() and len(number) <= 19 for number in numbers):
            return _reason(400, "since and limit are whole numbers")
        since, limit = map(int, numbers)
        if request.headers.get("accept") == "text/tab-separated-values":
            return Response(
                200, content_type="text/tab-separated-values", chunks=self._ledger.as_tsv(since, limit)
            )
        return Response(200, content_type="application/x-ndjson", chunks=self._ledger.as_ndjson(since, limit))

    async def _summary(self) -> Response:
        last_seq = self._ledger.last_seq
        totals: list[Total] = []
        for totals in self._ledger.totals():  # noqa: B007 the last one has them all
            await asyncio.sleep(0)  # others are served between two parts
        return Response(200, _ENCODE({"last_seq": last_seq, "totals": totals}))


def _path(config: ProviderConfig) -> str:
    return urlsplit(config.url).path.rstrip("/")


def _is_authorized(request: Request, expected: bytes) -> bool:
    return hmac.compare_digest(request.headers.get("authorization", "").encode("latin-1"), expected)


def _reason(status: int, reason: str) -> Response:
    return Response(status, _ENCODE({"status": "refused", "reason": reason}))
