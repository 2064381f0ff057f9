"""Where PDUs begin and end in a stream, and what happens when that is lost."""

import tracemalloc

import pytest

from gateway.smpp.constants import CommandId, Status
from gateway.smpp.decode import decode_pdus
from gateway.smpp.encode import error_response
from gateway.smpp.pdu import (
    BadPdu,
    Decoded,
    EnquireLink,
    EnquireLinkResp,
    FramingLost,
    QuerySm,
    SubmitSm,
    SubmitSmResp,
    Unbind,
)
from tests.smpp.octets import ENQUIRE_LINK, frame, message


@pytest.mark.parametrize("length", [0, 1, 4, 8, 12, 15])
def test_a_length_below_the_header_loses_framing(length: int) -> None:
    octets = length.to_bytes(4, "big") + bytes.fromhex("00000015 00000000 00000001")
    assert decode_pdus(octets) == Decoded([], 0, FramingLost(length))


def test_the_answer_to_lost_framing_is_a_nack_with_sequence_zero() -> None:
    nack = error_response(CommandId.GENERIC_NACK, Status.ESME_RINVCMDLEN, 0)
    assert nack == bytes.fromhex("00000010 80000000 00000002 00000000")


@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x7FFFFFFF, 0xF0000011, 0x3800000F])
def test_a_huge_length_is_judged_after_four_octets_and_costs_no_memory(length: int) -> None:
    octets = length.to_bytes(4, "big") + bytes.fromhex("00000015 00000000 00000001")
    tracemalloc.start()
    try:
        for size in (4, 7, 15, 16):
            assert decode_pdus(octets[:size]) == Decoded([], 0, FramingLost(length))
        assert tracemalloc.get_traced_memory()[1] < 10_000
    finally:
        tracemalloc.stop()


def test_a_bad_length_is_judged_after_four_octets_behind_good_pdus_too() -> None:
    for tail in (b"\0\0\0\x0f", b"\0\0\0\x0f\0", b"\0\0\0\x0f" + bytes(12)):
        assert decode_pdus(ENQUIRE_LINK * 2 + tail) == Decoded(
            [EnquireLink(0x0A342EE7)] * 2, 32, FramingLost(15)
        )


def test_the_limit_is_configurable_and_64_kib_fits_the_default() -> None:
    octets = bytes.fromhex("00010001 00000004 00000000 00000001")
    assert decode_pdus(octets) == Decoded([], 0)
    assert decode_pdus(octets, octets_max=65_536) == Decoded([], 0, FramingLost(65_537))


def test_a_pdu_of_exactly_the_limit_is_taken_and_one_more_octet_is_not() -> None:
    octets = frame(CommandId.ENQUIRE_LINK, bytes(84))
    assert decode_pdus(octets, octets_max=100) == Decoded([EnquireLink(1)], 100)
    assert decode_pdus(octets, octets_max=99) == Decoded([], 0, FramingLost(100))


