"""Requests drawn from the API's description: good ones, and good ones with something odd about them."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import quote

from described import Operation
from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]
Json = Any

_WEIRD_TEXT = st.one_of(
    st.sampled_from(
        ["", " ", "\0", "a\n", "null", "\ud800", "é", "٣", "-1", "1e400", "9" * 5000, "'; --", "%00"]
    ),
    st.text(max_size=20),
)
_WEIRD = st.one_of(
    st.sampled_from(
        [
            None,
            True,
            0,
            -1,
            2**31,
            2**53 + 1,
            2**64,
            -(2**64),
            10**400,
            0.5,
            1e308,
            float("nan"),
            float("inf"),
        ]
    ),
    _WEIRD_TEXT,
    st.sampled_from([[], {}, [[]], {"": {}}, [None], {"a": "\0"}, ["x"] * 1001]),
)
_HEADER_TEXT = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=40
)
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"]
_MEDIA_TYPES = [
    "application/json; charset=utf-8",
    "text/plain",
    "application/xml",
    "",
    "a",
    "multipart/form-data",
]


@dataclass(frozen=True)
class Drawn:
    """
    One request, as it goes over the wire.

    :param target: the path, escaped
    :param query: the query string, escaped
    """

    method: str
    target: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Drawer:
    """
    Draws requests.

    :param tokens: that may stand in Authorization
    :param ids: values of path parameters that lead somewhere
    """

    def __init__(self, described: Mapping[str, Any], tokens: list[str], ids: dict[str, list[str]]) -> None:
        self._schemas, self._tokens, self.ids = described["components"]["schemas"], tokens, ids

    def request(self, draw: Draw, operation: Operation) -> Drawn:
        """One of this operation."""
        method, path, told = operation
        values = {
            each["name"]: self._place(draw, each) for each in told["parameters"] if each["in"] == "path"
        }
        escaped = {name: quote(value, safe="", errors="surrogatepass") for name, value in values.items()}
        body, media_type = self._body(draw, told)
        headers = [
            (each["name"], draw(self._parameter(each)))
            for each in told["parameters"]
            if each["in"] == "header" and draw(_mostly if each.get("required") else _seldom)
        ]
        headers += [("Content-Type", media_type)] * (media_type is not None) + self._authorization(draw)
        if draw(_seldom):
            headers.append(draw(_odd_header))
        return Drawn(method, path.format_map(escaped), self._query(draw, told), tuple(headers), body)

    def anything(self, draw: Draw) -> Drawn:
        """Any method at any path."""
        target = "/" + quote(draw(st.one_of(_WEIRD_TEXT, st.sampled_from(_PATHS))), errors="surrogatepass")
        headers = self._authorization(draw) + [draw(_odd_header)] * draw(st.integers(0, 1))
        return Drawn(draw(st.sampled_from(_METHODS)), target, draw(_query_text), tuple(headers), b"")

    def _authorization(self, draw: Draw) -> list[tuple[str, str]]:
        if draw(_mostly):
            return [("Authorization", f"Bearer {self._tokens[0]}")]
        if draw(_seldom):
            return []
        others = st.sampled_from([f"bearer {each}" for each in self._tokens])
        return [("Authorization", draw(others | _HEADER_TEXT.map(_as_header)))]

    def _query(self, draw: Draw, told: Mapping[str, Any]) -> str:
        given = []
        for each in told["parameters"]:
            if each["in"] == "query" and draw(_seldom):
                times = 2 if draw(_rarely) else 1
                given += [(each["name"], draw(self._parameter(each))) for _ in range(times)]
        if draw(_rarely):
            return str(draw(_query_text))
        return "&".join(f"{name}={quote(value, errors='surrogatepass')}" for name, value in given)

    def _place(self, draw: Draw, parameter: Mapping[str, Any]) -> str:
        """The value of a parameter in the path: most lead somewhere."""
        known = self.ids.get(parameter["name"])
        if draw(_mostly):
            return known[-draw(_latest) % len(known)] if known else str(draw(self.value(parameter["schema"])))
        odd = _WEIRD_TEXT.filter(lambda text: "/" not in text and text not in ("", ".", ".."))
        return str(draw(self.value(parameter["schema"]) | odd))

    def _parameter(self, parameter: Mapping[str, Any]) -> "st.SearchStrategy[str]":
        """Its value as text."""
        good = self.value(parameter["schema"]).map(_as_text)
        if "example" in parameter:
            good = st.just(parameter["example"]) | good
        if parameter["in"] == "header":
            return (good | good | _HEADER_TEXT).map(_as_header)
        return good | good | _WEIRD_TEXT

    def _body(self, draw: Draw, told: Mapping[str, Any]) -> tuple[bytes, str | None]:
        if "requestBody" not in told:
            return (b"{}", "application/json") if draw(_rarely) else (b"", None)
        media = told["requestBody"]["content"]["application/json"]
        examples = [each["value"] for each in media.get("examples", {}).values()] or [media["example"]]
        document = draw(st.sampled_from(examples) if draw(_mostly) else self.value(media["schema"]))
        for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2]))):
            document = draw(_changed(document))
        written = json.dumps(document).encode()
        if draw(_rarely):
            written = draw(_spoilt(written))
        return written, "application/json" if draw(_mostly) else draw(st.sampled_from(_MEDIA_TYPES))

    def value(self, schema: Mapping[str, Any]) -> "st.SearchStrategy[Json]":
        """Values that keep the schema."""
        match schema:
            case {"$ref": reference}:
                return st.deferred(lambda: self.value(self._schemas[reference.rpartition("/")[2]]))
            case {"anyOf": choices}:
                return st.one_of(*map(self.value, choices))
            case {"enum": choices}:
                return st.sampled_from(choices)
        return self._KINDS[schema["type"]](self, schema)

    def _array(self, schema: Mapping[str, Any]) -> "st.SearchStrategy[Json]":
        least, most = schema.get("minItems", 0), min(schema["maxItems"], 3)
        return st.lists(self.value(schema["items"]), min_size=least, max_size=max(least, most))

    def _integer(self, schema: Mapping[str, Any]) -> "st.SearchStrategy[Json]":
        least, most = schema["minimum"], schema["maximum"]
        return st.integers(least, most) | st.sampled_from([least, most])

    def _number(self, schema: Mapping[str, Any]) -> "st.SearchStrategy[Json]":
        is_open = "exclusiveMinimum" in schema
        least = schema["exclusiveMinimum"] if is_open else schema["minimum"]
        return st.floats(least, schema["maximum"], exclude_min=is_open)

    def _string(self, schema: Mapping[str, Any]) -> "st.SearchStrategy[Json]":
        if schema.get("format") == "date-time":
            return st.sampled_from(_MOMENTS)
        least, most = schema.get("minLength", 0), schema["maxLength"]
        if "pattern" not in schema:
            return st.text(min_size=least, max_size=max(least, min(most, 30)))
        pattern = schema["pattern"].replace("(?![\\s\\S])", "").strip("^$")
        fitting = st.from_regex(pattern, fullmatch=True)
        return fitting.map(lambda text: text[:most]).filter(lambda text: len(text) >= least)

    def _boolean(self, _: Mapping[str, Any]) -> "st.SearchStrategy[Json]":
        return st.booleans()

    def _null(self, _: Mapping[str, Any]) -> "st.SearchStrategy[Json]":
        return st.none()

    def _object(self, schema: Mapping[str, Any]) -> "st.SearchStrategy[Json]":
        properties = {name: self.value(each) for name, each in schema.get("properties", {}).items()}
        required = {name: properties[name] for name in schema.get("required", ())}
        others = {name: each for name, each in properties.items() if name not in required}
        return st.fixed_dictionaries(required, optional=others)

    _KINDS: ClassVar[dict[str, Callable[..., "st.SearchStrategy[Json]"]]] = {
        "object": _object,
        "array": _array,
        "integer": _integer,
        "number": _number,
        "string": _string,
        "boolean": _boolean,
        "null": _null,
    }


def _as_text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _as_header(text: str) -> str:
    """What a header can carry: Latin-1 without control characters, and no space at its ends."""
    told = "".join(each for each in text if each.isprintable() or each == " ")
    return told.encode("latin-1", "ignore").decode("latin-1").strip()


_mostly = st.sampled_from([True] * 9 + [False])
_seldom = st.sampled_from([True, False, False])
_rarely = st.sampled_from([True] + [False] * 7)
_latest = st.integers(1, 3)  # more may come while requests are drawn
_query_text = st.one_of(
    st.sampled_from(
        ["", "a", "=", "&&", "limit=1;limit=2", "%zz=%00", "limit=%D9%A3", "cursor=%ff", "a=1" * 500]
    ),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="#"), max_size=30),
)
_odd_header = st.tuples(
    st.sampled_from(
        [
            "Traceparent",
            "Content-Encoding",
            "If-Match",
            "If-None-Match",
            "Range",
            "Expect",
            "Accept",
            "Prefer",
            "Host",
            "X-HTTP-Method-Override",
            "Forwarded",
            "Cookie",
            "Last-Event-ID",
            "webhook-signature",
            "Idempotency-Key",
        ]
    ),
    st.one_of(
        _HEADER_TEXT,
        st.sampled_from(["*", "gzip", '"a", W/"b"', "wait=1", "wait=99999999999", ";;;", "identity"]),
    ).map(_as_header),
)
_PATHS = [
    "",
    "v1",
    "v1/",
    "v1//orders",
    "v1/orders/",
    "v1/orders/batch",
    "v1/ops",
    "docs",
    "docs/",
    "problems",
    "problems/x",
]
_PATHS += [
    "openapi.json",
    "metrics",
    "healthz",
    "readyz",
    "v1/orders/../../etc/passwd",
    ".",
    "..",
    "v1/webhooks/x/y",
]
_MOMENTS = [
    "2026-11-23T12:30:00Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "2026-11-23T12:30:00+15:59",
]


@st.composite
def _changed(draw: Draw, document: Json) -> Json:
    """The document with something weird at one place, or something left out there."""
    if not isinstance(document, dict | list) or not document or draw(_rarely):
        return draw(_WEIRD)
    place = draw(st.sampled_from(sorted(document) if isinstance(document, dict) else range(len(document))))
    if draw(_rarely):
        kept = dict(document) if isinstance(document, dict) else dict(enumerate(document))
        kept.pop(place)
        return kept if isinstance(document, dict) else list(kept.values())
    if isinstance(document, dict):
        added = draw(_rarely)
        name = str(draw(_WEIRD_TEXT)) if added else place
        return {**document, name: draw(_WEIRD) if added else draw(_changed(document[place]))}
    return [*document[:place], draw(_changed(document[place])), *document[place + 1 :]]


@st.composite
def _spoilt(draw: Draw, written: bytes) -> bytes:
    """What is no good JSON any more, or only just."""
    at = draw(st.integers(0, len(written)))
    noise = draw(
        st.one_of(
            st.binary(max_size=5), st.sampled_from([b"[" * 20_000, b"\xff", b'"a":1,', b"NaN", b"\\ud800"])
        )
    )
    return bytes(
        draw(
            st.sampled_from(
                [
                    written[:at],
                    written[:at] + noise + written[at:],
                    written * 2,
                    b"",
                    b" " * 300_000,
                    written.decode().encode("utf-16"),
                ]
            )
        )
    )
