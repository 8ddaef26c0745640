"""The trace that a request belongs to. Source: W3C Trace Context, level 1, section 3.2."""

import re

# The first version ends after the flags; of a later one what it has in common with the first is read.
_TRACEPARENT = re.compile(
    r"(?!ff|00.{54})[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(?:-.*)?"
)
_SAMPLED = 0x01  # the one flag that has a meaning; what else is set is not handed on


def read(traceparent: str | None) -> str | None:
    """
    The trace as an order keeps it: its id, 32 hex digits, and its flags, `00` or `01`, with a dash between.

    :return: None if the header is missing or not valid: then the trace begins with the order
    """
    found = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    return f"{found[1]}-{int(found[2], 16) & _SAMPLED:02x}" if found else None
