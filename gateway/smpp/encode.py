"""PDUs to octets. What does not fit raises: sending it would be our bug, and its name is in the error.

A body is everything after the 16-octet header. Bodies are built once and kept; the sequence number that the
header carries is only known when the session sends.
Source: SMPP 3.4 issue 1.2 sections 3.2 (layout), 4 (PDUs), 5.3 (TLVs).
"""

from struct import Struct, error
from typing import Final, Protocol

from msgspec.structs import astuple

from gateway.smpp.constants import (
    DESTINATIONS_MAX,
    MESSAGE_ID_OCTETS_MAX,
    TLV_VALUE_OCTETS_MAX,
    TLVS_MAX,
    VERSION_34,
    DestFlag,
    command_name,
)
from gateway.smpp.fields import (
    COMMAND_OF,
    DL_NAME,
    LAYOUT_OF_TYPE,
    RESPONSE_OF,
    SME_ADDRESS,
    Field,
    Kind,
    Layout,
    TlvFault,
)
from gateway.smpp.pdu import (
    DeliverSm,
    DeliverSmResp,
    DistributionList,
    Pdu,
    SmeAddress,
    SubmitSm,
    SubmitSmResp,
    Tlvs,
    UnsuccessSme,
)
from gateway.smpp.tlv import has_payload, pack_tlvs

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


class LocalProtocolError(ValueError):
    """A PDU of ours that SMPP has no octets for: a bug of the caller, not of a peer.

    `field` is the field's standard name, "tlvs" or "header". The message holds sizes, never values.
    """

    def __init__(self, command_id: int, field: str, reason: str) -> None:
        super().__init__(f"{command_name(command_id)} cannot be encoded: {field} {reason}")
        self.command_id = command_id
        self.field = field


def header(command_id: int, command_status: int, sequence_number: int, body_length: int) -> bytes:
    """The 16 octets in front of a body of `body_length` octets."""
    return _pack_header(16 + body_length, command_id, command_status, sequence_number)


