"""Kannel's sendsms parameters: where they stand, what is wrong with them, in Kannel's order and words.

Source: Kannel user guide, "Using the HTTP interface to send SMS messages", and the behaviour of its smsbox
(1.4.4): which of several faults is told, and how.
"""

import msgspec

from gateway.http.messages import Request
from gateway.legacy.forms import Fields, first_values, number, unplus
from gateway.smpp.constants import Tag
from gateway.smpp.pdu import Tlvs
from gateway.smpp.tlv import TLVS, TlvKind

UDH_OCTETS_MAX = 140
ACCOUNT_OCTETS_MAX = 64
NUMBER_CHARACTERS = frozenset(b"0123456789 +-")
GSM, OCTETS, UCS2 = 0, 1, 2


class Fault(Exception):
    """A field that is not as it must be: the text of the answer, which has status 400."""


class Sendsms(msgspec.Struct):
    """One request's parameters, as they came. None: not given."""

    username: bytes | None = None
    password: bytes | None = None
    to: bytes | None = None
    receivers: list[bytes] | None = None  # each by itself, where the form tells them apart without blanks
    from_: bytes = b""
    text: bytes = b""
    charset: str = ""
    udh: bytes = b""
    smsc: bytes = b""
    account: bytes = b""
    binfo: bytes = b""
    dlr_url: bytes = b""
    meta_data: bytes = b""
    dlr_mask: int | None = None
    mclass: int | None = None
    pid: int | None = None
    rpi: int | None = None
    alt_dcs: int | None = None
    mwi: int | None = None
    coding: int | None = None
    compress: int | None = None
    validity: int | None = None
    deferred: int | None = None
    priority: int | None = None


_NUMBERS = (
    "dlr_mask", "mclass", "pid", "rpi", "alt_dcs", "mwi", "coding", "compress", "validity", "deferred",
    "priority",
)  # fmt: skip
_STRINGS = ("smsc", "account", "binfo", "dlr_url", "meta_data")
# In this order they are looked at: (field, least, most, name in the answer). -1 is Kannel's "not given".
_RANGES = (
    ("dlr_mask", -1, 127, "DLR-Mask"),
    ("mclass", -1, 3, "MClass"),
    ("pid", -1, 255, "PID"),
    ("rpi", -1, 2, "RPI"),
    ("alt_dcs", -1, 1, "Alt-DCS"),
    ("mwi", -1, 7, "MWI"),
    ("coding", -1, 2, "Coding"),
    ("compress", -1, 1, "Compress"),
    ("validity", -1, 1 << 60, "Validity"),
    ("deferred", -1, 1 << 60, "Deferred"),
    ("priority", -1, 3, "Priority"),
)


def from_query(fields: Fields) -> Sendsms:
    """The parameters of a GET, or of a URL-encoded POST."""
    values = first_values(fields)
    get = values.get
    asked = Sendsms(
        username=get(b"username", get(b"user")),
        password=get(b"password", get(b"pass")),
        to=get(b"to"),
        from_=get(b"from", b""),
        text=get(b"text", b""),
        charset=get(b"charset", b"").decode("latin-1"),
        udh=get(b"udh", b""),
        dlr_url=get(b"dlr-url", get(b"dlrurl", b"")),
        dlr_mask=number(get(b"dlr-mask", get(b"dlrmask"))),
    )
    for name in _STRINGS:
        if name != "dlr_url":
            setattr(asked, name, get(name.replace("_", "-").encode(), b""))
    for name in _NUMBERS[1:]:
        setattr(asked, name, number(get(name.replace("_", "-").encode())))
    return asked


def from_headers(request: Request) -> Sendsms:
    """The parameters of a POST whose body is the text: header fields X-Kannel-…"""
    headers = request.headers

    def get(name: str) -> bytes | None:
        value = headers.get(b"x-kannel-" + name.replace("_", "-").encode())
        return value.strip() if value is not None else None

    asked = Sendsms(
        username=get("username"), password=get("password"), to=get("to"), from_=get("from") or b"",
        text=request.body,
    )  # fmt: skip
    for name in _STRINGS:
        setattr(asked, name, get(name) or b"")
    for name in _NUMBERS:
        setattr(asked, name, number(get(name)))
    udh = get("udh") or b""
    try:
        asked.udh = bytes.fromhex(udh.decode("ascii"))
    except ValueError:
        asked.udh = unplus(udh)
    return asked


