"""TLVs (3.4: optional parameters): the table of all of them, the walk over a stream, and tolerant reading.

A PDU keeps its TLVs as `((tag, value), ...)` in wire order, unknown and vendor tags and odd sizes included: a
known TLV on the wrong PDU or of the wrong size is never a reason to refuse one. Who wants a value asks here.
Where a tag is there twice, the first one counts, for all tags alike.
Source: SMPP 3.4 issue 1.2 section 5.3.2, SMPP 5.0 section 4.8.4.
"""

from collections.abc import Iterable
from enum import Enum
from struct import Struct
from typing import Final

import msgspec

from gateway.smpp.constants import TLVS_MAX, Tag
from gateway.smpp.pdu import Tlvs

_tlv_head = Struct(">HH").unpack_from


class TlvKind(Enum):
    """How a value is laid out."""

    INTEGER = "integer"
    CSTRING = "C-octet string"
    OCTETS = "octets"


class TlvRule(msgspec.Struct, frozen=True, gc=False):
    """One tag of the standard. Sizes are octets of the value, with the NUL of a C-octet string.

    The sizes are for who builds a value; any size is read and passed on.
    """

    tag: Tag
    kind: TlvKind
    octets_min: int
    octets_max: int
    only_50: bool = False


_I = TlvKind.INTEGER
_C = TlvKind.CSTRING
_O = TlvKind.OCTETS

