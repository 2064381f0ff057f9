from gateway.smpp.constants import (
    PDU_OCTETS_MAX,
    RESPONSE_BIT,
    TEMPORARY_STATUSES,
    CommandId,
    MessageState,
    Npi,
    Status,
    Tag,
    Ton,
    command_name,
    status_for_peer,
    status_name,
)

# Typed from the standards' tables, not from ours: number and name without ESME_.
STATUS_TABLE = """
00 ROK  01 RINVMSGLEN  02 RINVCMDLEN  03 RINVCMDID  04 RINVBNDSTS  05 RALYBND  06 RINVPRTFLG
07 RINVREGDLVFLG  08 RSYSERR  0A RINVSRCADR  0B RINVDSTADR  0C RINVMSGID  0D RBINDFAIL  0E RINVPASWD
0F RINVSYSID  11 RCANCELFAIL  13 RREPLACEFAIL  14 RMSGQFUL  15 RINVSERTYP  33 RINVNUMDESTS
34 RINVDLNAME  40 RINVDESTFLAG  42 RINVSUBREP  43 RINVESMCLASS  44 RCNTSUBDL  45 RSUBMITFAIL
48 RINVSRCTON  49 RINVSRCNPI  50 RINVDSTTON  51 RINVDSTNPI  53 RINVSYSTYP  54 RINVREPFLAG
55 RINVNUMMSGS  58 RTHROTTLED  61 RINVSCHED  62 RINVEXPIRY  63 RINVDFTMSGID  64 RX_T_APPN
65 RX_P_APPN  66 RX_R_APPN  67 RQUERYFAIL  C0 RINVTLVSTREAM  C1 RTLVNOTALLWD  C2 RINVTLVLEN
C3 RMISSINGTLV  C4 RINVTLVVAL  FE RDELIVERYFAILURE  FF RUNKNOWNERR  100 RSERTYPUNAUTH
101 RPROHIBITED  102 RSERTYPUNAVAIL  103 RSERTYPDENIED  104 RINVDCS  105 RINVSRCADDRSUBUNIT
106 RINVDSTADDRSUBUNIT  107 RINVBCASTFREQINT  108 RINVBCASTALIAS_NAME  109 RINVBCASTAREAFMT
10A RINVNUMBCAST_AREAS  10B RINVBCASTCNTTYPE  10C RINVBCASTMSGCLASS  10D RBCASTFAIL
10E RBCASTQUERYFAIL  10F RBCASTCANCELFAIL  110 RINVBCAST_REP  111 RINVBCASTSRVGRP
112 RINVBCASTCHANIND
"""


def test_statuses_have_the_standards_numbers() -> None:
    cells = STATUS_TABLE.split()
    expected = {"ESME_" + name: int(value, 16) for value, name in zip(cells[::2], cells[1::2], strict=True)}
    assert {name: int(status) for name, status in Status.__members__.items()} == expected


def test_no_number_has_two_names() -> None:
    for table in (CommandId, Status, Tag, MessageState, Ton, Npi):
        assert len(table) == len(table.__members__), table


def test_every_response_has_its_request_but_the_nack() -> None:
    responses = {command for command in CommandId if command & RESPONSE_BIT}
    without_request = {command for command in responses if command & ~RESPONSE_BIT not in set(CommandId)}
    assert without_request == {CommandId.GENERIC_NACK}
    unanswered = {
        command for command in CommandId if command < RESPONSE_BIT and command | RESPONSE_BIT not in responses
    }
    assert unanswered == {CommandId.OUTBIND, CommandId.ALERT_NOTIFICATION}


def test_a_status_has_its_standard_name_and_an_unknown_one_its_number() -> None:
    assert status_name(0x58) == "ESME_RTHROTTLED"
    assert status_name(Status.ESME_RINVDSTTON) == "ESME_RINVDSTTON"
    assert status_name(0x22) == "reserved 0x22"
    assert status_name(0x4A1) == "vendor 0x4a1"
    assert status_name(0xDEADBEEF) == "reserved 0xdeadbeef"


def test_temporary_are_only_what_may_pass_later() -> None:
    assert {0x08, 0x14, 0x58, 0x64} == TEMPORARY_STATUSES
    assert 0x45 not in TEMPORARY_STATUSES
    assert 0xDEADBEEF not in TEMPORARY_STATUSES


def test_a_34_peer_never_sees_a_status_of_50() -> None:
    for status in Status:
        for version in (0x00, 0x33, 0x34):
            assert status_for_peer(status, version) < 0x100
            assert status_for_peer(status, version) != Status.ESME_ROK or status == Status.ESME_ROK
        assert status_for_peer(status, 0x50) == status
    assert status_for_peer(Status.ESME_RTHROTTLED, 0x34) == Status.ESME_RTHROTTLED
    assert status_for_peer(0x3FF, 0x34) == Status.ESME_RSUBMITFAIL
    assert status_for_peer(0x4A1, 0x34) == 0x4A1


def test_a_command_is_named_as_in_the_standard() -> None:
    assert command_name(4) == "submit_sm"
    assert command_name(0x80000103) == "data_sm_resp"
    assert command_name(0x01000001) == "command 0x01000001"


def test_the_default_limit_holds_the_largest_payload() -> None:
    assert PDU_OCTETS_MAX > 16 + 4 + 65_535 + 300
