"""PDUs to octets. What does not fit raises, with the field's name: sending it would be our bug.

A body is everything after the 16-octet header. Bodies are built once and kept; the sequence number that the
header carries is only known when the session sends. submit_sm, deliver_sm and their responses have a
hand-written path; whatever is unusual in them goes by the table like all other PDUs.
Source: SMPP 3.4 issue 1.2 sections 3.2 (layout), 4 (PDUs), 5.3 (TLVs).
"""

from collections.abc import Callable
from struct import Struct, error
from typing import Any, Final

from msgspec.structs import astuple

from gateway.smpp.constants import MESSAGE_ID_OCTETS_MAX, TLVS_MAX, VERSION_34, Tag
from gateway.smpp.fields import COMMAND_OF, RESPONSE_OF
from gateway.smpp.pdu import DeliverSm, DeliverSmResp, Pdu, SubmitSm, SubmitSmResp, Tlvs
from gateway.smpp.table_encode import LocalProtocolError, body_by_table

__all__ = [
    "COMMAND_OF",
    "RESPONSE_OF",
    "LocalProtocolError",
    "body_of",
    "deliver_body",
    "encode",
    "error_response",
    "header",
    "submit_body",
]

_pack_header = Struct(">IIII").pack
_pack_tlv_head = Struct(">HH").pack
_MESSAGE_PAYLOAD: Final = int(Tag.MESSAGE_PAYLOAD)  # a plain name: an enum look-up costs as much as a TLV
_MESSAGE_FORMAT: Final = b"%b\0%c%c%b\0%c%c%b\0%c%c%c%b\0%b\0%c%c%c%c%c%b"


def header(command_id: int, command_status: int, sequence_number: int, body_length: int) -> bytes:
    """The 16 octets in front of a body of `body_length` octets."""
    return _pack_header(16 + body_length, command_id, command_status, sequence_number)


def error_response(command_id: int, command_status: int, sequence_number: int) -> bytes:
    """A header-only PDU of 16 octets: an error response, a generic_nack, an enquire_link, an unbind.

    `command_id` is the response's own. SMPP 3.4 wants no body in an error response.
    """
    return _pack_header(16, command_id, command_status, sequence_number)


def encode(pdu: Pdu, *, peer_version: int = VERSION_34) -> bytes:
    """The whole PDU.

    Args:
      peer_version: interface_version of the peer's bind; below 3.4 TLVs are left out, because a 3.3 peer
        would take them for garbage (SMPP 3.4 section 3.4).
    Raises:
      LocalProtocolError: a field does not fit.
    """
    pdu_type = type(pdu)
    if peer_version >= VERSION_34 and pdu_type in _HOT_BODIES:
        body = _HOT_BODIES[pdu_type](pdu)
    else:
        body = body_by_table(pdu, with_tlvs=peer_version >= VERSION_34)
    command_id = COMMAND_OF[pdu_type]
    try:
        return _pack_header(16 + len(body), command_id, pdu.command_status, pdu.sequence_number) + body
    except error as exc:
        raise LocalProtocolError(command_id, "header", "has a number that is not of 32 bits") from exc


def body_of(pdu: Pdu, *, peer_version: int = VERSION_34) -> bytes:
    """Everything after the header; see `encode`. An error response without content has no body at all."""
    if peer_version >= VERSION_34 and type(pdu) in _HOT_BODIES:
        return _HOT_BODIES[type(pdu)](pdu)
    return body_by_table(pdu, with_tlvs=peer_version >= VERSION_34)


def submit_body(
    service_type: bytes,
    source_addr_ton: int,
    source_addr_npi: int,
    source_addr: bytes,
    dest_addr_ton: int,
    dest_addr_npi: int,
    destination_addr: bytes,
    esm_class: int,
    protocol_id: int,
    priority_flag: int,
    schedule_delivery_time: bytes,
    validity_period: bytes,
    registered_delivery: int,
    replace_if_present_flag: int,
    data_coding: int,
    sm_default_msg_id: int,
    short_message: bytes,
    tlvs: Tlvs = (),
) -> bytes:
    """The body of a submit_sm from its fields in wire order (sm_length is the text's).

    Raises:
      LocalProtocolError: a field does not fit.
    """
    return _message_body(
        SubmitSm,
        (
            service_type,
            source_addr_ton,
            source_addr_npi,
            source_addr,
            dest_addr_ton,
            dest_addr_npi,
            destination_addr,
            esm_class,
            protocol_id,
            priority_flag,
            schedule_delivery_time,
            validity_period,
            registered_delivery,
            replace_if_present_flag,
            data_coding,
            sm_default_msg_id,
            short_message,
            tlvs,
        ),
    )


