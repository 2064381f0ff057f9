"""The hand-written path of the PDUs that carry the traffic: the table's result in a fraction of its time.

Each function reads the body `data[at:end]` and gives the PDU, or None as soon as anything is unusual: then
the table path judges it. Searches for a NUL are not bounded by `end`, because a PDU that overran fails the
one comparison with `end` that follows (and the next PDU's first octet is a NUL, so a search stays short).
A property test holds both paths equal on valid and on mutated PDUs.
Measured 2026-11, 2-core machine, CPython 3.11: see `bench/codec.py`.
"""

from collections.abc import Callable
from struct import Struct, error
from typing import Final

from gateway.smpp.constants import TLVS_MAX, CommandId, Tag
from gateway.smpp.pdu import DeliverSm, DeliverSmResp, Pdu, SubmitSm, SubmitSmResp, Tlvs

_ten_octets = Struct("10B").unpack_from  # esm_class to sm_length where both times are empty
_five_octets = Struct("5B").unpack_from  # registered_delivery to sm_length
_MESSAGE_PAYLOAD: Final = int(Tag.MESSAGE_PAYLOAD)  # a plain name: an enum look-up costs as much as a TLV
_tlv_head = Struct(">HH").unpack_from

HotDecoder = Callable[[bytes, int, int, int, int], Pdu | None]


def _hot_message(pdu_type: type[SubmitSm] | type[DeliverSm]) -> HotDecoder:
    def decode(data: bytes, at: int, end: int, command_status: int, sequence_number: int) -> Pdu | None:
        try:
            index = data.index
            if data[at]:
                service_nul = index(0, at)
                if service_nul - at > 5:
                    return None
                service_type = data[at:service_nul]
            else:
                service_nul = at
                service_type = b""
            source_at = service_nul + 3
            source_nul = index(0, source_at)
            destination_at = source_nul + 3
            destination_nul = index(0, destination_at)
            if source_nul - source_at > 20 or destination_nul - destination_at > 20:
                return None
            (
                esm_class,
                protocol_id,
                priority_flag,
                schedule,
                validity,
                registered_delivery,
                replace_if_present_flag,
                data_coding,
                sm_default_msg_id,
                sm_length,
            ) = _ten_octets(data, destination_nul + 1)
            text_at = destination_nul + 11
            schedule_delivery_time = validity_period = b""
            if schedule or validity:
                schedule_at = destination_nul + 4
                schedule_nul = index(0, schedule_at)
                validity_nul = index(0, schedule_nul + 1)
                schedule_delivery_time = data[schedule_at:schedule_nul]
                validity_period = data[schedule_nul + 1 : validity_nul]
                if len(schedule_delivery_time) not in (0, 16) or len(validity_period) not in (0, 16):
                    return None
                (
                    registered_delivery,
                    replace_if_present_flag,
                    data_coding,
                    sm_default_msg_id,
                    sm_length,
                ) = _five_octets(data, validity_nul + 1)
                text_at = validity_nul + 6
        except (ValueError, IndexError, error):
            return None
        text_end = text_at + sm_length
        tlvs: Tlvs = ()
        if text_end != end:
            if text_end > end:
                return None
            found = _tlvs(data, text_end, end, has_text=sm_length > 0)
            if found is None:
                return None
            tlvs = found
        return pdu_type(
            sequence_number,
            command_status,
            service_type,
            data[service_nul + 1],
            data[service_nul + 2],
            data[source_at:source_nul],
            data[source_nul + 1],
            data[source_nul + 2],
            data[destination_at:destination_nul],
            esm_class,
            protocol_id,
            priority_flag,
            schedule_delivery_time,
            validity_period,
            registered_delivery,
            replace_if_present_flag,
            data_coding,
            sm_default_msg_id,
            data[text_at:text_end],
            tlvs,
            data[at:end],
        )

    return decode


def _tlvs(data: bytes, at: int, end: int, *, has_text: bool) -> Tlvs | None:
    """The TLVs, or None where the stream does not add up or a message_payload is there beside a text."""
    found: list[tuple[int, bytes]] = []
    while end - at >= 4:
        tag, octets = _tlv_head(data, at)
        value_at = at + 4
        at = value_at + octets
        if at > end or (has_text and tag == _MESSAGE_PAYLOAD):
            return None
        found.append((tag, data[value_at:at]))
    if at != end or len(found) > TLVS_MAX:
        return None
    return tuple(found)


HOT_MESSAGES: Final[dict[int, HotDecoder]] = {
    int(CommandId.SUBMIT_SM): _hot_message(SubmitSm),
    int(CommandId.DELIVER_SM): _hot_message(DeliverSm),
}

HOT_RESPONSES: Final[dict[int, type[SubmitSmResp] | type[DeliverSmResp]]] = {
    int(CommandId.SUBMIT_SM_RESP): SubmitSmResp,
    int(CommandId.DELIVER_SM_RESP): DeliverSmResp,
}
"""Their body is one message_id: where the first NUL is the body's last octet, there is no more to read."""
