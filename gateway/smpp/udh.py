"""User data headers: what stands before the text when `esm_class` has the UDH indicator.

3GPP TS 23.040 section 9.2.3.24. Over SMPP the text starts at the octet after the header, with no fill bits.
A header whose length cannot be true is text that somebody flagged by mistake: `parse_udh` says None and the
octets stay opaque. Inside a header, what is unknown or has the wrong size is skipped.
"""

import msgspec

from gateway.smpp.constants import EsmClass, Tag
from gateway.smpp.gsm import LANGUAGE_NAMES, LOCKING_TABLES, SINGLE_SHIFT_TABLES
from gateway.smpp.pdu import DataSm, DeliverSm, SubmitSm, Tlvs
from gateway.smpp.tlv import tlv_get, tlv_sar

UDH_INDICATOR = int(EsmClass.UDHI)

CONCAT_8 = 0x00
CONCAT_16 = 0x08
PORTS_8 = 0x04
PORTS_16 = 0x05
SINGLE_SHIFT = 0x24
LOCKING_SHIFT = 0x25

PARTS_MAX = 255  # one octet counts the parts


class Concat(msgspec.Struct, frozen=True, gc=False):
    """Which part of which long message: reference, parts in all, this one from 1, bits of the reference."""

    ref: int
    total: int
    seq: int
    bits: int = 8


class Udh(msgspec.Struct, frozen=True, gc=False):
    """A header: its octets (length octet included), its elements in order, and what they mean.

    `ports` is (destination, source). `locking` and `single` are national language identifiers, 0 for none.
    """

    octets: int
    elements: tuple[tuple[int, bytes], ...]
    concat: Concat | None = None
    locking: int = 0
    single: int = 0
    ports: tuple[int, int] | None = None


_PRINTABLE_MIN = 0x20  # real headers are shorter than 32 octets; texts begin with something printable


def parse_udh(data: bytes) -> Udh | None:
    """The header at the start of `data`, or None if there cannot be one. Never raises; linear.

    Of repeated or mutually exclusive elements the last valid one counts. Where the last element overruns the
    header, all elements are ignored, as 3GPP TS 23.040 asks, and the text still starts after the header; but
    when its length is also a printable character, this is a text that somebody flagged by mistake: None.
    """
    if not data or data[0] >= len(data):
        return None
    end = data[0] + 1
    elements: list[tuple[int, bytes]] = []
    concat: Concat | None = None
    locking = single = 0
    ports: tuple[int, int] | None = None
    at = 1
    while at < end:
        if at + 2 > end or at + 2 + data[at + 1] > end:
            return Udh(end, ()) if end <= _PRINTABLE_MIN else None
        element = data[at]
        value = data[at + 2 : at + 2 + data[at + 1]]
        at += 2 + len(value)
        elements.append((element, value))
        if element == CONCAT_8 and len(value) == 3:
            concat = _concat(value[0], value[1], value[2], 8) or concat
        elif element == CONCAT_16 and len(value) == 4:
            concat = _concat(value[0] << 8 | value[1], value[2], value[3], 16) or concat
        elif element == SINGLE_SHIFT and len(value) == 1:
            single = value[0] if value[0] in SINGLE_SHIFT_TABLES and value[0] in LANGUAGE_NAMES else 0
        elif element == LOCKING_SHIFT and len(value) == 1:
            locking = value[0] if value[0] in LOCKING_TABLES else 0
        elif element == PORTS_16 and len(value) == 4:
            ports = (value[0] << 8 | value[1], value[2] << 8 | value[3])
        elif element == PORTS_8 and len(value) == 2:
            ports = (value[0], value[1])
    return Udh(end, tuple(elements), concat, locking, single, ports)


def _concat(ref: int, total: int, seq: int, bits: int) -> Concat | None:
    return Concat(ref, total, seq, bits) if 1 <= seq <= total else None


