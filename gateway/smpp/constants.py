"""The numbers of SMPP: commands, statuses, TLV tags, flag masks and the limits that the codec holds to.

Members are `IntEnum`s, so they compare and hash as the plain integers that arrive on the wire; an unknown
value stays a plain integer and is never an exception.
Source: SMPP 3.4 issue 1.2 sections 5.1.2 and 5.1.3, SMPP 5.0 sections 4.7.5 and 4.7.6 (marked 5.0), and
Wireshark's tables, which agree.
"""

from enum import IntEnum
from typing import Final

RESPONSE_BIT: Final = 0x80000000  # response id = request id | this (SMPP 3.4 section 5.1.2.1)
HEADER_OCTETS: Final = 16

PDU_OCTETS_MAX: Final = 70_000
"""Default bound of command_length: a 65,535-octet message_payload with its other TLVs needs about 67,500."""

SEQUENCE_NUMBER_MAX: Final = 0x7FFFFFFF
"""Ours run 1..this, then 1 again (SMPP 5.0 section 4.7.24); any 32-bit value of a peer is accepted."""

CREDENTIAL_OCTETS_MAX: Final = 64
"""system_id and password in reading and sending. The standard says 15 and 8; large carriers issue longer."""

MESSAGE_ID_OCTETS_MAX: Final = 64
MESSAGE_ID_OCTETS_MAX_33: Final = 8  # towards a peer that bound as 3.3 or earlier (SMPP 3.4 section 4.4.2)
SHORT_MESSAGE_OCTETS_MAX: Final = 255  # 3.4 says 254, 5.0 says 255
SHORT_MESSAGE_OCTETS_MAX_34: Final = 254
TLV_VALUE_OCTETS_MAX: Final = 0xFFFF
TLVS_MAX: Final = 256
"""TLVs read in one PDU: four times the standard's list. One of 70,000 octets could hold 17,500 empty ones,
which would make every look-up in it slow; beyond this the TLV stream counts as faulty."""
DESTINATIONS_MAX: Final = 255  # 3.4 says 254, 5.0 says 255

VERSION_33: Final = 0x33
VERSION_34: Final = 0x34
"""interface_version from here up may carry TLVs; anything below is a 3.3 peer (SMPP 3.4 section 3.4)."""
VERSION_50: Final = 0x50


class CommandId(IntEnum):
    """command_id of every PDU of SMPP 3.4, and 5.0's broadcast requests, which we know but do not serve."""

    BIND_RECEIVER = 0x00000001
    BIND_TRANSMITTER = 0x00000002
    QUERY_SM = 0x00000003
    SUBMIT_SM = 0x00000004
    DELIVER_SM = 0x00000005
    UNBIND = 0x00000006
    REPLACE_SM = 0x00000007
    CANCEL_SM = 0x00000008
    BIND_TRANSCEIVER = 0x00000009
    OUTBIND = 0x0000000B
    ENQUIRE_LINK = 0x00000015
    SUBMIT_MULTI = 0x00000021
    ALERT_NOTIFICATION = 0x00000102
    DATA_SM = 0x00000103
    BROADCAST_SM = 0x00000111
    QUERY_BROADCAST_SM = 0x00000112
    CANCEL_BROADCAST_SM = 0x00000113
    GENERIC_NACK = 0x80000000
    BIND_RECEIVER_RESP = 0x80000001
    BIND_TRANSMITTER_RESP = 0x80000002
    QUERY_SM_RESP = 0x80000003
    SUBMIT_SM_RESP = 0x80000004
    DELIVER_SM_RESP = 0x80000005
    UNBIND_RESP = 0x80000006
    REPLACE_SM_RESP = 0x80000007
    CANCEL_SM_RESP = 0x80000008
    BIND_TRANSCEIVER_RESP = 0x80000009
    ENQUIRE_LINK_RESP = 0x80000015
    SUBMIT_MULTI_RESP = 0x80000021
    DATA_SM_RESP = 0x80000103
    BROADCAST_SM_RESP = 0x80000111
    QUERY_BROADCAST_SM_RESP = 0x80000112
    CANCEL_BROADCAST_SM_RESP = 0x80000113