def deliver_body(
    service_type: bytes,
    source_addr_ton: int,
    source_addr_npi: int,
    source_addr: bytes,
    dest_addr_ton: int,
    dest_addr_npi: int,
    destination_addr: bytes,
    esm_class: int,
    protocol_id: int,
    priority_flag: int,
    schedule_delivery_time: bytes,
    validity_period: bytes,
    registered_delivery: int,
    replace_if_present_flag: int,
    data_coding: int,
    sm_default_msg_id: int,
    short_message: bytes,
    tlvs: Tlvs = (),
) -> bytes:
    """The body of a deliver_sm: the same fields in the same order as `submit_body`'s."""
    return _message_body(
        DeliverSm,
        (
            service_type,
            source_addr_ton,
            source_addr_npi,
            source_addr,
            dest_addr_ton,
            dest_addr_npi,
            destination_addr,
            esm_class,
            protocol_id,
            priority_flag,
            schedule_delivery_time,
            validity_period,
            registered_delivery,
            replace_if_present_flag,
            data_coding,
            sm_default_msg_id,
            short_message,
            tlvs,
        ),
    )


def _message_body(pdu_type: type[SubmitSm] | type[DeliverSm], fields: tuple[Any, ...]) -> bytes:
    """`fields` are the struct's from service_type to tlvs."""
    service_type, _, _, source, _, _, destination, _, _, _, schedule, validity, _, _, _, _, text, tlvs = (
        fields
    )
    try:
        usual = not (
            len(service_type) > 5
            or len(source) > 20
            or len(destination) > 20
            or 0 in service_type
            or 0 in source
            or 0 in destination
            or (schedule and (len(schedule) != 16 or 0 in schedule))
            or (validity and (len(validity) != 16 or 0 in validity))
        )
        if usual:
            body: bytes = _MESSAGE_FORMAT % (*fields[:16], len(text), text)
            if not tlvs:
                return body
            packed = _hot_tlvs(tlvs, has_text=bool(text))
            if packed is not None:
                return body + packed
    except (OverflowError, TypeError, error):
        pass  # a number or a size is out of range: the table finds which
    return body_by_table(pdu_type(0, 0, *fields))


def _hot_tlvs(tlvs: Tlvs, *, has_text: bool) -> bytes | None:
    """The TLVs packed, or None where the table has to judge them."""
    if len(tlvs) > TLVS_MAX:
        return None
    packed = b""
    for tag, value in tlvs:
        if has_text and tag == _MESSAGE_PAYLOAD:
            return None
        packed += _pack_tlv_head(tag, len(value)) + value
    return packed


def _hot_submit(pdu: Pdu) -> bytes:
    return _message_body(SubmitSm, astuple(pdu)[2:-1])


def _hot_deliver(pdu: Pdu) -> bytes:
    return _message_body(DeliverSm, astuple(pdu)[2:-1])


def _hot_message_id(pdu: Pdu) -> bytes:
    _, status, message_id, tlvs = astuple(pdu)
    try:
        if not (status or tlvs or len(message_id) > MESSAGE_ID_OCTETS_MAX or 0 in message_id):
            body: bytes = message_id + b"\0"
            return body
    except TypeError:
        pass  # not bytes: the table says so
    return body_by_table(pdu)


_HOT_BODIES: Final[dict[type[Pdu], Callable[[Pdu], bytes]]] = {
    SubmitSm: _hot_submit,
    DeliverSm: _hot_deliver,
    SubmitSmResp: _hot_message_id,
    DeliverSmResp: _hot_message_id,
}
