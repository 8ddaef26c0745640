"""What is wrong with a document, said so that a program and a person can act on it."""

import re
from collections.abc import Mapping

import msgspec

MESSAGE_LENGTH = 200


class Fault(msgspec.Struct, frozen=True):
    """One fault of a document."""

    pointer: str
    """RFC 6901 JSON Pointer to the value, empty for the whole document."""
    code: str
    message: str


_CODES = (
    (re.compile(r"missing required field `([^`]*)`"), "missing"),
    (re.compile(r"contains unknown field `([\s\S]*)`"), "unknown-field"),
    (re.compile(r"matching regex"), "wrong-form"),
    (re.compile(r"of length"), "wrong-length"),
    (re.compile(r"[<>]= ?-?\d|out of range"), "out-of-range"),
    (re.compile(r"Invalid enum value"), "unknown-value"),
    (re.compile(r"RFC3339|timezone"), "wrong-form"),
)
_PATH = re.compile(r"^(?P<message>[\s\S]*) - at `\$(?P<path>[^`]*)`$")


def of_schema(wrong: msgspec.ValidationError, patterns: Mapping[str, str]) -> Fault:
    """
    Translate the decoder's refusal.

    :param patterns: what each pattern of the schema asks for, in words
    """
    text = str(wrong)
    placed = _PATH.match(text)
    message, path = (placed["message"], placed["path"]) if placed else (text, "")
    code, named = _code(message)
    pointer = _pointer(path) + (f"/{escaped(named)}" if named is not None else "")
    for pattern, meaning in patterns.items():
        if code == "wrong-form" and repr(pattern) in message:
            message = meaning
    return Fault(pointer[:MESSAGE_LENGTH], code, message[:MESSAGE_LENGTH])


def _code(message: str) -> tuple[str, str | None]:
    for pattern, code in _CODES:
        if found := pattern.search(message):
            return code, found[1] if found.groups() else None
    return "wrong-type", None


def _pointer(path: str) -> str:
    """Turn the decoder's `.items[0].sku` into `/items/0/sku`."""
    return re.sub(r"[.\[]", "/", path.replace("]", ""))


def escaped(name: str) -> str:
    """A key as it stands in a JSON Pointer."""
    return name.replace("~", "~0").replace("/", "~1")