def error_response(command_id: int, command_status: int, sequence_number: int) -> bytes:
    """A header-only PDU: an error response, a generic_nack, an enquire_link, an unbind.

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
    body = body_of(pdu, peer_version=peer_version)
    command_id = COMMAND_OF[type(pdu)]
    try:
        return _pack_header(16 + len(body), command_id, pdu.command_status, pdu.sequence_number) + body
    except error as exc:
        raise LocalProtocolError(command_id, "header", "has a number that is not of 32 bits") from exc


def body_of(pdu: Pdu, *, peer_version: int = VERSION_34) -> bytes:
    """Everything after the header; see `encode`. An error response without content has no body at all."""
    pdu_type = type(pdu)
    if peer_version >= VERSION_34:
        if pdu_type is SubmitSm:
            return submit_body(*astuple(pdu)[2:])
        if pdu_type is DeliverSm:
            return deliver_body(*astuple(pdu)[2:])
        if isinstance(pdu, SubmitSmResp | DeliverSmResp) and not (pdu.command_status or pdu.tlvs):
            message_id = pdu.message_id
            if len(message_id) <= MESSAGE_ID_OCTETS_MAX and 0 not in message_id:
                return message_id + b"\0"
    return _body_by_table(pdu, with_tlvs=peer_version >= VERSION_34)


class MessageBody(Protocol):
    """The body of a submit_sm or deliver_sm from its fields in wire order, sm_length left out."""

    def __call__(
        self,
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
        /,
    ) -> bytes: ...


_MESSAGE_FORMAT: Final = b"%b\0%c%c%b\0%c%c%b\0%c%c%c%b\0%b\0%c%c%c%c%c%b"


def _message_body(pdu_type: type[SubmitSm] | type[DeliverSm]) -> MessageBody:
    """The hot path of one of the two; anything unusual goes by the table, which names the field at fault."""

    def body(
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
        /,
    ) -> bytes:
        fields = (
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
            len(short_message),
            short_message,
        )
        if (
            tlvs
            or schedule_delivery_time
            or validity_period
            or len(service_type) > 5
            or len(source_addr) > 20
            or len(destination_addr) > 20
            or 0 in service_type
            or 0 in source_addr
            or 0 in destination_addr
        ):
            return _body_by_table(pdu_type(0, 0, *fields[:-2], short_message, tlvs))
        try:
            return _MESSAGE_FORMAT % fields
        except OverflowError:  # an integer beyond one octet, sm_length included
            return _body_by_table(pdu_type(0, 0, *fields[:-2], short_message, tlvs))

    return body


submit_body: Final = _message_body(SubmitSm)
deliver_body: Final = _message_body(DeliverSm)


def _body_by_table(pdu: Pdu, *, with_tlvs: bool = True) -> bytes:
    layout = LAYOUT_OF_TYPE[type(pdu)]
    values = [getattr(pdu, field.name) for field in layout.fields]
    tlvs: Tlvs = getattr(pdu, "tlvs", ()) if with_tlvs else ()
    if layout.is_response and pdu.command_status and not tlvs and not any(values):
        return b""
    parts = [_pack_field(layout, field, value) for field, value in zip(layout.fields, values, strict=True)]
    if tlvs:
        parts.append(_pack_tlvs(layout, pdu, tlvs))
    return b"".join(parts)


def _pack_field(layout: Layout, field: Field, value: object) -> bytes:
    def refuse(reason: str) -> LocalProtocolError:
        return LocalProtocolError(layout.command_id, field.name, reason)

    match field.kind, value:
        case Kind.OCTET, int():
            if not 0 <= value <= 255:
                raise refuse(f"is {value}, which is not one octet")
            return bytes((value,))
        case Kind.CSTRING | Kind.TIME, bytes():
            return _pack_cstring(layout, field, value)
        case Kind.TEXT, bytes():
            if len(value) >= field.octets_max:
                raise refuse(f"has {len(value)} octets; {field.octets_max - 1} fit")
            return bytes((len(value),)) + value
        case Kind.DESTINATIONS, tuple():
            if not 1 <= len(value) <= DESTINATIONS_MAX:
                raise refuse(f"has {len(value)} entries; 1 to {DESTINATIONS_MAX} fit")
            return bytes((len(value),)) + b"".join([_pack_destination(layout, entry) for entry in value])
        case Kind.UNSUCCESS, tuple():
            if len(value) > DESTINATIONS_MAX:
                raise refuse(f"has {len(value)} entries; {DESTINATIONS_MAX} fit")
            return bytes((len(value),)) + b"".join([_pack_unsuccess(layout, entry) for entry in value])
        case _:
            raise refuse(f"is {type(value).__name__}")


def _pack_cstring(layout: Layout, field: Field, value: bytes) -> bytes:
    reason = ""
    if 0 in value:
        reason = "has a NUL inside"
    elif len(value) >= field.octets_max:
        reason = f"has {len(value)} octets; {field.octets_max - 1} fit"
    elif field.kind is Kind.TIME and len(value) not in (0, field.octets_max - 1):
        reason = f"has {len(value)} characters; it takes none or {field.octets_max - 1}"
    if reason:
        raise LocalProtocolError(layout.command_id, field.name, reason)
    return value + b"\0"


def _pack_address(layout: Layout, ton: int, npi: int, address: bytes) -> bytes:
    if not (0 <= ton <= 255 and 0 <= npi <= 255):
        raise LocalProtocolError(layout.command_id, "dest_addr_ton or dest_addr_npi", "is not one octet")
    return bytes((ton, npi)) + _pack_cstring(layout, SME_ADDRESS, address)


def _pack_destination(layout: Layout, entry: SmeAddress | DistributionList) -> bytes:
    if isinstance(entry, SmeAddress):
        return bytes((DestFlag.SME_ADDRESS,)) + _pack_address(layout, entry.ton, entry.npi, entry.address)
    return bytes((DestFlag.DISTRIBUTION_LIST,)) + _pack_cstring(layout, DL_NAME, entry.name)


def _pack_unsuccess(layout: Layout, entry: UnsuccessSme) -> bytes:
    status = entry.error_status_code
    if not 0 <= status <= 0xFFFFFFFF:
        raise LocalProtocolError(layout.command_id, "error_status_code", "is not of 32 bits")
    return _pack_address(layout, entry.ton, entry.npi, entry.address) + status.to_bytes(4, "big")


def _pack_tlvs(layout: Layout, pdu: Pdu, tlvs: Tlvs) -> bytes:
    def refuse(reason: str) -> LocalProtocolError:
        return LocalProtocolError(layout.command_id, "tlvs", reason)

    if len(tlvs) > TLVS_MAX:
        raise refuse(f"are {len(tlvs)}; at most {TLVS_MAX} are read in one PDU")
    for tag, value in tlvs:
        if not 0 <= tag <= 0xFFFF:
            raise refuse(f"have the tag {tag:#x}, which is not of 16 bits")
        if len(value) > TLV_VALUE_OCTETS_MAX:
            raise refuse(f"have {len(value)} octets under {tag:#06x}; {TLV_VALUE_OCTETS_MAX} fit")
    has_text = bool(getattr(pdu, "short_message", ()))
    if layout.tlv_fault is TlvFault.REFUSES and has_text and has_payload(tlvs):
        raise refuse("have a message_payload beside a short_message; a PDU has one text")
    return pack_tlvs(tlvs)
