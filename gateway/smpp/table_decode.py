"""The general path from octets to a PDU: walk the field table, whatever the command and however odd the body.

Requests are read strictly, each fault with the status that answers it. Responses are read leniently: a header
alone, a string without its NUL or a cut tail still tells how the request ended.
Source: SMPP 3.4 issue 1.2 sections 3.1 (types), 4 (PDUs), 5.3 (TLVs).
"""

from struct import Struct

from gateway.smpp.constants import CommandId, DestFlag, Status, Tag, command_name
from gateway.smpp.fields import DL_NAME, LAYOUT_OF, SME_ADDRESS, Field, Kind, Layout, TlvFault
from gateway.smpp.pdu import (
    BadPdu,
    DataSm,
    DeliverSm,
    DistributionList,
    Pdu,
    SmeAddress,
    SubmitSm,
    UnsuccessSme,
)
from gateway.smpp.tlv import has_payload, read_tlvs

_KEEP_RAW = frozenset({SubmitSm, DeliverSm, DataSm})

_uint32 = Struct(">I").unpack_from


class _Fault(Exception):
    """A field that cannot be read; stays inside this module."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def decode_by_table(
    data: bytes, at: int, end: int, command_id: int, command_status: int, sequence_number: int
) -> Pdu | BadPdu:
    """The PDU whose body is `data[at:end]`, read field by field as the table says."""
    layout = LAYOUT_OF.get(command_id)
    if layout is None:
        return BadPdu(
            command_id,
            command_status,
            sequence_number,
            Status.ESME_RINVCMDID,
            f"{command_name(command_id)} is not a command that we serve",
        )
    values: list[object] = [sequence_number, command_status]
    body = data[at:end] if layout.pdu_type in _KEEP_RAW else b""
    try:
        for field in layout.fields:
            at = _read_field(data, at, end, field, values, lenient=layout.is_response)
    except _Fault as fault:
        return _unreadable(layout, values, fault)
    if layout.tlv_fault is None:
        return layout.pdu_type(*values)  # type: ignore[arg-type]  # the table fits the struct: test_fields
    stream = read_tlvs(data, at, end)
    pdu = layout.pdu_type(*values, stream.tlvs)  # type: ignore[arg-type, call-arg]
    if body:
        pdu.raw = body  # type: ignore[attr-defined]
    has_text = bool(getattr(pdu, "short_message", ()))
    if stream.fault and _refuses(layout, stream.faulty_tag, has_text=has_text):
        return _bad(layout, pdu, Status.ESME_RINVTLVSTREAM, stream.fault, pdu)
    if layout.tlv_fault is TlvFault.REFUSES and has_text and has_payload(stream.tlvs):
        reason = "the text is there twice, in short_message and in message_payload"
        return _bad(layout, pdu, Status.ESME_RTLVNOTALLWD, reason, None)
    return pdu


def _refuses(layout: Layout, faulty_tag: int | None, *, has_text: bool) -> bool:
    """A deliver_sm survives without its last TLV, but not without its text."""
    if layout.tlv_fault is TlvFault.REFUSES:
        return True
    payload_cut = faulty_tag == Tag.MESSAGE_PAYLOAD and not has_text
    return payload_cut and layout.command_id == CommandId.DELIVER_SM


def _bad(layout: Layout, pdu: Pdu, status: Status, reason: str, partial: Pdu | None) -> BadPdu:
    return BadPdu(layout.command_id, pdu.command_status, pdu.sequence_number, status, reason, partial)


def _unreadable(layout: Layout, values: list[object], fault: _Fault) -> Pdu | BadPdu:
    """A request with a fault is refused. A response still carries its status: that one is what matters."""
    pdu = layout.pdu_type(*values)  # type: ignore[arg-type]  # fields not reached keep their defaults
    if not layout.is_response:
        return _bad(layout, pdu, fault.status, fault.reason, None)
    if pdu.command_status:
        return pdu
    return _bad(layout, pdu, fault.status, fault.reason, pdu)


def _read_field(data: bytes, at: int, end: int, field: Field, values: list[object], *, lenient: bool) -> int:
    """Append the field's value to `values`; gives where the next one begins."""
    kind = field.kind
    if kind is Kind.OCTET:
        value, at = _octet(data, at, end, field.name)
        values.append(value)
    elif kind is Kind.CSTRING or kind is Kind.TIME:
        text, at = _cstring(data, at, end, field, lenient=lenient)
        values.append(text)
    elif kind is Kind.TEXT:
        octets, at = _octet(data, at, end, "sm_length")
        if octets > end - at:
            raise _Fault(field.fault, f"sm_length is {octets}, {end - at} octets are left")
        values.append(data[at : at + octets])
        at += octets
    elif kind is Kind.DESTINATIONS:
        at = _destinations(data, at, end, field, values)
    else:
        at = _unsuccess(data, at, end, values)
    return at


