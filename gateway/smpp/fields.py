"""The mandatory fields of every PDU of SMPP 3.4 as data: order, type, size, and the status for a fault.

The table is the truth: the general decoder and encoder walk it, and the hand-written path of the hot PDUs is
proved equal to it by a test. Sizes are octets on the wire, so those of C-octet strings include the NUL.
Source: SMPP 3.4 issue 1.2 section 4 (layouts), section 5.1.3 (statuses); SMPP 5.0 section 4.7.6 where 3.4 has
no status of its own for a field.
"""

from enum import Enum, auto
from typing import Final

import msgspec

from gateway.smpp import pdu
from gateway.smpp.constants import (
    CREDENTIAL_OCTETS_MAX,
    MESSAGE_ID_OCTETS_MAX,
    RESPONSE_BIT,
    SHORT_MESSAGE_OCTETS_MAX,
    CommandId,
    Status,
)


class Kind(Enum):
    """How a field is laid out."""

    OCTET = auto()  # one-octet integer
    CSTRING = auto()  # NUL-ended, up to octets_max with its NUL
    TIME = auto()  # NUL-ended, exactly 1 or octets_max octets with its NUL
    TEXT = auto()  # sm_length, then that many octets
    DESTINATIONS = auto()  # number_of_dests, then dest_address entries
    UNSUCCESS = auto()  # no_unsuccess, then unsuccess_sme entries


class Field(msgspec.Struct, frozen=True, gc=False):
    """One mandatory field. `fault` answers a bad value or size; a field cut off by the PDU's end is
    RINVCMDLEN whatever it is, because then it is the length that is wrong."""

    name: str
    kind: Kind
    octets_max: int
    fault: Status


class TlvFault(Enum):
    """What a TLV stream that does not add up (SMPP 5.0: RINVTLVSTREAM) costs."""

    REFUSES = auto()  # the PDU, which the sender still holds and can repair
    DROPS_TAIL = auto()  # only the TLVs from the fault on: refusing would lose a receipt or an answer


class Layout(msgspec.Struct, frozen=True, gc=False):
    """One PDU: its fields in wire order, exactly those of its struct between command_status and tlvs.

    `tlv_fault` is None where the PDU has no TLVs; whatever follows its fields is then ignored.
    """

    command_id: CommandId
    pdu_type: type[pdu.Pdu]
    fields: tuple[Field, ...]
    tlv_fault: TlvFault | None

    @property
    def is_response(self) -> bool:
        """Responses are read leniently: their status counts even where the body is cut or missing."""
        return bool(self.command_id & RESPONSE_BIT)


def _octet(name: str, fault: Status = Status.ESME_RINVCMDLEN) -> Field:
    return Field(name, Kind.OCTET, 1, fault)


def _cstring(name: str, octets_max: int, fault: Status) -> Field:
    return Field(name, Kind.CSTRING, octets_max, fault)


ADDRESS_OCTETS_MAX: Final = 21
ADDRESS_OCTETS_MAX_DATA_SM: Final = 65  # data_sm and alert_notification
TIME_OCTETS: Final = 17
_CREDENTIAL = CREDENTIAL_OCTETS_MAX + 1
_MESSAGE_ID = MESSAGE_ID_OCTETS_MAX + 1


def _source(octets_max: int = ADDRESS_OCTETS_MAX) -> tuple[Field, ...]:
    return (
        _octet("source_addr_ton", Status.ESME_RINVSRCTON),
        _octet("source_addr_npi", Status.ESME_RINVSRCNPI),
        _cstring("source_addr", octets_max, Status.ESME_RINVSRCADR),
    )


def _destination(octets_max: int = ADDRESS_OCTETS_MAX) -> tuple[Field, ...]:
    return (
        _octet("dest_addr_ton", Status.ESME_RINVDSTTON),
        _octet("dest_addr_npi", Status.ESME_RINVDSTNPI),
        _cstring("destination_addr", octets_max, Status.ESME_RINVDSTADR),
    )


def _times(kind: Kind) -> tuple[Field, ...]:
    return (
        Field("schedule_delivery_time", kind, TIME_OCTETS, Status.ESME_RINVSCHED),
        Field("validity_period", kind, TIME_OCTETS, Status.ESME_RINVEXPIRY),
    )


