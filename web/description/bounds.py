"""
Every schema of the description has bounds, also where the code needs none of its own.

Nothing that is sent or told is larger than the largest body that is taken, so neither is a text or a list in it;
no number is larger than what every JSON reader keeps exactly.
"""

from typing import Any

from web.batches import BODY_LIMIT_BYTES

EXACT = 2**53 - 1  # RFC 8259, section 6

_EXAMPLES = frozenset({"example", "examples", "default", "enum"})


def bounded(described: Any) -> Any:
    """The same description, or a part of it, in which every text, list and whole number has its bounds."""
    if isinstance(described, list):
        return [bounded(each) for each in described]
    if not isinstance(described, dict):
        return described
    told = {name: each if name in _EXAMPLES else bounded(each) for name, each in described.items()}
    return {**told, **_bounds(told)}


def _bounds(schema: dict[str, Any]) -> dict[str, Any]:
    """What the schema lacks."""
    match schema.get("type"):
        case "string" if not schema.keys() & {"maxLength", "enum", "const"}:
            return {"maxLength": BODY_LIMIT_BYTES}
        case "array":
            return {"items": schema.get("items", {}), "maxItems": schema.get("maxItems", BODY_LIMIT_BYTES)}
        case "integer":
            least = {} if "exclusiveMinimum" in schema else {"minimum": schema.get("minimum", -EXACT)}
            most = {} if "exclusiveMaximum" in schema else {"maximum": schema.get("maximum", EXACT)}
            return {"format": "int64", **least, **most}
    return {}