def build_udh(elements: tuple[tuple[int, bytes], ...]) -> bytes:
    """A header of these elements, length octet first. ValueError if it would exceed 140 octets."""
    body = b"".join(bytes((element, len(value))) + value for element, value in elements)
    if len(body) > 139:
        raise ValueError(f"a user data header of {len(body) + 1} octets does not fit a 140-octet message")
    return bytes((len(body),)) + body


def build_concat_udh(ref: int, total: int, seq: int, *, bits: int = 8) -> bytes:
    """`05 00 03 rr tt nn`, or `06 08 04 rrrr tt nn` with a 16-bit reference; higher bits of `ref` are cut."""
    return build_udh((concat_element(ref, total, seq, bits=bits),))


def concat_element(ref: int, total: int, seq: int, *, bits: int = 8) -> tuple[int, bytes]:
    """The concatenation element alone. ValueError for a part number that cannot be."""
    if not 1 <= seq <= total <= PARTS_MAX:
        raise ValueError(f"part {seq} of {total}: parts count from 1 to at most {PARTS_MAX}")
    if bits == 8:
        return CONCAT_8, bytes((ref & 0xFF, total, seq))
    return CONCAT_16, bytes((ref >> 8 & 0xFF, ref & 0xFF, total, seq))


def payload_of(pdu: SubmitSm | DeliverSm | DataSm) -> bytes:
    """`short_message`, or the `message_payload` TLV where that is empty; UDH and all."""
    short_message: bytes = getattr(pdu, "short_message", b"")
    if short_message or not pdu.tlvs:
        return short_message
    return tlv_get(pdu.tlvs, Tag.MESSAGE_PAYLOAD) or b""


def sar_concat(tlvs: Tlvs) -> Concat | None:
    """What the three SAR TLVs say, as a UDH would say it; None unless all are there and agree."""
    sar = tlv_sar(tlvs)
    return Concat(sar.reference & 0xFFFF, sar.total, sar.segment, 16) if sar else None


class Segment(msgspec.Struct, frozen=True, gc=False):
    """One inbound or submitted short message, its header understood: `text` is the octets after the UDH."""

    text: bytes
    concat: Concat | None = None
    udh: Udh | None = None


def segment_of(pdu: SubmitSm | DeliverSm | DataSm) -> Segment:
    """The text octets of a PDU and which part they are. A UDH wins over SAR TLVs (SMPP 3.4 forbids both)."""
    payload = payload_of(pdu)
    if pdu.esm_class & UDH_INDICATOR:
        udh = parse_udh(payload)
        if udh is not None:
            return Segment(payload[udh.octets :], udh.concat, udh)
    return Segment(payload, sar_concat(pdu.tlvs) if pdu.tlvs else None)


def to_udh(text: bytes, concat: Concat, *, bits: int = 8) -> bytes:
    """A part that came with SAR TLVs as `short_message` with a UDH; set UDH_INDICATOR in `esm_class`.

    The 8-bit form is the default because a part cut for it (153 septets) has no room for the longer header;
    the low octet of a 16-bit reference stays unique among 256 consecutive messages.
    """
    return build_concat_udh(concat.ref, concat.total, concat.seq, bits=bits) + text


def to_sar(payload: bytes) -> tuple[bytes, Tlvs] | None:
    """A part with a UDH as (text octets, SAR TLVs); the PDU's `esm_class` must lose UDH_INDICATOR.

    None where that would change the message: no concatenation in the header, or other elements beside it
    (ports, national tables), which have no TLV form that may stand beside SAR.
    """
    udh = parse_udh(payload)
    if udh is None or udh.concat is None or any(e not in (CONCAT_8, CONCAT_16) for e, _ in udh.elements):
        return None
    concat = udh.concat
    return payload[udh.octets :], sar_tlvs(concat)


def sar_tlvs(concat: Concat) -> Tlvs:
    """The SAR trio for one part."""
    return (
        (int(Tag.SAR_MSG_REF_NUM), concat.ref.to_bytes(2, "big")),
        (int(Tag.SAR_TOTAL_SEGMENTS), bytes((concat.total,))),
        (int(Tag.SAR_SEGMENT_SEQNUM), bytes((concat.seq,))),
    )