_SERVICE_TYPE = _cstring("service_type", 6, Status.ESME_RINVSERTYP)
_REQUEST_MESSAGE_ID = _cstring("message_id", _MESSAGE_ID, Status.ESME_RINVMSGID)
_TEXT = Field("short_message", Kind.TEXT, 1 + SHORT_MESSAGE_OCTETS_MAX, Status.ESME_RINVMSGLEN)
_REGISTERED_DELIVERY = _octet("registered_delivery", Status.ESME_RINVREGDLVFLG)
_DEFAULT_MESSAGE = _octet("sm_default_msg_id", Status.ESME_RINVDFTMSGID)


def _from_esm_class(times: Kind) -> tuple[Field, ...]:
    """The second half that submit_sm, deliver_sm and submit_multi share."""
    return (
        _octet("esm_class", Status.ESME_RINVESMCLASS),
        _octet("protocol_id", Status.ESME_RSUBMITFAIL),
        _octet("priority_flag", Status.ESME_RINVPRTFLG),
        *_times(times),
        _REGISTERED_DELIVERY,
        _octet("replace_if_present_flag", Status.ESME_RINVREPFLAG),
        _octet("data_coding", Status.ESME_RINVDCS),
        _DEFAULT_MESSAGE,
        _TEXT,
    )


_BIND = (
    # system_id and password: c16 and c9 in the standard, longer in the field
    _cstring("system_id", _CREDENTIAL, Status.ESME_RINVSYSID),
    _cstring("password", _CREDENTIAL, Status.ESME_RINVPASWD),
    _cstring("system_type", 13, Status.ESME_RINVSYSTYP),
    _octet("interface_version", Status.ESME_RBINDFAIL),
    _octet("addr_ton", Status.ESME_RBINDFAIL),
    _octet("addr_npi", Status.ESME_RBINDFAIL),
    _cstring("address_range", 41, Status.ESME_RBINDFAIL),
)
_BIND_RESP = (_cstring("system_id", _CREDENTIAL, Status.ESME_RINVSYSID),)
_SUBMIT_SM = (_SERVICE_TYPE, *_source(), *_destination(), *_from_esm_class(Kind.TIME))
# A deliver_sm has no schedule and no validity: what a carrier leaves there is no reason to lose a receipt.
_DELIVER_SM = (_SERVICE_TYPE, *_source(), *_destination(), *_from_esm_class(Kind.CSTRING))
_MESSAGE_ID_ONLY = (_REQUEST_MESSAGE_ID,)

SME_ADDRESS: Final = _cstring("destination_addr", ADDRESS_OCTETS_MAX, Status.ESME_RINVDSTADR)
"""The address inside one entry of DESTINATIONS and UNSUCCESS."""
DL_NAME: Final = _cstring("dl_name", 21, Status.ESME_RINVDLNAME)

_REFUSES = TlvFault.REFUSES
_DROPS = TlvFault.DROPS_TAIL
_C = CommandId

