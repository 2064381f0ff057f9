"""Arguments of Jasmin's HTTP API: defaults, patterns, and its words for what is wrong, in its order.

Source: Jasmin 0.11 documentation, "HTTP API", and the behaviour of its /send. Two bounds are wider here than
there (16 characters): a username may have 30, as the documentation says, and a password 64, as over SMPP.
"""

import binascii
import json
import re
from typing import Any

from gateway.http.messages import Request
from gateway.legacy.forms import fields_of
from gateway.smpp.constants import Tag
from gateway.smpp.pdu import Tlvs

JSON_TYPE = b"application/json"
Value = bytes | int | float | list[Any] | dict[str, Any] | None
Arguments = dict[bytes, Value]


class Wrong(Exception):
    """Status and text of a refusal."""

    def __init__(self, status: int, text: bytes) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


_CODING = re.compile(rb"^(0|1|2|3|4|5|6|7|8|9|10|13|14){1}$")
_NAME = re.compile(rb"^.{1,30}$")
_PASSWORD = re.compile(rb"^.{1,64}$")
_ANY = re.compile(b"")

# name -> (must be there, pattern); the order is that of the checks.
Known = dict[bytes, tuple[bool, "re.Pattern[bytes]"]]

_MESSAGE: Known = {
    b"to": (True, re.compile(rb"^\+{0,1}\d+$")),
    b"from": (False, _ANY),
    b"coding": (False, _CODING),
    b"username": (True, _NAME),
    b"password": (True, _PASSWORD),
    b"priority": (False, re.compile(rb"^[0-3]$")),
}
_END = {
    b"validity-period": (False, re.compile(rb"^\d+$")),
    b"tags": (False, re.compile(rb"^([-a-zA-Z0-9,])*$")),
    b"content": (False, _ANY),
    b"hex-content": (False, _ANY),
}
SEND = {
    **_MESSAGE,
    b"sdt": (False, re.compile(rb"^\d{15}(\+|-|R)$")),
    b"validity-period": _END[b"validity-period"],
    b"dlr": (True, re.compile(rb"^(yes|no)$")),
    b"dlr-url": (False, re.compile(rb"^(http|https)\://.*$")),
    b"dlr-level": (False, re.compile(rb"^[1-3]$")),
    b"dlr-method": (False, re.compile(rb"^(get|post)$", re.IGNORECASE)),
    b"tags": _END[b"tags"],
    b"content": _END[b"content"],
    b"hex-content": _END[b"hex-content"],
    b"custom_tlvs": (False, _ANY),
}
RATE = {**_MESSAGE, **_END}
BALANCE = {b"username": _MESSAGE[b"username"], b"password": _MESSAGE[b"password"]}


def arguments(request: Request) -> Arguments:
    """The arguments of a request, each with its first value. Raises Wrong for JSON that cannot be read."""
    given: Arguments = {}
    for name, value in fields_of(request):
        given.setdefault(name, value)
    if request.headers.get(b"content-type") == JSON_TYPE:
        given.update(json_arguments(request.body))
    return given


def json_arguments(body: bytes) -> Arguments:
    """The arguments in a JSON object. Raises Wrong with Python's own words for what is no JSON, as Jasmin does."""
    try:
        values = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Wrong(500, f"Unknown error: {error}".encode()) from None
    if not isinstance(values, dict):
        kind = type(values).__name__
        raise Wrong(500, f"Unknown error: '{kind}' object has no attribute 'items'".encode())
    return as_arguments(values)


def as_arguments(values: dict[str, Any]) -> Arguments:
    """Arguments given as JSON values."""
    return {
        name.encode("utf-8", "replace"): value.encode("utf-8", "replace") if isinstance(value, str) else value
        for name, value in values.items()
    }


def complete_send(given: Arguments) -> None:
    """Defaults of /send, added behind what was given."""
    given.setdefault(b"custom_tlvs", [])
    given.setdefault(b"coding", b"0")
    if b"dlr-url" in given or b"dlr-level" in given:
        given[b"dlr"] = b"yes"
    given.setdefault(b"dlr", b"no")
    if given[b"dlr"] == b"yes":
        given.setdefault(b"dlr-level", 1)
        given.setdefault(b"dlr-method", b"POST")
    method = given.get(b"dlr-method")
    if isinstance(method, bytes):
        given[b"dlr-method"] = method.upper()