def _octet(data: bytes, at: int, end: int, name: str) -> tuple[int, int]:
    if at >= end:
        raise _Fault(Status.ESME_RINVCMDLEN, f"the PDU ends before {name}")
    return data[at], at + 1


def _cstring(data: bytes, at: int, end: int, field: Field, *, lenient: bool) -> tuple[bytes, int]:
    nul = data.find(0, at, end)
    if nul < 0:
        if lenient:
            return data[at:end], end
        raise _Fault(Status.ESME_RINVCMDLEN, f"the PDU ends inside {field.name}, which has no NUL")
    octets = nul - at + 1
    if not lenient and octets > field.octets_max:
        raise _Fault(
            field.fault, f"{field.name} has {octets} octets, its NUL included; {field.octets_max} fit"
        )
    if field.kind is Kind.TIME and octets not in (1, field.octets_max):
        raise _Fault(
            field.fault, f"{field.name} has {octets - 1} characters; it takes none or {field.octets_max - 1}"
        )
    return data[at:nul], nul + 1


def _destinations(data: bytes, at: int, end: int, field: Field, values: list[object]) -> int:
    count, at = _octet(data, at, end, "number_of_dests")
    if count == 0:
        raise _Fault(field.fault, "number_of_dests is 0")
    found: list[SmeAddress | DistributionList] = []
    for _ in range(count):
        flag, at = _octet(data, at, end, "dest_flag")
        if flag == DestFlag.SME_ADDRESS:
            ton, at = _octet(data, at, end, "dest_addr_ton")
            npi, at = _octet(data, at, end, "dest_addr_npi")
            address, at = _cstring(data, at, end, SME_ADDRESS, lenient=False)
            found.append(SmeAddress(ton, npi, address))
        elif flag == DestFlag.DISTRIBUTION_LIST:
            name, at = _cstring(data, at, end, DL_NAME, lenient=False)
            found.append(DistributionList(name))
        else:
            raise _Fault(Status.ESME_RINVDESTFLAG, f"dest_flag is {flag}; 1 and 2 are known")
    values.append(tuple(found))
    return at


def _unsuccess(data: bytes, at: int, end: int, values: list[object]) -> int:
    """Always a response's: a missing count is an empty list, and the entries before a cut are kept."""
    found: list[UnsuccessSme] = []
    count = 0
    if at < end:
        count, at = _octet(data, at, end, "no_unsuccess")
    try:
        for _ in range(count):
            ton, at = _octet(data, at, end, "dest_addr_ton")
            npi, at = _octet(data, at, end, "dest_addr_npi")
            address, at = _cstring(data, at, end, SME_ADDRESS, lenient=False)
            if end - at < 4:
                raise _Fault(Status.ESME_RINVCMDLEN, "the PDU ends inside error_status_code")
            found.append(UnsuccessSme(ton, npi, address, _uint32(data, at)[0]))
            at += 4
    finally:
        values.append(tuple(found))
    return at