LAYOUTS: Final[tuple[Layout, ...]] = (
    Layout(_C.GENERIC_NACK, pdu.GenericNack, (), None),
    Layout(_C.BIND_RECEIVER, pdu.BindReceiver, _BIND, _REFUSES),
    Layout(_C.BIND_RECEIVER_RESP, pdu.BindReceiverResp, _BIND_RESP, _DROPS),
    Layout(_C.BIND_TRANSMITTER, pdu.BindTransmitter, _BIND, _REFUSES),
    Layout(_C.BIND_TRANSMITTER_RESP, pdu.BindTransmitterResp, _BIND_RESP, _DROPS),
    Layout(_C.BIND_TRANSCEIVER, pdu.BindTransceiver, _BIND, _REFUSES),
    Layout(_C.BIND_TRANSCEIVER_RESP, pdu.BindTransceiverResp, _BIND_RESP, _DROPS),
    Layout(_C.OUTBIND, pdu.Outbind, _BIND[:2], None),
    Layout(_C.UNBIND, pdu.Unbind, (), None),
    Layout(_C.UNBIND_RESP, pdu.UnbindResp, (), None),
    Layout(_C.ENQUIRE_LINK, pdu.EnquireLink, (), None),
    Layout(_C.ENQUIRE_LINK_RESP, pdu.EnquireLinkResp, (), None),
    Layout(_C.SUBMIT_SM, pdu.SubmitSm, _SUBMIT_SM, _REFUSES),
    Layout(_C.SUBMIT_SM_RESP, pdu.SubmitSmResp, _MESSAGE_ID_ONLY, _DROPS),
    Layout(_C.DELIVER_SM, pdu.DeliverSm, _DELIVER_SM, _DROPS),
    Layout(_C.DELIVER_SM_RESP, pdu.DeliverSmResp, _MESSAGE_ID_ONLY, _DROPS),
    Layout(
        _C.SUBMIT_MULTI,
        pdu.SubmitMulti,
        (
            _SERVICE_TYPE,
            *_source(),
            Field("destinations", Kind.DESTINATIONS, ADDRESS_OCTETS_MAX, Status.ESME_RINVNUMDESTS),
            *_from_esm_class(Kind.TIME),
        ),
        _REFUSES,
    ),
    Layout(
        _C.SUBMIT_MULTI_RESP,
        pdu.SubmitMultiResp,
        (
            _REQUEST_MESSAGE_ID,
            Field("unsuccess", Kind.UNSUCCESS, ADDRESS_OCTETS_MAX, Status.ESME_RINVNUMDESTS),
        ),
        _DROPS,
    ),
    Layout(
        _C.DATA_SM,
        pdu.DataSm,
        (
            _SERVICE_TYPE,
            *_source(ADDRESS_OCTETS_MAX_DATA_SM),
            *_destination(ADDRESS_OCTETS_MAX_DATA_SM),
            _octet("esm_class", Status.ESME_RINVESMCLASS),
            _REGISTERED_DELIVERY,
            _octet("data_coding", Status.ESME_RINVDCS),
        ),
        _REFUSES,
    ),
    Layout(_C.DATA_SM_RESP, pdu.DataSmResp, _MESSAGE_ID_ONLY, _DROPS),
    Layout(_C.QUERY_SM, pdu.QuerySm, (_REQUEST_MESSAGE_ID, *_source()), _REFUSES),
    Layout(
        _C.QUERY_SM_RESP,
        pdu.QuerySmResp,
        (
            _REQUEST_MESSAGE_ID,
            # 1 or 17 by its own table, 12 characters by the section on times: both are sent
            _cstring("final_date", TIME_OCTETS, Status.ESME_RQUERYFAIL),
            _octet("message_state", Status.ESME_RQUERYFAIL),
            _octet("error_code", Status.ESME_RQUERYFAIL),
        ),
        _DROPS,
    ),
    Layout(
        _C.CANCEL_SM,
        pdu.CancelSm,
        (_SERVICE_TYPE, _REQUEST_MESSAGE_ID, *_source(), *_destination()),
        _REFUSES,
    ),
    Layout(_C.CANCEL_SM_RESP, pdu.CancelSmResp, (), None),
    Layout(
        _C.REPLACE_SM,
        pdu.ReplaceSm,
        (
            _REQUEST_MESSAGE_ID,
            *_source(),
            *_times(Kind.TIME),
            _REGISTERED_DELIVERY,
            _DEFAULT_MESSAGE,
            _TEXT,
        ),
        _REFUSES,
    ),
    Layout(_C.REPLACE_SM_RESP, pdu.ReplaceSmResp, (), None),
    Layout(
        _C.ALERT_NOTIFICATION,
        pdu.AlertNotification,
        (
            *_source(ADDRESS_OCTETS_MAX_DATA_SM),
            _octet("esme_addr_ton", Status.ESME_RINVDSTTON),
            _octet("esme_addr_npi", Status.ESME_RINVDSTNPI),
            _cstring("esme_addr", ADDRESS_OCTETS_MAX_DATA_SM, Status.ESME_RINVDSTADR),
        ),
        _DROPS,
    ),
)

LAYOUT_OF: Final[dict[int, Layout]] = {int(layout.command_id): layout for layout in LAYOUTS}
LAYOUT_OF_TYPE: Final[dict[type[pdu.Pdu], Layout]] = {layout.pdu_type: layout for layout in LAYOUTS}
COMMAND_OF: Final[dict[type[pdu.Pdu], int]] = {layout.pdu_type: int(layout.command_id) for layout in LAYOUTS}
RESPONSE_OF: Final[dict[type[pdu.Pdu], type[pdu.Pdu]]] = {
    layout.pdu_type: LAYOUT_OF[layout.command_id | RESPONSE_BIT].pdu_type
    for layout in LAYOUTS
    if not layout.is_response and layout.command_id | RESPONSE_BIT in LAYOUT_OF
}
"""Request type -> response type. outbind and alert_notification are not in it: nothing answers them."""
