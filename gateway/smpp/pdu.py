"""The PDUs of SMPP 3.4 as values, one struct a command, fields in wire order after the header.

Octet strings stay `bytes` exactly as they came (senders arrive in Latin-1, UTF-8 and GSM);
C-octet strings are without their NUL. `tlvs` is `((tag, value), ...)` in wire order, unknown tags kept.
Structs are built positionally on the hot path: the order of fields is part of the interface.
`gc=False` is safe: no PDU can refer to itself.
"""

import msgspec

Tlvs = tuple[tuple[int, bytes], ...]


class Pdu(msgspec.Struct, gc=False):
    """What every PDU has. `command_status` is 0 in requests and ignored there (SMPP 3.4 p39)."""

    sequence_number: int = 0
    command_status: int = 0


class _Bind(Pdu, gc=False):
    system_id: bytes = b""
    password: bytes = b""
    system_type: bytes = b""
    interface_version: int = 0x34
    addr_ton: int = 0
    addr_npi: int = 0
    address_range: bytes = b""
    tlvs: Tlvs = ()

    def __repr__(self) -> str:
        """The bind without its password: a repr may end in a log."""
        return (
            f"{type(self).__name__}(sequence_number={self.sequence_number},"
            f" system_id={self.system_id!r}, interface_version={self.interface_version:#x})"
        )


class BindReceiver(_Bind, gc=False):
    pass


class BindTransmitter(_Bind, gc=False):
    pass


class BindTransceiver(_Bind, gc=False):
    pass


class _BindResp(Pdu, gc=False):
    system_id: bytes = b""
    tlvs: Tlvs = ()


class BindReceiverResp(_BindResp, gc=False):
    pass


class BindTransmitterResp(_BindResp, gc=False):
    pass


class BindTransceiverResp(_BindResp, gc=False):
    pass


class Outbind(Pdu, gc=False):
    system_id: bytes = b""
    password: bytes = b""

    def __repr__(self) -> str:
        """The outbind without its password."""
        return f"Outbind(sequence_number={self.sequence_number}, system_id={self.system_id!r})"


class Unbind(Pdu, gc=False):
    pass


class UnbindResp(Pdu, gc=False):
    pass


class EnquireLink(Pdu, gc=False):
    pass


class EnquireLinkResp(Pdu, gc=False):
    pass


class GenericNack(Pdu, gc=False):
    pass


class _Message(Pdu, gc=False, eq=False):
    """What carries a text. `raw` is the body as it came, for passing on and for the record; b"" in what we
    build ourselves. It is no part of the value: two messages are equal whose fields are."""

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(
            getattr(self, name) == getattr(other, name) for name in self.__struct_fields__ if name != "raw"
        )

    __hash__ = None  # type: ignore[assignment]


class _ShortMessage(_Message, gc=False, eq=False):
    service_type: bytes = b""
    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: bytes = b""
    dest_addr_ton: int = 0
    dest_addr_npi: int = 0
    destination_addr: bytes = b""
    esm_class: int = 0
    protocol_id: int = 0
    priority_flag: int = 0
    schedule_delivery_time: bytes = b""
    validity_period: bytes = b""
    registered_delivery: int = 0
    replace_if_present_flag: int = 0
    data_coding: int = 0
    sm_default_msg_id: int = 0
    short_message: bytes = b""
    tlvs: Tlvs = ()
    raw: bytes = b""


class SubmitSm(_ShortMessage, gc=False, eq=False):
    pass


class DeliverSm(_ShortMessage, gc=False, eq=False):
    pass


class SubmitSmResp(Pdu, gc=False):
    message_id: bytes = b""
    tlvs: Tlvs = ()


class DeliverSmResp(Pdu, gc=False):
    message_id: bytes = b""
    tlvs: Tlvs = ()


class SmeAddress(msgspec.Struct, gc=False):
    """dest_flag 1 of submit_multi."""

    ton: int
    npi: int
    address: bytes


