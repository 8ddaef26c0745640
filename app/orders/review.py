"""
The second look at a document that the decoder has refused: all that is wrong with it, not only the first.

There is no second schema. The document is taken apart along the same structs, and every part of it is put to
msgspec by itself, under the same annotation that the decoder was compiled from.
"""

import json
import math
import types
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from msgspec import Struct

from app.orders import faults
from app.orders.faults import Fault

AT_MOST = 100
_DIGITS = 40  # of an integer; more are beyond every bound, and dear to read


class NotJson(ValueError):
    """The body is not one JSON document; the message says why."""


class Members(dict[str, object]):
    """A JSON object that remembers which keys it was given more than once."""

    def __init__(self, pairs: list[tuple[str, object]]) -> None:
        super().__init__(pairs)
        times = Counter(key for key, _ in pairs) if len(pairs) > len(self) else {}
        self.twice = [key for key, count in times.items() if count > 1]


def read(body: bytes) -> object:
    """
    Read a JSON document without a schema.

    :raises NotJson: when it is none, or nested beyond reason
    """
    try:
        return json.loads(
            body.decode(), object_pairs_hook=Members, parse_int=_integer, parse_constant=_no_constant
        )
    except RecursionError:
        raise NotJson("is nested too deeply") from None
    except ValueError as wrong:
        raise NotJson(str(wrong)) from None


def found(value: object, form: Any, patterns: Mapping[str, str], *, strict: bool = True) -> list[Fault]:
    """
    All faults of a document, 100 at most, in the order of its schema.

    :param patterns: what each pattern of the schema asks for, in words
    :param strict: whether a number must be a number; a query string has only text
    """
    return list(islice(_Review(patterns, strict).of(value, form, ""), AT_MOST))


class _Review:
    def __init__(self, patterns: Mapping[str, str], strict: bool) -> None:
        self._patterns, self._strict = patterns, strict

    def of(self, value: object, form: Any, at: str) -> Iterator[Fault]:
        bare, meta = _bare(form)
        options = get_args(bare) if get_origin(bare) in (Union, types.UnionType) else ()
        if types.NoneType in options:
            if value is not None:
                yield from self.of(value, next(each for each in options if each is not types.NoneType), at)
        elif isinstance(value, dict) and isinstance(bare, type) and issubclass(bare, Struct):
            yield from self._of_members(value, bare, at)
        elif isinstance(value, list) and get_origin(bare) is list:
            yield from self._of_value(
                [None] * len(value), Annotated[(list[None], *meta)] if meta else list[None], at
            )
            for index, each in enumerate(value):
                yield from self.of(each, get_args(bare)[0], f"{at}/{index}")
        else:
            yield from self._of_value(value, form, at)

    def _of_members(self, members: dict[str, object], form: type[Struct], at: str) -> Iterator[Fault]:
        for key in getattr(members, "twice", ()):
            yield _fault(f"{at}/{faults.escaped(key)}", "duplicate-key", "is given more than once")
        fields = {field.encode_name: field for field in msgspec.structs.fields(form)}
        for name, field in fields.items():
            if name in members:
                yield from self.of(members[name], field.type, f"{at}/{name}")
            elif field.required:
                yield Fault(f"{at}/{name}", "missing", f"Object missing required field `{name}`")
        yield from (_unknown(at, name) for name in members if name not in fields)

    def _of_value(self, value: object, form: Any, at: str) -> Iterator[Fault]:
        if isinstance(value, float) and not math.isfinite(value):
            yield Fault(at, "out-of-range", "is a number beyond every bound")
            return
        if isinstance(value, str) and not _is_whole(value):
            yield Fault(at, "wrong-form", "holds half a character (a lone surrogate)")
            return
        try:
            msgspec.convert(value, form, strict=self._strict)
        except msgspec.ValidationError as wrong:
            fault = faults.of_schema(wrong, self._patterns)
            yield Fault(at + fault.pointer, fault.code, fault.message)


def _bare(form: Any) -> tuple[Any, tuple[object, ...]]:
    return (form.__origin__, form.__metadata__) if get_origin(form) is Annotated else (form, ())


def _unknown(at: str, name: str) -> Fault:
    return _fault(f"{at}/{faults.escaped(name)}", "unknown-field", "Object contains an unknown field")


def _fault(pointer: str, code: str, message: str) -> Fault:
    """A pointer with the client's own words in it is kept short, and can be written."""
    return Fault(pointer[: faults.MESSAGE_LENGTH].encode(errors="replace").decode(), code, message)


def _is_whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _integer(digits: str) -> float | int:
    return int(digits) if len(digits) <= _DIGITS else math.inf


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