class Status(IntEnum):
    """command_status. 3.4 has 0x000-0x0FF, 5.0 adds 0x100-0x112, vendors use 0x400-0x4FF."""

    ESME_ROK = 0x00
    ESME_RINVMSGLEN = 0x01
    ESME_RINVCMDLEN = 0x02
    ESME_RINVCMDID = 0x03
    ESME_RINVBNDSTS = 0x04
    ESME_RALYBND = 0x05
    ESME_RINVPRTFLG = 0x06
    ESME_RINVREGDLVFLG = 0x07
    ESME_RSYSERR = 0x08
    ESME_RINVSRCADR = 0x0A
    ESME_RINVDSTADR = 0x0B
    ESME_RINVMSGID = 0x0C
    ESME_RBINDFAIL = 0x0D
    ESME_RINVPASWD = 0x0E
    ESME_RINVSYSID = 0x0F
    ESME_RCANCELFAIL = 0x11
    ESME_RREPLACEFAIL = 0x13
    ESME_RMSGQFUL = 0x14
    ESME_RINVSERTYP = 0x15
    ESME_RINVNUMDESTS = 0x33
    ESME_RINVDLNAME = 0x34
    ESME_RINVDESTFLAG = 0x40
    ESME_RINVSUBREP = 0x42
    ESME_RINVESMCLASS = 0x43
    ESME_RCNTSUBDL = 0x44
    ESME_RSUBMITFAIL = 0x45
    ESME_RINVSRCTON = 0x48
    ESME_RINVSRCNPI = 0x49
    ESME_RINVDSTTON = 0x50  # the gap before it is the standard's
    ESME_RINVDSTNPI = 0x51
    ESME_RINVSYSTYP = 0x53
    ESME_RINVREPFLAG = 0x54
    ESME_RINVNUMMSGS = 0x55
    ESME_RTHROTTLED = 0x58
    ESME_RINVSCHED = 0x61
    ESME_RINVEXPIRY = 0x62
    ESME_RINVDFTMSGID = 0x63
    ESME_RX_T_APPN = 0x64
    ESME_RX_P_APPN = 0x65
    ESME_RX_R_APPN = 0x66
    ESME_RQUERYFAIL = 0x67
    ESME_RINVTLVSTREAM = 0xC0  # 3.4 calls the five C0-C4 RINVOPTPARSTREAM, ROPTPARNOTALLWD, ...
    ESME_RTLVNOTALLWD = 0xC1
    ESME_RINVTLVLEN = 0xC2
    ESME_RMISSINGTLV = 0xC3
    ESME_RINVTLVVAL = 0xC4
    ESME_RDELIVERYFAILURE = 0xFE
    ESME_RUNKNOWNERR = 0xFF
    ESME_RSERTYPUNAUTH = 0x100
    ESME_RPROHIBITED = 0x101
    ESME_RSERTYPUNAVAIL = 0x102
    ESME_RSERTYPDENIED = 0x103
    ESME_RINVDCS = 0x104
    ESME_RINVSRCADDRSUBUNIT = 0x105
    ESME_RINVDSTADDRSUBUNIT = 0x106
    ESME_RINVBCASTFREQINT = 0x107
    ESME_RINVBCASTALIAS_NAME = 0x108
    ESME_RINVBCASTAREAFMT = 0x109
    ESME_RINVNUMBCAST_AREAS = 0x10A
    ESME_RINVBCASTCNTTYPE = 0x10B
    ESME_RINVBCASTMSGCLASS = 0x10C
    ESME_RBCASTFAIL = 0x10D
    ESME_RBCASTQUERYFAIL = 0x10E
    ESME_RBCASTCANCELFAIL = 0x10F
    ESME_RINVBCAST_REP = 0x110
    ESME_RINVBCASTSRVGRP = 0x111
    ESME_RINVBCASTCHANIND = 0x112


