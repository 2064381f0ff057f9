"""A response tells how a request ended; the body beside its status may be missing, cut or odd."""

import pytest

from gateway.smpp.constants import RESPONSE_BIT, CommandId, Status, Tag
from gateway.smpp.decode import decode_body, decode_pdus
from gateway.smpp.fields import LAYOUTS, Layout
from gateway.smpp.pdu import (
    BadPdu,
    BindReceiverResp,
    BindTransceiverResp,
    BindTransmitterResp,
    DataSmResp,
    DeliverSmResp,
    GenericNack,
    QuerySmResp,
    SubmitMultiResp,
    SubmitSmResp,
    UnsuccessSme,
)
from tests.smpp.octets import ENQUIRE_LINK, frame, tlv

RESPONSES = [layout for layout in LAYOUTS if layout.is_response]
every_response = pytest.mark.parametrize("layout", RESPONSES, ids=[r.command_id.name for r in RESPONSES])

TWO_UNSUCCESS = bytes.fromhex("666F6F7462616C6C 00 02 26 21 426F6231 00 00000013 00 00 426F6232 00 00000014")


def only(octets: bytes) -> object:
    pdu, link = decode_pdus(octets + ENQUIRE_LINK).pdus
    assert link.sequence_number == 0x0A342EE7
    return pdu


@every_response
@pytest.mark.parametrize("status", [0x58, 0x14, 0x22, 0xFF, 0x4A1, 0xDEADBEEF])
def test_an_error_response_without_a_body_keeps_its_raw_status(layout: Layout, status: int) -> None:
    pdu = only(frame(layout.command_id, status=status, sequence_number=3))
    assert pdu == layout.pdu_type(3, status)


@every_response
@pytest.mark.parametrize(
    "body", [b"\0", b"\xff", b"garbage without NUL", b"\0\xff\xff\xff\xff\xff", bytes(50)]
)
def test_an_error_response_with_any_body_keeps_its_status(layout: Layout, body: bytes) -> None:
    pdu = only(frame(layout.command_id, body, status=0x0E, sequence_number=3))
    assert isinstance(pdu, layout.pdu_type)
    assert (pdu.sequence_number, pdu.command_status) == (3, 0x0E)


@every_response
def test_a_good_response_without_a_body_is_taken_unless_the_body_is_the_answer(layout: Layout) -> None:
    pdu = only(frame(layout.command_id, sequence_number=3))
    if layout.pdu_type is QuerySmResp:
        assert isinstance(pdu, BadPdu)
        assert pdu.partial == QuerySmResp(3, 0)
    else:
        assert pdu == layout.pdu_type(3, 0)


@pytest.mark.parametrize(
    ("octets", "pdu"),
    [
        ("00000019 80000004 0000000A 00000002 303030303030303000", SubmitSmResp(2, 0x0A, b"00000000")),
        (
            "00000021 80000004 0000000B 00000002 30413030303030304133443332334131 00",
            SubmitSmResp(2, 0x0B, b"0A000000A3D323A1"),
        ),
        ("00000011 80000004 00000000 0A342EE1 39", SubmitSmResp(0x0A342EE1, 0, b"9")),
        ("00000010 80000004 00000000 0A342EE1", SubmitSmResp(0x0A342EE1)),
        ("00000011 80000004 00000000 0A342EE1 00", SubmitSmResp(0x0A342EE1)),
        ("00000010 80000004 00000058 00000001", SubmitSmResp(1, 0x58)),
        ("00000011 80000005 00000000 806A179B 00", DeliverSmResp(0x806A179B)),
        ("00000010 80000005 00000000 00116AC7", DeliverSmResp(0x00116AC7)),
        (
            "0000001C 80000005 00000000 00116AC7 393432353834333135393400",
            DeliverSmResp(0x116AC7, 0, b"94258431594"),
        ),
        ("00000015 80000009 0000000E 00004DB3 534D5343 00", BindTransceiverResp(0x4DB3, 0x0E, b"SMSC")),
        ("00000011 80000002 0000000D 00000001 00", BindTransmitterResp(1, 0x0D)),
        ("00000011 80000002 00000000 00000001 00", BindTransmitterResp(1)),
        ("00000010 80000009 0000000E 00000D80", BindTransceiverResp(0x0D80, 0x0E)),
        ("00000010 80000000 00000003 00000002", GenericNack(2, 3)),
        ("00000010 80000000 00000008 00000000", GenericNack(0, 8)),
        ("00000010 80000021 00000058 00000001", SubmitMultiResp(1, 0x58)),
        ("00000014 80000003 00000000 00000002 00 00 02 00", QuerySmResp(2, 0, b"", b"", 2, 0)),
        (
            "00000019 80000003 00000000 00004FE8 3132333435 00 00 06 00",
            QuerySmResp(0x4FE8, 0, b"12345", b"", 6, 0),
        ),
    ],
)
def test_responses_seen_in_the_field_are_read(octets: str, pdu: object) -> None:
    assert only(bytes.fromhex(octets)) == pdu


