"""The general path from a PDU to octets: walk the field table and name the field that does not fit."""

from collections.abc import Callable
from typing import Any, Final

from gateway.smpp.constants import DESTINATIONS_MAX, TLV_VALUE_OCTETS_MAX, TLVS_MAX, DestFlag, command_name
from gateway.smpp.fields import DL_NAME, LAYOUT_OF_TYPE, SME_ADDRESS, Field, Kind, TlvFault
from gateway.smpp.pdu import DistributionList, Pdu, SmeAddress, Tlvs, UnsuccessSme
from gateway.smpp.tlv import has_payload, pack_tlvs


class LocalProtocolError(ValueError):
    """A PDU of ours that SMPP has no octets for: a bug of the caller, not of a peer.

    `field` is the field's standard name, "tlvs" or "header". The message holds sizes, never values.
    """

    def __init__(self, command_id: int, field: str, reason: str) -> None:
        super().__init__(f"{command_name(command_id)} cannot be encoded: {field} {reason}")
        self.command_id = command_id
        self.field = field


def body_by_table(pdu: Pdu, *, with_tlvs: bool = True) -> bytes:
    """Everything after the header; b"" for an error response without content.

    Raises:
      LocalProtocolError: a field does not fit.
    """
    layout = LAYOUT_OF_TYPE[type(pdu)]
    values = [getattr(pdu, field.name) for field in layout.fields]
    tlvs: Tlvs = getattr(pdu, "tlvs", ()) if with_tlvs else ()
    if layout.is_response and pdu.command_status and not tlvs and not any(values):
        return b""
    parts = []
    for field, value in zip(layout.fields, values, strict=True):
        try:
            parts.append(_PACK[field.kind](field, value))
        except _DoesNotFit as exc:
            raise LocalProtocolError(layout.command_id, exc.field, exc.reason) from None
        except (TypeError, AttributeError) as exc:
            raise LocalProtocolError(layout.command_id, field.name, f"is {type(value).__name__}") from exc
    if tlvs:
        has_text = bool(getattr(pdu, "short_message", ()))
        reason = _tlv_fault(tlvs, one_text=layout.tlv_fault is TlvFault.REFUSES and has_text)
        if reason:
            raise LocalProtocolError(layout.command_id, "tlvs", reason)
        parts.append(pack_tlvs(tlvs))
    return b"".join(parts)


class _DoesNotFit(Exception):
    """Stays inside this module: what it says needs the command's name to make sense."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field
        self.reason = reason


def _octet(field: Field, value: int) -> bytes:
    if not 0 <= value <= 255:
        raise _DoesNotFit(field.name, f"is {value}, which is not one octet")
    return value.to_bytes(1, "big")


def _cstring(field: Field, value: bytes) -> bytes:
    octets = len(value)
    if 0 in value:
        raise _DoesNotFit(field.name, "has a NUL inside")
    if octets >= field.octets_max:
        raise _DoesNotFit(field.name, f"has {octets} octets; {field.octets_max - 1} fit")
    return b"%b\0" % value


def _time(field: Field, value: bytes) -> bytes:
    if len(value) not in (0, field.octets_max - 1):
        reason = f"has {len(value)} characters; it takes none or {field.octets_max - 1}"
        raise _DoesNotFit(field.name, reason)
    return _cstring(field, value)


def _text(field: Field, value: bytes) -> bytes:
    if len(value) >= field.octets_max:
        raise _DoesNotFit(field.name, f"has {len(value)} octets; {field.octets_max - 1} fit")
    return b"%c%b" % (len(value), value)


def _destinations(field: Field, value: tuple[SmeAddress | DistributionList, ...]) -> bytes:
    if not 1 <= len(value) <= DESTINATIONS_MAX:
        raise _DoesNotFit(field.name, f"has {len(value)} entries; 1 to {DESTINATIONS_MAX} fit")
    parts = [b"%c" % len(value)]
    for entry in value:
        if isinstance(entry, SmeAddress):
            parts.append(b"%c" % DestFlag.SME_ADDRESS + _address(entry))
        else:
            parts.append(b"%c" % DestFlag.DISTRIBUTION_LIST + _cstring(DL_NAME, entry.name))
    return b"".join(parts)


def _unsuccess(field: Field, value: tuple[UnsuccessSme, ...]) -> bytes:
    if len(value) > DESTINATIONS_MAX:
        raise _DoesNotFit(field.name, f"has {len(value)} entries; {DESTINATIONS_MAX} fit")
    parts = [b"%c" % len(value)]
    for entry in value:
        status = entry.error_status_code
        if not 0 <= status <= 0xFFFFFFFF:
            raise _DoesNotFit("error_status_code", "is not of 32 bits")
        parts.append(_address(entry) + status.to_bytes(4, "big"))
    return b"".join(parts)


def _address(entry: SmeAddress | UnsuccessSme) -> bytes:
    if not (0 <= entry.ton <= 255 and 0 <= entry.npi <= 255):
        raise _DoesNotFit("dest_addr_ton or dest_addr_npi", "is not one octet")
    return b"%c%c%b" % (entry.ton, entry.npi, _cstring(SME_ADDRESS, entry.address))


_PACK: Final[dict[Kind, Callable[[Field, Any], bytes]]] = {
    Kind.OCTET: _octet,
    Kind.CSTRING: _cstring,
    Kind.TIME: _time,
    Kind.TEXT: _text,
    Kind.DESTINATIONS: _destinations,
    Kind.UNSUCCESS: _unsuccess,
}


def _tlv_fault(tlvs: Tlvs, *, one_text: bool) -> str:
    """Why these TLVs cannot be sent, or ""."""
    if len(tlvs) > TLVS_MAX:
        return f"are {len(tlvs)}; at most {TLVS_MAX} are read in one PDU"
    for tag, value in tlvs:
        if not 0 <= tag <= 0xFFFF:
            return f"have the tag {tag:#x}, which is not of 16 bits"
        if len(value) > TLV_VALUE_OCTETS_MAX:
            return f"have {len(value)} octets under {tag:#06x}; {TLV_VALUE_OCTETS_MAX} fit"
    if one_text and has_payload(tlvs):
        return "have a message_payload beside a short_message; a PDU has one text"
    return ""