TLVS: Final[dict[int, TlvRule]] = {
    int(rule.tag): rule
    for rule in (
        TlvRule(Tag.DEST_ADDR_SUBUNIT, _I, 1, 1),
        TlvRule(Tag.DEST_NETWORK_TYPE, _I, 1, 1),
        TlvRule(Tag.DEST_BEARER_TYPE, _I, 1, 1),
        TlvRule(Tag.DEST_TELEMATICS_ID, _I, 2, 2),
        TlvRule(Tag.SOURCE_ADDR_SUBUNIT, _I, 1, 1),
        TlvRule(Tag.SOURCE_NETWORK_TYPE, _I, 1, 1),
        TlvRule(Tag.SOURCE_BEARER_TYPE, _I, 1, 1),
        TlvRule(Tag.SOURCE_TELEMATICS_ID, _I, 1, 1),
        TlvRule(Tag.QOS_TIME_TO_LIVE, _I, 4, 4),
        TlvRule(Tag.PAYLOAD_TYPE, _I, 1, 1),
        TlvRule(Tag.ADDITIONAL_STATUS_INFO_TEXT, _C, 1, 256),
        TlvRule(Tag.RECEIPTED_MESSAGE_ID, _C, 1, 65),
        TlvRule(Tag.MS_MSG_WAIT_FACILITIES, _I, 1, 1),
        TlvRule(Tag.PRIVACY_INDICATOR, _I, 1, 1),
        TlvRule(Tag.SOURCE_SUBADDRESS, _O, 2, 23),
        TlvRule(Tag.DEST_SUBADDRESS, _O, 2, 23),
        TlvRule(Tag.USER_MESSAGE_REFERENCE, _I, 2, 2),
        TlvRule(Tag.USER_RESPONSE_CODE, _I, 1, 1),
        TlvRule(Tag.SOURCE_PORT, _I, 2, 2),
        TlvRule(Tag.DESTINATION_PORT, _I, 2, 2),
        TlvRule(Tag.SAR_MSG_REF_NUM, _I, 2, 2),
        TlvRule(Tag.LANGUAGE_INDICATOR, _I, 1, 1),
        TlvRule(Tag.SAR_TOTAL_SEGMENTS, _I, 1, 1),
        TlvRule(Tag.SAR_SEGMENT_SEQNUM, _I, 1, 1),
        TlvRule(Tag.SC_INTERFACE_VERSION, _I, 1, 1),
        TlvRule(Tag.CALLBACK_NUM_PRES_IND, _I, 1, 1),
        TlvRule(Tag.CALLBACK_NUM_ATAG, _O, 1, 65),
        TlvRule(Tag.NUMBER_OF_MESSAGES, _I, 1, 1),
        TlvRule(Tag.CALLBACK_NUM, _O, 4, 19),
        TlvRule(Tag.DPF_RESULT, _I, 1, 1),
        TlvRule(Tag.SET_DPF, _I, 1, 1),
        TlvRule(Tag.MS_AVAILABILITY_STATUS, _I, 1, 1),
        TlvRule(Tag.NETWORK_ERROR_CODE, _O, 3, 3),
        TlvRule(Tag.MESSAGE_PAYLOAD, _O, 0, 65535),
        TlvRule(Tag.DELIVERY_FAILURE_REASON, _I, 1, 1),
        TlvRule(Tag.MORE_MESSAGES_TO_SEND, _I, 1, 1),
        TlvRule(Tag.MESSAGE_STATE, _I, 1, 1),
        TlvRule(Tag.CONGESTION_STATE, _I, 1, 1, only_50=True),
        TlvRule(Tag.USSD_SERVICE_OP, _I, 1, 1),
        TlvRule(Tag.BROADCAST_CHANNEL_INDICATOR, _I, 1, 1, only_50=True),
        TlvRule(Tag.BROADCAST_CONTENT_TYPE, _O, 3, 3, only_50=True),
        TlvRule(Tag.BROADCAST_CONTENT_TYPE_INFO, _O, 1, 255, only_50=True),
        TlvRule(Tag.BROADCAST_MESSAGE_CLASS, _I, 1, 1, only_50=True),
        TlvRule(Tag.BROADCAST_REP_NUM, _I, 2, 2, only_50=True),
        TlvRule(Tag.BROADCAST_FREQUENCY_INTERVAL, _O, 3, 3, only_50=True),
        TlvRule(Tag.BROADCAST_AREA_IDENTIFIER, _O, 1, 101, only_50=True),
        TlvRule(Tag.BROADCAST_ERROR_STATUS, _I, 4, 4, only_50=True),
        TlvRule(Tag.BROADCAST_AREA_SUCCESS, _I, 1, 1, only_50=True),
        TlvRule(Tag.BROADCAST_END_TIME, _C, 17, 17, only_50=True),  # 5.0's own table misprints 16
        TlvRule(Tag.BROADCAST_SERVICE_GROUP, _O, 1, 255, only_50=True),
        TlvRule(Tag.BILLING_IDENTIFICATION, _O, 1, 1024, only_50=True),
        TlvRule(Tag.SOURCE_NETWORK_ID, _C, 7, 65, only_50=True),
        TlvRule(Tag.DEST_NETWORK_ID, _C, 7, 65, only_50=True),
        TlvRule(Tag.SOURCE_NODE_ID, _O, 6, 6, only_50=True),
        TlvRule(Tag.DEST_NODE_ID, _O, 6, 6, only_50=True),
        TlvRule(Tag.DEST_ADDR_NP_RESOLUTION, _I, 1, 1, only_50=True),
        TlvRule(Tag.DEST_ADDR_NP_INFORMATION, _O, 10, 10, only_50=True),
        TlvRule(Tag.DEST_ADDR_NP_COUNTRY, _O, 1, 5, only_50=True),
        TlvRule(Tag.DISPLAY_TIME, _I, 1, 1),
        TlvRule(Tag.SMS_SIGNAL, _I, 2, 2),
        TlvRule(Tag.MS_VALIDITY, _O, 1, 4),  # 3.4: one octet; 5.0: one or four
        TlvRule(Tag.ALERT_ON_MESSAGE_DELIVERY, _I, 0, 1),  # 3.4: empty; 5.0: one octet allowed
        TlvRule(Tag.ITS_REPLY_TYPE, _I, 1, 1),
        TlvRule(Tag.ITS_SESSION_INFO, _O, 2, 2),
    )
}

REPEATABLE: Final = frozenset(
    {
        Tag.CALLBACK_NUM,
        Tag.CALLBACK_NUM_PRES_IND,
        Tag.CALLBACK_NUM_ATAG,
        Tag.BROADCAST_AREA_IDENTIFIER,
        Tag.BROADCAST_ERROR_STATUS,
    }
)
"""Tags that may be there several times, matched to each other by their order; ask `tlv_all` for them."""