@pytest.mark.parametrize(
    ("octets", "protocol"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP"),
        (b"POST /submit HTTP/1.1\r\n", "HTTP"),
        (bytes.fromhex("16030100c8010000c40303"), "TLS"),
        (bytes.fromhex("0300002f2ae00000000000"), "RDP"),
        (b"AMQP\0\0\x09\1", "AMQP"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 5 6\r\n", "PROXY"),
        (b"\r\n\r\n\0\r\nQUIT\n", "PROXY"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
        (b"\xff\xff\xff\xff", ""),
    ],
)
def test_another_protocol_on_the_port_is_named(octets: bytes, protocol: str) -> None:
    for size in (4, len(octets)):
        decoded = decode_pdus(octets[:size])
        assert decoded.framing_lost is not None
        assert decoded.framing_lost.looks_like == protocol


@pytest.mark.parametrize("size", range(4))
def test_fewer_than_four_octets_wait(size: int) -> None:
    assert decode_pdus(b"\0\0\0\x10"[:size]) == Decoded([], 0)


def test_fifteen_octets_of_an_enquire_link_wait_for_the_sixteenth() -> None:
    buffer = bytearray(ENQUIRE_LINK[:15])
    assert decode_pdus(buffer) == Decoded([], 0)
    buffer += ENQUIRE_LINK[15:]
    assert decode_pdus(buffer) == Decoded([EnquireLink(0x0A342EE7)], 16)


def test_two_and_a_half_pdus_give_two_and_keep_the_rest() -> None:
    octets = frame(CommandId.SUBMIT_SM, message(), sequence_number=7)
    decoded = decode_pdus(octets + ENQUIRE_LINK + octets[:40])
    assert [type(pdu) for pdu in decoded.pdus] == [SubmitSm, EnquireLink]
    assert decoded.octets_consumed == len(octets) + 16
    assert decoded.framing_lost is None


def test_ten_pdus_in_one_segment_come_in_order() -> None:
    octets = b"".join(frame(CommandId.SUBMIT_SM, message(), sequence_number=n) for n in range(1, 11))
    assert [pdu.sequence_number for pdu in decode_pdus(octets).pdus] == list(range(1, 11))


def test_an_unknown_request_is_to_be_nacked_with_its_own_sequence_number() -> None:
    (bad,) = decode_pdus(bytes.fromhex("00000010 00000110 00000000 0A342EE7")).pdus
    assert isinstance(bad, BadPdu)
    nack = error_response(CommandId.GENERIC_NACK, bad.answer_status, bad.sequence_number)
    assert nack == bytes.fromhex("00000010 80000000 00000003 0A342EE7")


def test_an_unknown_request_with_a_body_is_skipped_whole() -> None:
    bad, link = decode_pdus(bytes.fromhex("00000011 00000110 00000000 0A342EE7 0F") + ENQUIRE_LINK).pdus
    assert isinstance(bad, BadPdu)
    assert link == EnquireLink(0x0A342EE7)


@pytest.mark.parametrize("command_id", [0x80000110, 0x80003302, 0xFFFFFFFF])
def test_an_unknown_response_is_a_value_that_the_owner_drops(command_id: int) -> None:
    (bad,) = decode_pdus(frame(command_id, b"other octets")).pdus
    assert isinstance(bad, BadPdu)
    assert bad.command_id == command_id
    assert bad.partial is None


@pytest.mark.parametrize("command_id", [0x00010200, 0x01000001, 0x111, 0x112, 0x113, 0, 0x1FF])
def test_vendor_broadcast_and_reserved_requests_are_not_served(command_id: int) -> None:
    bad, link = decode_pdus(frame(command_id, b"\0\0\0", sequence_number=9) + ENQUIRE_LINK).pdus
    assert isinstance(bad, BadPdu)
    assert (bad.answer_status, bad.sequence_number) == (Status.ESME_RINVCMDID, 9)
    assert link == EnquireLink(0x0A342EE7)


def test_a_body_where_none_belongs_is_ignored() -> None:
    octets = frame(CommandId.ENQUIRE_LINK, b"\xff") + frame(CommandId.UNBIND, b"\xff")
    octets += frame(CommandId.ENQUIRE_LINK_RESP, b"\0")
    assert decode_pdus(octets).pdus == [EnquireLink(1), Unbind(1), EnquireLinkResp(1)]


def test_a_pdu_that_claims_one_octet_too_many_takes_it_from_the_next_and_never_stalls() -> None:
    short_by_one = bytes.fromhex("0000001E 00000003 00000000 00000001 61776179 00 1C1D 416C69636572")
    assert decode_pdus(short_by_one) == Decoded([], 0)
    decoded = decode_pdus(short_by_one + ENQUIRE_LINK)
    assert decoded == Decoded([QuerySm(1, 0, b"away", 0x1C, 0x1D, b"Alicer")], 30)
    # From here each length reads 0x1000 and each command 0x1500: refused one by one as traffic goes on.
    decoded = decode_pdus(short_by_one + ENQUIRE_LINK * 600)
    assert decoded.octets_consumed == 30 + 2 * 0x1000
    for bad in decoded.pdus[1:]:
        assert isinstance(bad, BadPdu)
        assert (bad.command_id, bad.answer_status) == (0x1500, Status.ESME_RINVCMDID)


def test_a_stray_nul_between_pdus_costs_framing_but_not_the_status_before_it() -> None:
    octets = bytes.fromhex("00000020 80000004 0000000B 00000002") + b"0A000000A3D323A1" + b"\0"
    decoded = decode_pdus(octets + frame(CommandId.ENQUIRE_LINK, sequence_number=0x01000000))
    assert decoded.pdus == [SubmitSmResp(2, 0x0B, b"0A000000A3D323A1")]
    # the stray NUL shifts the next length from 0x10 to 0x00000000
    assert decoded == Decoded(decoded.pdus, 32, FramingLost(0))


def test_a_declared_length_that_never_comes_is_incomplete() -> None:
    octets = bytes.fromhex("000000fd 80000009 00000000 00000001 54534937353838 00 0210000134")
    assert decode_pdus(octets) == Decoded([], 0)


def test_bytes_and_bytearray_give_the_same_and_fields_are_bytes() -> None:
    octets = frame(CommandId.SUBMIT_SM, message())
    decoded = decode_pdus(bytearray(octets))
    assert decoded == decode_pdus(octets)
    (pdu,) = decoded.pdus
    assert isinstance(pdu, SubmitSm)
    assert type(pdu.short_message) is bytes


@pytest.mark.parametrize("sequence_number", [0, 0x80000000, 0xA2859F22, 0x806A179B, 0xFFFFFFFF])
def test_any_sequence_number_is_taken_and_echoed(sequence_number: int) -> None:
    (pdu,) = decode_pdus(frame(CommandId.DELIVER_SM, message(), sequence_number=sequence_number)).pdus
    assert pdu.sequence_number == sequence_number
    answer = error_response(CommandId.DELIVER_SM_RESP, 0, pdu.sequence_number)
    assert answer[12:] == sequence_number.to_bytes(4, "big")


def test_two_requests_with_one_sequence_number_are_two_pdus() -> None:
    octets = frame(CommandId.SUBMIT_SM, message(), sequence_number=5)
    assert [pdu.sequence_number for pdu in decode_pdus(octets * 2).pdus] == [5, 5]
