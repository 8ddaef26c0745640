"""One resource of one provider: reads what is asked, applies what it was told to do wrong, answers."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from app.providers.port import Resource
from app.providers.registry import ProviderConfig
from infra.sandbox.behavior import REMEMBERED, Behavior, Control, Magic, Name
from infra.sandbox.courier import Courier
from infra.sandbox.effects import (
    BULK_TYPES,
    ITEM_TYPES,
    Asked,
    AskedInBulk,
    Effects,
    Item,
    Listing,
    Outcome,
)
from infra.sandbox.http import NoAnswer, Reply, Response

_STATUS_CODES = {"done": 200, "undone": 200, "refused": 409, "unknown": 404}
_NONSENSE = Response(200, b"<html>It works!</html>", "text/html")
_HANG = NoAnswer(hang_up=False)
_DOWN = NoAnswer(hang_up=True)
_ONLY = {Name.STALE: "do", Name.MUTE: "undo"}
_READ_ASKED = msgspec.json.Decoder(AskedInBulk)
_ENCODE = msgspec.json.Encoder().encode


class Endpoint:
    """What `PUT, DELETE, GET .../KEY`, `POST .../do, undo, find` and `GET ...?since=` do at one place."""

    def __init__(
        self,
        config: ProviderConfig,
        resource: Resource,
        effects: Effects,
        control: Control,
        magic: Magic,
        courier: Courier | None = None,
    ) -> None:
        self._courier = courier
        self._effects = effects
        self._control = control
        self._magic = magic
        self._place = f"{config.name}/{resource}"
        self._targets = frozenset({config.name, config.kind.value, resource.value, "all"})
        self._item_type = ITEM_TYPES[resource]
        self._kept: OrderedDict[str, None] = OrderedDict()
        self._read_items = msgspec.json.Decoder(BULK_TYPES[resource])

    def single(self, method: str, key: str, body: bytes) -> Reply | Awaitable[Reply]:
        """
        :raises msgspec.DecodeError: if the key or the body is not what the resource wants
        """
        call = self._next_call({"PUT": "do", "DELETE": "undo"}.get(method, "find"))
        if method == "PUT":
            item = msgspec.convert({**msgspec.json.decode(body, type=dict), "key": key}, self._item_type)
            refused = self._refused([item])
            magic = self._magic_of(item)
            if magic and magic.behavior is Name.REFUSE:
                return self._done_single(item, frozenset({key}))
            if magic and magic.behavior is Name.KEEP:
                self._keep(key)
                magic = None
            return _behave(call or magic, lambda: self._done_single(item, refused))
        asked = msgspec.convert({"key": key}, Asked)
        answer = self._undo if method == "DELETE" else self._effects.find
        return _behave(call, lambda: _single(answer([asked.key])[0]))

    def bulk(self, verb: str, body: bytes) -> Reply | Awaitable[Reply]:
        """
        :raises msgspec.DecodeError: if an item is not what the resource wants, or there are more than 1,000
        """
        call = self._next_call(verb)
        if verb == "do":
            items = self._read_items.decode(body).items
            return _behave(call, lambda: self._done_bulk(items))
        keys = [asked.key for asked in _READ_ASKED.decode(body).items]
        answer = self._undo if verb == "undo" else self._effects.find
        return _behave(call, lambda: _bulk(answer(keys)))

    def listing(self, query: dict[str, str]) -> Reply | Awaitable[Reply]:
        """
        :raises msgspec.ValidationError: if the query is not what a list wants
        """
        call = self._next_call("find")
        asked = msgspec.convert(query, Listing, strict=False)
        return _behave(call, lambda: Response(200, _ENCODE(self._effects.listing(asked))))

    def _next_call(self, verb: str) -> Behavior | None:
        call = self._control.next_call()
        return None if call and _ONLY.get(call.behavior, verb) != verb else call

    def _undo(self, keys: Sequence[str]) -> list[Outcome]:
        kept = set(keys) if self._control.keeps() else self._kept.keys() & set(keys)
        undone = {it.key: it for it in self._effects.undo([key for key in keys if key not in kept])}
        return [undone.get(key) or Outcome(key, "refused", reason="kept") for key in keys]

    def _keep(self, key: str) -> None:
        """Never take this one back."""
        self._kept[key] = None
        if len(self._kept) > REMEMBERED:
            self._kept.popitem(last=False)

    def _done_single(self, item: Item, refused: frozenset[str]) -> Response:
        before = self._effects.last_seq
        (outcome,) = self._do([item], refused)
        return _single(outcome, created=self._effects.last_seq > before)

    def _do(self, items: Sequence[Item], refused: frozenset[str] = frozenset()) -> list[Outcome]:
        outcomes = self._effects.do(items, refused)
        told = self._control.told
        if self._courier and told and told.to:
            keys = [it.key for it in outcomes if it.status == "done" and self._control.delivers_next_item()]
            if keys:
                self._courier.begin(keys, to=told.to, seconds=told.seconds)
        return outcomes

    def _done_bulk(self, items: Sequence[Item]) -> Reply | Awaitable[Reply]:
        refused = self._refused(items)
        hits = {item.key: hit for item in items if "/" in item.customer and (hit := self._magic_of(item))}
        if not hits:
            return _bulk(self._do(items, refused))
        return self._done_mixed(items, hits, refused)

    def _done_mixed(
        self, items: Sequence[Item], hits: dict[str, Behavior], refused: frozenset[str]
    ) -> Reply | Awaitable[Reply]:
        """Each item's magic acts on that item, but whatever takes time holds back the whole answer."""

        def hit_by(*names: Name) -> list[Item]:
            return [item for item in items if item.key in hits and hits[item.key].behavior in names]

        for item in hit_by(Name.KEEP):
            self._keep(item.key)
        refused |= {item.key for item in hit_by(Name.REFUSE)}
        aside = {item.key for item in hit_by(Name.FAIL, Name.DOWN, Name.HANG, Name.SLOW)}
        garbled = {item.key for item in hit_by(Name.GARBAGE)}
        outcomes = [
            Outcome(it.key, "?") if it.key in garbled else it
            for it in self._do([item for item in items if item.key not in aside], refused)
        ]
        outcomes += [Outcome(it.key, "unavailable", reason="failed") for it in hit_by(Name.FAIL)]
        slow, late, hang = hit_by(Name.SLOW), hit_by(Name.LATE), hit_by(Name.HANG)
        if not slow and not late:
            return _HANG if hang else _bulk(outcomes)

        async def finish() -> Reply:
            worked_s = max((hits[item.key].seconds for item in slow), default=0.0)
            await asyncio.sleep(worked_s)
            outcomes.extend(self._do(slow))
            await asyncio.sleep(max([0.0, *(hits[item.key].seconds - worked_s for item in late)]))
            return _HANG if hang else _bulk(outcomes)

        return finish()

    def _refused(self, items: Sequence[Item]) -> frozenset[str]:
        if not self._control.refuses():
            return frozenset()
        return frozenset(item.key for item in items if self._control.refuses_next_item())

    def _magic_of(self, item: Item) -> Behavior | None:
        return self._magic.behavior(item.customer, item.order, self._targets, self._place)


