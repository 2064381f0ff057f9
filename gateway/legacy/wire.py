"""What both old gateways say of a message, as the `SubmitSm` that the one door takes."""

import codecs

import msgspec

from gateway.smpp.constants import SHORT_MESSAGE_OCTETS_MAX_34, EsmClass, Tag
from gateway.smpp.pdu import SubmitSm, Tlvs
from gateway.smpp.text import encode_text, forcing_characters

REPLACEMENT = "?"
RECEIPT, INTERMEDIATE = 0x01, 0x10  # registered_delivery (SMPP 3.4 section 5.2.17)
_ALIASES = {"UCS-2": "utf-16-be", "UCS2": "utf-16-be", "UCS-2BE": "utf-16-be", "UTF-16": "utf-16"}
# Of Python's codecs, those that are no charset of anybody.
_NO_CHARSETS = frozenset({"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined"})


class Wanted(msgspec.Struct, kw_only=True):
    """The common part of one request's messages; each of its numbers gets one."""

    source: tuple[bytes, int, int]  # address, TON, NPI
    octets: bytes
    data_coding: int = 0
    udh: bytes = b""
    protocol_id: int = 0
    reply_path: bool = False
    priority: int = 0
    schedule: bytes = b""
    validity: bytes = b""
    registered_delivery: int = 0
    service_type: bytes = b""
    tlvs: Tlvs = ()


def submit(wanted: Wanted, to: str) -> SubmitSm:
    """One message to one number."""
    octets, tlvs = wanted.udh + wanted.octets, wanted.tlvs
    if len(octets) > SHORT_MESSAGE_OCTETS_MAX_34:
        tlvs = (*tlvs, (int(Tag.MESSAGE_PAYLOAD), octets))
        octets = b""
    esm_class = (EsmClass.UDHI if wanted.udh else 0) | (EsmClass.REPLY_PATH if wanted.reply_path else 0)
    source, ton, npi = wanted.source
    return SubmitSm(
        0, 0, wanted.service_type, ton, npi, source, 0, 1, to.encode(), esm_class, wanted.protocol_id,
        wanted.priority, wanted.schedule, wanted.validity, wanted.registered_delivery, 0,
        wanted.data_coding, 0, octets, tlvs,
    )  # fmt: skip


def gsm_octets(text: str) -> tuple[bytes, int]:
    """(GSM 03.38 octets, how many characters it has not got): both old gateways send those as "?"."""
    foreign = forcing_characters(text)
    if foreign:
        characters = list(text)
        for index, _ in foreign:
            characters[index] = REPLACEMENT
        text = "".join(characters)
    return encode_text(text, 0), len(foreign)


def decode_charset(octets: bytes, charset: str) -> str:
    """Text of a named charset. Raises ValueError: no such charset, or octets that it has not got."""
    try:
        codec = codecs.lookup(_ALIASES.get(charset.upper(), charset))
        if codec.name in _NO_CHARSETS:
            raise LookupError
        return octets.decode(codec.name)
    except (LookupError, UnicodeError):
        raise ValueError(f"the text is not in the charset {charset[:40]!r}") from None