def complete_rate(given: Arguments) -> None:
    """Defaults of /rate."""
    given.setdefault(b"coding", b"0")
    if b"hex-content" not in given and b"content" not in given:
        given[b"content"] = b""


def validate(given: Arguments, known: Known) -> None:
    """Raises Wrong for the first thing that is wrong. An unknown argument that stands first is told first; after
    that come the known ones in their own order, and then the other unknown ones."""
    if not given:
        raise Wrong(400, b"Mandatory arguments not found, please refer to the HTTPAPI specifications.")
    names = list(given)
    _unknown(names[:1], known)
    for name, (needed, pattern) in known.items():
        if name not in given:
            if needed:
                raise Wrong(400, b"Mandatory argument [%b] is not found." % name)
            continue
        value = given[name]
        if not isinstance(value, list | dict) and not pattern.match(plain(value)):
            raise Wrong(400, b"Argument [%b] has an invalid value: [%b]." % (name, plain(value)))
    _unknown(names, known)


def _unknown(names: list[bytes], known: dict[bytes, Any]) -> None:
    for name in names:
        if name not in known:
            raise Wrong(400, b"Argument [%b] is unknown." % name)


def plain(value: Value) -> bytes:
    """A value as the octets that a form would have had."""
    return value if isinstance(value, bytes) else b"" if value is None else str(value).encode()


def one_content(given: Arguments, *, needed: bool) -> None:
    """Raises Wrong unless there is exactly one of content and hex-content."""
    if b"content" in given and b"hex-content" in given:
        raise Wrong(400, b"content and hex-content cannot be used both in same request.")
    if needed and b"content" not in given and b"hex-content" not in given:
        raise Wrong(400, b"content or hex-content not present.")


def unhex(value: bytes) -> bytes:
    """hex-content as octets. Raises Wrong."""
    try:
        return binascii.unhexlify(value)
    except ValueError:
        raise Wrong(400, f"Invalid hex-content data: '{value!r}'".encode()) from None


_INTEGERS = {"Int1": 1, "Int2": 2, "Int4": 4, "Int8": 8}
_STANDARD = frozenset(int(tag) for tag in Tag)


def tlvs_of(value: Value) -> Tlvs:
    """custom_tlvs in any of its forms: a list of [tag, length, type, value], a mapping of "tag:type" to value, or
    either of them as JSON. What is no such thing is left out, as Jasmin leaves it out.

    A type that is not given is an integer for numbers, else octets. Raises Wrong for a value that its type
    cannot hold.
    """
    if isinstance(value, bytes):
        try:
            value = json.loads(value or b"[]")
        except (ValueError, RecursionError):
            return ()
    found: list[tuple[Any, str, Any]] = []
    if isinstance(value, dict):
        for key, one in value.items():
            tag, _, kind = str(key).partition(":")
            found.append((tag.strip(), kind.strip(), one))
    elif isinstance(value, list):
        for entry in value:
            if isinstance(entry, dict):
                found.append((entry.get("tag", 0), "", entry.get("value")))
            elif isinstance(entry, list) and len(entry) >= 2:
                found.append((entry[0], str(entry[2] or "") if len(entry) >= 4 else "", entry[-1]))
    return tuple(_tlv(*one) for one in found)


def _tlv(tag: Any, kind: str, value: Any) -> tuple[int, bytes]:
    try:
        number = int(tag, 16 if tag.lower().startswith("0x") else 10) if isinstance(tag, str) else int(tag)
        if not 0 < number <= 0xFFFF:
            raise ValueError("the tag is no 16-bit number")
        if kind in _INTEGERS or (not kind and isinstance(value, int)):
            octets = _INTEGERS.get(kind, 4 if number not in _STANDARD else 1)
            return number, int(value).to_bytes(octets, "big")
        text = str(value).encode()
        return number, text + b"\0" if kind == "COctetString" else text
    except (ValueError, OverflowError, TypeError) as error:
        raise Wrong(500, f"Unknown error: {error}".encode()) from None