class TlvStream(msgspec.Struct, gc=False):
    """What a walk over a TLV stream found: the TLVs before the first fault, and the fault ("" for none).

    `faulty_tag` is the tag of a TLV whose length runs past the end, or None.
    """

    tlvs: Tlvs
    fault: str = ""
    faulty_tag: int | None = None


def read_tlvs(data: bytes, at: int, end: int) -> TlvStream:
    """Walk `data[at:end]`, one step a TLV; never raises and never reads past `end`."""
    found: list[tuple[int, bytes]] = []
    while end - at >= 4:
        tag, octets = _tlv_head(data, at)
        value_at = at + 4
        at = value_at + octets
        if at > end:
            fault = f"TLV {tag:#06x} has a length of {octets}, {end - value_at} octets are left"
            return TlvStream(tuple(found), fault, tag)
        if len(found) == TLVS_MAX:
            return TlvStream(tuple(found), f"more than {TLVS_MAX} TLVs")
        found.append((tag, data[value_at:at]))
    if at != end:
        return TlvStream(tuple(found), f"{end - at} stray octets after the last TLV")
    return TlvStream(tuple(found))


def tlv_get(tlvs: Tlvs, tag: int) -> bytes | None:
    """The value of the first TLV with this tag, or None."""
    for found, value in tlvs:
        if found == tag:
            return value
    return None


def tlv_all(tlvs: Tlvs, tag: int) -> list[bytes]:
    """The values of every TLV with this tag, in wire order."""
    return [value for found, value in tlvs if found == tag]


def has_payload(tlvs: Tlvs) -> bool:
    """Whether message_payload carries text: an empty one says nothing and is allowed beside a text."""
    return any(tag == Tag.MESSAGE_PAYLOAD and value for tag, value in tlvs)


def tlv_int(tlvs: Tlvs, tag: int) -> int | None:
    """A big-endian integer of whatever size was sent (1 to 8 octets); None when absent, empty or longer."""
    value = tlv_get(tlvs, tag)
    if not value or len(value) > 8:
        return None
    return int.from_bytes(value, "big")


def tlv_cstring(tlvs: Tlvs, tag: int) -> bytes | None:
    """The text up to its NUL, or all of it where the sender forgot the NUL, of any length."""
    value = tlv_get(tlvs, tag)
    return None if value is None else value.split(b"\0", 1)[0]


class Sar(msgspec.Struct, frozen=True, gc=False):
    """One segment's place by the three sar_ TLVs: segment 1..total of a message with this reference."""

    reference: int
    total: int
    segment: int


def tlv_sar(tlvs: Tlvs) -> Sar | None:
    """The segment's place, or None unless all three are there and make sense (SMPP 3.4 section 5.3.2.22-24).

    A message that also has a user data header goes by that one: UDHI and SAR exclude each other, and the
    header is what a handset will read (SMPP 3.4 section 5.2.12). `udh` keeps that order.
    """
    reference = tlv_int(tlvs, Tag.SAR_MSG_REF_NUM)
    total = tlv_int(tlvs, Tag.SAR_TOTAL_SEGMENTS)
    segment = tlv_int(tlvs, Tag.SAR_SEGMENT_SEQNUM)
    if reference is None or total is None or segment is None or not 1 <= segment <= total <= 255:
        return None
    return Sar(reference, total, segment)


class NetworkError(msgspec.Struct, frozen=True, gc=False):
    """network_error_code: which network's table (1 ANSI-136, 2 IS-95, 3 GSM, 0 not said), and its code."""

    network: int
    code: int


def tlv_network_error(tlvs: Tlvs) -> NetworkError | None:
    """The error of the network, also when sent as three ASCII digits; None when absent or unreadable."""
    value = tlv_get(tlvs, Tag.NETWORK_ERROR_CODE)
    if value is None or len(value) != 3:
        return None
    if value.isdigit():  # no network has the number 0x30-0x39, so this is text
        return NetworkError(0, int(value))
    return NetworkError(value[0], int.from_bytes(value[1:], "big"))


def pack_tlvs(tlvs: Iterable[tuple[int, bytes]]) -> bytes:
    """The TLVs as octets, in the order given; OverflowError for a tag or value that does not fit."""
    return b"".join([tag.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value for tag, value in tlvs])