TEMPORARY_STATUSES: Final = frozenset(
    {Status.ESME_RSYSERR, Status.ESME_RMSGQFUL, Status.ESME_RTHROTTLED, Status.ESME_RX_T_APPN}
)
"""Answers to a submit_sm after which the same message may be tried again (Kannel's choice); all others,
known or not, are permanent unless a carrier's own table says otherwise."""

_NAMES: Final = {status.value: status.name for status in Status}
_STATUS_OF_50_FOR_34: Final[dict[int, Status]] = {
    Status.ESME_RSERTYPUNAVAIL: Status.ESME_RSYSERR,  # the one that may pass later
    Status.ESME_RINVDCS: Status.ESME_RSUBMITFAIL,
    Status.ESME_RINVSRCADDRSUBUNIT: Status.ESME_RINVSRCADR,
    Status.ESME_RINVDSTADDRSUBUNIT: Status.ESME_RINVDSTADR,
}


def status_name(status: int) -> str:
    """The standard's name of a command_status, or what is known of it: "vendor 0x4a1", "reserved 0x22"."""
    name = _NAMES.get(status)
    if name is not None:
        return name
    return f"{'vendor' if 0x400 <= status <= 0x4FF else 'reserved'} {status:#x}"


def status_for_peer(status: int, interface_version: int) -> int:
    """`status`, or its nearest 3.4 relative when the peer is older than 5.0 and would not know it."""
    if interface_version >= VERSION_50 or not 0x100 <= status <= 0x3FF:
        return status
    return _STATUS_OF_50_FOR_34.get(status, Status.ESME_RSUBMITFAIL)


def command_name(command_id: int) -> str:
    """ "submit_sm" for 4, or the bare number for a command that SMPP does not have."""
    try:
        return CommandId(command_id).name.lower()
    except ValueError:
        return f"command {command_id:#010x}"


class EsmClass(IntEnum):
    """Masks and values of esm_class (SMPP 3.4 section 5.2.12): compare after masking, bits combine freely."""

    MODE_MASK = 0x03
    MODE_DEFAULT = 0x00
    MODE_DATAGRAM = 0x01
    MODE_FORWARD = 0x02
    MODE_STORE_AND_FORWARD = 0x03
    TYPE_MASK = 0x3C
    RECEIPT = 0x04
    DELIVERY_ACK = 0x08
    USER_ACK = 0x10
    CONVERSATION_ABORT = 0x18
    INTERMEDIATE_NOTIFICATION = 0x20
    UDHI = 0x40
    REPLY_PATH = 0x80


class RegisteredDelivery(IntEnum):
    """Masks and values of registered_delivery (SMPP 3.4 section 5.2.17; SUCCESS_ONLY is 5.0's)."""

    RECEIPT_MASK = 0x03
    NONE = 0x00
    ALWAYS = 0x01
    FAILURE_ONLY = 0x02
    SUCCESS_ONLY = 0x03
    SME_ACK_MASK = 0x0C
    INTERMEDIATE = 0x10


class MessageState(IntEnum):
    """message_state (SMPP 3.4 section 5.2.28; SCHEDULED and SKIPPED are 5.0's)."""

    SCHEDULED = 0
    ENROUTE = 1
    DELIVERED = 2
    EXPIRED = 3
    DELETED = 4
    UNDELIVERABLE = 5
    ACCEPTED = 6
    UNKNOWN = 7
    REJECTED = 8
    SKIPPED = 9


class Ton(IntEnum):
    """Type of number (SMPP 3.4 section 5.2.5)."""

    UNKNOWN = 0
    INTERNATIONAL = 1
    NATIONAL = 2
    NETWORK_SPECIFIC = 3
    SUBSCRIBER_NUMBER = 4
    ALPHANUMERIC = 5
    ABBREVIATED = 6


class Npi(IntEnum):
    """Numbering plan indicator (SMPP 3.4 section 5.2.6)."""

    UNKNOWN = 0
    ISDN = 1
    DATA = 3
    TELEX = 4
    LAND_MOBILE = 6
    NATIONAL = 8
    PRIVATE = 9
    ERMES = 10
    INTERNET = 14
    WAP = 18