def _behave(
    behavior: Behavior | None, work: Callable[[], Reply | Awaitable[Reply]]
) -> Reply | Awaitable[Reply]:
    """Do `work` as the behavior of the whole call wants it."""
    if behavior is None:
        return work()
    match behavior.behavior:
        case Name.FAIL:
            return Response(500, b'{"reason":"failed"}')
        case Name.DOWN:
            return _DOWN
        case Name.HANG | Name.MUTE:
            return _HANG
        case Name.STALE:
            asyncio.get_running_loop().call_later(behavior.seconds, work)
            return _HANG
        case _:
            return _misbehave(behavior, work)


async def _misbehave(behavior: Behavior, work: Callable[[], Reply | Awaitable[Reply]]) -> Reply:
    if behavior.behavior is Name.SLOW:
        await asyncio.sleep(behavior.seconds)
    reply = work()
    if not isinstance(reply, Response | NoAnswer):
        reply = await reply
    if behavior.behavior is Name.LATE:
        await asyncio.sleep(behavior.seconds)
    return _NONSENSE if behavior.behavior is Name.GARBAGE else reply


def _single(outcome: Outcome, *, created: bool = False) -> Response:
    return Response(201 if created else _STATUS_CODES[outcome.status], _ENCODE(outcome))


def _bulk(outcomes: Sequence[Outcome]) -> Response:
    return Response(200, _ENCODE({"outcomes": outcomes}))
