"""What comes before a body: bounded, and refused where two servers in a row could think differently of it."""

from collections.abc import Iterable

from app import errors

FIELDS = 64
FIELDS_BYTES = 32 * 1024


class Ambiguous(errors.Rejected):
    """Where the request ends, or whom it is for, can be read in two ways."""

    code = "bad-request"


class AddressTooLong(errors.Rejected):
    """Path and query are longer than any that we have given."""

    code = "address-too-long"


class FieldsTooLarge(errors.Rejected):
    """The header has too many fields, or too much in them."""

    code = "fields-too-large"


def look(version: str, fields: Iterable[tuple[bytes, bytes]]) -> None:
    """
    Look at a head that the parser has let through (RFC 9112, sections 2.3, 3.2, 6.1 and 7).

    :param fields: names in lower case, and values
    :raises FieldsTooLarge: over 64 of them, or 32 kB
    :raises Ambiguous: when it is not HTTP/1.0 or 1.1, the body is encoded in another way than in chunks of HTTP/1.1,
        or not one host is named
    """
    count, size, hosts, encodings = 0, 0, [], []
    for name, value in fields:
        count += 1
        size += len(name) + len(value)
        if name == b"host":
            hosts.append(value)
        elif name == b"transfer-encoding":
            encodings.append(value.lower())
    if count > FIELDS or size > FIELDS_BYTES:
        raise FieldsTooLarge()
    is_present = version == "1.1"
    if not is_present and version != "1.0":
        raise Ambiguous(detail="Speak HTTP/1.1.")
    if encodings and (encodings != [b"chunked"] or not is_present):
        raise Ambiguous(detail="Transfer-Encoding may be chunked, once, and nothing else.")
    if len(hosts) > 1 or b"," in b"".join(hosts) or (is_present and not any(hosts)):
        raise Ambiguous(detail="Name one Host.")