class DestFlag(IntEnum):
    """What one entry of submit_multi's dest_address is (SMPP 3.4 section 5.2.25)."""

    SME_ADDRESS = 1
    DISTRIBUTION_LIST = 2


class Tag(IntEnum):
    """TLV tags of SMPP 3.4 and 5.0; their kinds and sizes are in `tlv.TLVS`. 0x1400-0x3FFF is vendors'."""

    DEST_ADDR_SUBUNIT = 0x0005
    DEST_NETWORK_TYPE = 0x0006
    DEST_BEARER_TYPE = 0x0007
    DEST_TELEMATICS_ID = 0x0008
    SOURCE_ADDR_SUBUNIT = 0x000D
    SOURCE_NETWORK_TYPE = 0x000E
    SOURCE_BEARER_TYPE = 0x000F
    SOURCE_TELEMATICS_ID = 0x0010
    QOS_TIME_TO_LIVE = 0x0017
    PAYLOAD_TYPE = 0x0019
    ADDITIONAL_STATUS_INFO_TEXT = 0x001D
    RECEIPTED_MESSAGE_ID = 0x001E
    MS_MSG_WAIT_FACILITIES = 0x0030
    PRIVACY_INDICATOR = 0x0201
    SOURCE_SUBADDRESS = 0x0202
    DEST_SUBADDRESS = 0x0203
    USER_MESSAGE_REFERENCE = 0x0204
    USER_RESPONSE_CODE = 0x0205
    SOURCE_PORT = 0x020A
    DESTINATION_PORT = 0x020B
    SAR_MSG_REF_NUM = 0x020C
    LANGUAGE_INDICATOR = 0x020D
    SAR_TOTAL_SEGMENTS = 0x020E
    SAR_SEGMENT_SEQNUM = 0x020F
    SC_INTERFACE_VERSION = 0x0210
    CALLBACK_NUM_PRES_IND = 0x0302
    CALLBACK_NUM_ATAG = 0x0303
    NUMBER_OF_MESSAGES = 0x0304
    CALLBACK_NUM = 0x0381
    DPF_RESULT = 0x0420
    SET_DPF = 0x0421
    MS_AVAILABILITY_STATUS = 0x0422
    NETWORK_ERROR_CODE = 0x0423
    MESSAGE_PAYLOAD = 0x0424
    DELIVERY_FAILURE_REASON = 0x0425
    MORE_MESSAGES_TO_SEND = 0x0426
    MESSAGE_STATE = 0x0427
    CONGESTION_STATE = 0x0428
    USSD_SERVICE_OP = 0x0501
    BROADCAST_CHANNEL_INDICATOR = 0x0600
    BROADCAST_CONTENT_TYPE = 0x0601
    BROADCAST_CONTENT_TYPE_INFO = 0x0602
    BROADCAST_MESSAGE_CLASS = 0x0603
    BROADCAST_REP_NUM = 0x0604
    BROADCAST_FREQUENCY_INTERVAL = 0x0605
    BROADCAST_AREA_IDENTIFIER = 0x0606
    BROADCAST_ERROR_STATUS = 0x0607
    BROADCAST_AREA_SUCCESS = 0x0608
    BROADCAST_END_TIME = 0x0609
    BROADCAST_SERVICE_GROUP = 0x060A
    BILLING_IDENTIFICATION = 0x060B
    SOURCE_NETWORK_ID = 0x060D
    DEST_NETWORK_ID = 0x060E
    SOURCE_NODE_ID = 0x060F
    DEST_NODE_ID = 0x0610
    DEST_ADDR_NP_RESOLUTION = 0x0611
    DEST_ADDR_NP_INFORMATION = 0x0612
    DEST_ADDR_NP_COUNTRY = 0x0613
    DISPLAY_TIME = 0x1201
    SMS_SIGNAL = 0x1203
    MS_VALIDITY = 0x1204
    ALERT_ON_MESSAGE_DELIVERY = 0x130C
    ITS_REPLY_TYPE = 0x1380
    ITS_SESSION_INFO = 0x1383


VENDOR_TAGS: Final = range(0x1400, 0x4000)
