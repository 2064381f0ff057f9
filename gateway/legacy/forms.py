"""Parameters as the old gateways read them: URL-encoded octets, in order, nothing decoded to text yet."""

import re
from urllib.parse import unquote_to_bytes

from gateway.http.messages import Request

FIELDS_MAX = 1_000  # of one request; what is behind them is not read
FORM = b"application/x-www-form-urlencoded"
Fields = list[tuple[bytes, bytes]]

_number = re.compile(rb"\s*([+-]?[0-9]{1,18})").match


def parse_form(octets: bytes) -> Fields:
    """`a=1&b=2` as pairs; a name without `=` has an empty value, `+` is a space, a broken escape stays."""
    fields = []
    for item in octets.split(b"&", FIELDS_MAX)[:FIELDS_MAX]:
        if item:
            name, _, value = item.partition(b"=")
            fields.append((unplus(name), unplus(value)))
    return fields


def unplus(octets: bytes) -> bytes:
    """One URL-decoded name or value."""
    if b"+" in octets:
        octets = octets.replace(b"+", b" ")
    return unquote_to_bytes(octets) if b"%" in octets else octets


def fields_of(request: Request) -> Fields:
    """The parameters of the query, then those of a URL-encoded body."""
    fields = parse_form(request.query)
    if request.body and content_type(request)[0] == FORM:
        fields += parse_form(request.body)
    return fields


def first_values(fields: Fields) -> dict[bytes, bytes]:
    """Each name with its first value, in the order of their first appearance."""
    values: dict[bytes, bytes] = {}
    for name, value in fields:
        values.setdefault(name, value)
    return values


def content_type(request: Request) -> tuple[bytes, str]:
    """(media type in lower case, its charset parameter): empty where none is given."""
    kind, _, rest = request.headers.get(b"content-type", b"").partition(b";")
    charset = rest.partition(b"=")[2].strip().strip(b'"').decode("latin-1")
    return kind.strip().lower(), charset


def number(value: bytes | None) -> int | None:
    """An integer as C's scanf reads it: blanks, a sign, digits, and whatever follows; None without a digit."""
    found = _number(value) if value is not None else None
    return int(found.group(1)) if found else None