class DistributionList(msgspec.Struct, gc=False):
    """dest_flag 2 of submit_multi."""

    name: bytes


class UnsuccessSme(msgspec.Struct, gc=False):
    """One refused destination of a submit_multi_resp."""

    ton: int
    npi: int
    address: bytes
    error_status_code: int


class SubmitMulti(Pdu, gc=False):
    service_type: bytes = b""
    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: bytes = b""
    destinations: tuple[SmeAddress | DistributionList, ...] = ()
    esm_class: int = 0
    protocol_id: int = 0
    priority_flag: int = 0
    schedule_delivery_time: bytes = b""
    validity_period: bytes = b""
    registered_delivery: int = 0
    replace_if_present_flag: int = 0
    data_coding: int = 0
    sm_default_msg_id: int = 0
    short_message: bytes = b""
    tlvs: Tlvs = ()


class SubmitMultiResp(Pdu, gc=False):
    message_id: bytes = b""
    unsuccess: tuple[UnsuccessSme, ...] = ()
    tlvs: Tlvs = ()


class DataSm(_Message, gc=False, eq=False):
    service_type: bytes = b""
    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: bytes = b""
    dest_addr_ton: int = 0
    dest_addr_npi: int = 0
    destination_addr: bytes = b""
    esm_class: int = 0
    registered_delivery: int = 0
    data_coding: int = 0
    tlvs: Tlvs = ()
    raw: bytes = b""


class DataSmResp(Pdu, gc=False):
    message_id: bytes = b""
    tlvs: Tlvs = ()


class QuerySm(Pdu, gc=False):
    message_id: bytes = b""
    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: bytes = b""
    tlvs: Tlvs = ()


class QuerySmResp(Pdu, gc=False):
    message_id: bytes = b""
    final_date: bytes = b""
    message_state: int = 0
    error_code: int = 0
    tlvs: Tlvs = ()


class CancelSm(Pdu, gc=False):
    service_type: bytes = b""
    message_id: bytes = b""
    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: bytes = b""
    dest_addr_ton: int = 0
    dest_addr_npi: int = 0
    destination_addr: bytes = b""
    tlvs: Tlvs = ()


class CancelSmResp(Pdu, gc=False):
    pass


class ReplaceSm(Pdu, gc=False):
    message_id: bytes = b""
    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: bytes = b""
    schedule_delivery_time: bytes = b""
    validity_period: bytes = b""
    registered_delivery: int = 0
    sm_default_msg_id: int = 0
    short_message: bytes = b""
    tlvs: Tlvs = ()


class ReplaceSmResp(Pdu, gc=False):
    pass


class AlertNotification(Pdu, gc=False):
    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: bytes = b""
    esme_addr_ton: int = 0
    esme_addr_npi: int = 0
    esme_addr: bytes = b""
    tlvs: Tlvs = ()


class BadPdu(msgspec.Struct, gc=False):
    """A well-framed PDU whose body cannot be read: a value, so that the next PDU still decodes.

    `answer_status` is the status to send back (in the command's own response, or in a generic_nack
    where the command is unknown). Never answer a response or a nack: `command_id & 0x80000000`.
    `partial` holds what was readable before the fault (a response's status is still of use; a receipt
    whose last TLV overruns still has its text), or None.
    """

    command_id: int
    command_status: int
    sequence_number: int
    answer_status: int
    reason: str
    partial: Pdu | None = None


class FramingLost(msgspec.Struct, gc=False):
    """`command_length` is not a PDU's: answer generic_nack RINVCMDLEN, sequence 0, and close.

    `looks_like` names a protocol that the first octets remind of ("HTTP", "TLS", ...), or "".
    """

    command_length: int
    looks_like: str = ""


class Decoded(msgspec.Struct, gc=False):
    """What one pass over a receive buffer gave: PDUs in wire order, octets used, is framing lost."""

    pdus: list[Pdu | BadPdu]
    octets_consumed: int
    framing_lost: FramingLost | None = None