def receivers(asked: Sendsms) -> tuple[list[str], list[str]]:
    """(numbers, numbers denied for their characters), each once. Raises Fault for a header that lies."""
    if asked.udh and len(asked.udh) != asked.udh[0] + 1:
        raise Fault("UDH field misformed, rejected")
    if len(asked.udh) > UDH_OCTETS_MAX:
        raise Fault("UDH field is too long, rejected")
    allowed: dict[str, None] = {}
    denied: dict[str, None] = {}
    for word in asked.receivers if asked.receivers is not None else (asked.to or b"").split():
        lists = allowed if NUMBER_CHARACTERS.issuperset(word) else denied
        lists[word.decode("latin-1")] = None
    return list(allowed), list(denied)


def check(asked: Sendsms) -> None:
    """Raises Fault for the first field that is not as it must be; fills in the defaults of `coding`."""
    if asked.account and (
        len(asked.account) > ACCOUNT_OCTETS_MAX or any(octet in b"[]\n\r" for octet in asked.account)
    ):
        raise Fault("Account field misformed or too long, rejected")
    url = asked.dlr_url.lower()
    if url and not (len(url) >= 8 and url.startswith((b"http://", b"https://"))):
        raise Fault("DLR-URL field misformed, rejected")
    for field, least, most, name in _RANGES:
        value = getattr(asked, field)
        if value is not None and not least <= value <= most:
            raise Fault(f"{name} field misformed, rejected")
        if value == -1:
            setattr(asked, field, None)
    if asked.coding is None:
        asked.coding = OCTETS if asked.udh else GSM


def data_coding(asked: Sendsms) -> int:
    """The octet of the parameters (3GPP TS 23.038 section 4). A message class forces the form 0xFX, except for
    UCS-2 and compressed texts, as Kannel's SMPP driver does."""
    coding = asked.coding or 0
    if asked.mwi is not None:
        if asked.mwi & 0x04:
            return asked.mwi & 0x03 | 0xC0
        group = 0xC0 if not asked.text else 0xD0 if coding == GSM else 0xE0
        return asked.mwi & 0x03 | 0x08 | group
    mode = 1 if asked.mclass is not None else asked.alt_dcs or 0
    if not mode or coding == UCS2 or asked.compress == 1:
        named = 0x10 | asked.mclass if asked.mclass is not None else 0
        return (0x20 if asked.compress == 1 else 0) | named | coding << 2
    return 0xF0 | coding << 2 | (1 if asked.mclass is None else asked.mclass)


def meta_values(meta_data: bytes, group: bytes) -> dict[bytes, bytes]:
    """The pairs of one group of `?group?key=value&key=value?group?…`; names and values are URL-encoded."""
    pieces = meta_data.split(b"?")
    for index in range(1, len(pieces) - 1, 2):
        if unplus(pieces[index]).lower() == group:
            pairs = (item.partition(b"=") for item in pieces[index + 1].split(b"&") if b"=" in item)
            return {unplus(key): unplus(value) for key, _, value in pairs}
    return {}


_TAGS = {tag.name.lower().encode(): int(tag) for tag in Tag}


def tlvs_of(meta_data: bytes) -> Tlvs:
    """TLVs of the group `smpp`: by the standard's names, or a tag such as `0x1401` (its value as octets). What
    is known by neither is left out, as Kannel leaves out what no `smpp-tlv` group defines."""
    tlvs = []
    for key, value in meta_values(meta_data, b"smpp").items():
        try:
            tag = _TAGS.get(key.lower()) or int(key, 16 if key.lower().startswith(b"0x") else 10)
            tlvs.append((tag, _value(tag, value)))
        except (ValueError, OverflowError):
            continue
    return tuple((tag, value) for tag, value in tlvs if 0 < tag <= 0xFFFF)


def _value(tag: int, value: bytes) -> bytes:
    rule = TLVS.get(tag)
    if rule is not None and rule.kind is TlvKind.INTEGER:
        return int(value).to_bytes(rule.octets_max, "big")
    return value + b"\0" if rule is not None and rule.kind is TlvKind.CSTRING else value