def test_an_error_with_a_body_and_tlvs_is_read() -> None:
    body = b"7\0" + tlv(Tag.ADDITIONAL_STATUS_INFO_TEXT, b"no route\0")
    assert only(frame(CommandId.SUBMIT_SM_RESP, body, status=0x0B)) == SubmitSmResp(
        1, 0x0B, b"7", ((Tag.ADDITIONAL_STATUS_INFO_TEXT, b"no route\0"),)
    )


@pytest.mark.parametrize("tail", ["02", "0210", "021000", "02100001", "0210ffff34", "1403000531"])
def test_a_broken_tlv_tail_of_a_response_is_ignored(tail: str) -> None:
    body = b"TSI7588\0" + tlv(0x1002, b"4") + bytes.fromhex(tail)
    assert only(frame(CommandId.BIND_TRANSCEIVER_RESP, body)) == BindTransceiverResp(
        1, 0, b"TSI7588", ((0x1002, b"4"),)
    )


def test_a_vendor_tlv_in_a_bind_resp_is_kept() -> None:
    octets = bytes.fromhex("0000001C 80000009 00000000 00000001 59656E746131 00 1002 0001 34")
    assert only(octets) == BindTransceiverResp(1, 0, b"Yenta1", ((0x1002, b"4"),))


def test_a_long_message_id_is_read() -> None:
    for octets in (64, 65, 300):
        assert only(frame(CommandId.SUBMIT_SM_RESP, b"i" * octets + b"\0")) == SubmitSmResp(
            1, 0, b"i" * octets
        )
        assert only(frame(CommandId.DATA_SM_RESP, b"i" * octets)) == DataSmResp(1, 0, b"i" * octets)


def test_unsuccess_entries_are_read() -> None:
    assert decode_body(CommandId.SUBMIT_MULTI_RESP, TWO_UNSUCCESS, 0x0D) == SubmitMultiResp(
        0x0D, 0, b"football", (UnsuccessSme(0x26, 0x21, b"Bob1", 0x13), UnsuccessSme(0, 0, b"Bob2", 0x14))
    )
    assert decode_body(CommandId.SUBMIT_MULTI_RESP, b"7\0\0") == SubmitMultiResp(0, 0, b"7", ())
    assert decode_body(CommandId.SUBMIT_MULTI_RESP, b"7\0") == SubmitMultiResp(0, 0, b"7", ())


def test_unsuccess_entries_before_a_cut_are_kept() -> None:
    first = (UnsuccessSme(0x26, 0x21, b"Bob1", 0x13),)
    for cut in range(21, len(TWO_UNSUCCESS)):
        bad = decode_body(CommandId.SUBMIT_MULTI_RESP, TWO_UNSUCCESS[:cut])
        assert isinstance(bad, BadPdu)
        assert bad.partial == SubmitMultiResp(0, 0, b"football", first)
        failed = decode_body(CommandId.SUBMIT_MULTI_RESP, TWO_UNSUCCESS[:cut], 0, 0x45)
        assert failed == SubmitMultiResp(0, 0x45, b"football", first)


def test_a_final_date_of_twelve_characters_is_read() -> None:
    pdu = decode_body(CommandId.QUERY_SM_RESP, b"7\0" + b"261122153000\0" + b"\2\0")
    assert pdu == QuerySmResp(0, 0, b"7", b"261122153000", 2, 0)


@pytest.mark.parametrize("cut", range(4))
def test_a_cut_query_answer_is_bad_and_keeps_what_was_read(cut: int) -> None:
    bad = decode_body(CommandId.QUERY_SM_RESP, b"7\0\0\2"[:cut], 4)
    assert isinstance(bad, BadPdu)
    assert bad.command_id & RESPONSE_BIT
    assert isinstance(bad.partial, QuerySmResp)
    assert bad.partial.message_id == b"7"[:cut]
    assert bad.answer_status == Status.ESME_RINVCMDLEN


@pytest.mark.parametrize("command_id", [0x80000001, 0x80000002, 0x80000009])
def test_a_bind_resp_with_its_version_is_read(command_id: int) -> None:
    types = {0x80000001: BindReceiverResp, 0x80000002: BindTransmitterResp, 0x80000009: BindTransceiverResp}
    pdu = only(frame(command_id, b"SMSC\0" + tlv(Tag.SC_INTERFACE_VERSION, b"\x34")))
    assert pdu == types[command_id](1, 0, b"SMSC", ((Tag.SC_INTERFACE_VERSION, b"\x34"),))
