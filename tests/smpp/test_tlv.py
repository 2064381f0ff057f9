import pytest

from gateway.smpp.constants import TLVS_MAX, VENDOR_TAGS, Tag
from gateway.smpp.tlv import (
    REPEATABLE,
    TLVS,
    NetworkError,
    Sar,
    TlvKind,
    pack_tlvs,
    read_tlvs,
    tlv_all,
    tlv_cstring,
    tlv_get,
    tlv_int,
    tlv_network_error,
    tlv_sar,
)
from tests.smpp.octets import tlv

SAR_TRIO = ((Tag.SAR_MSG_REF_NUM, b"\1\2"), (Tag.SAR_TOTAL_SEGMENTS, b"\3"), (Tag.SAR_SEGMENT_SEQNUM, b"\2"))


def test_the_table_has_every_tag_once_and_sizes_that_make_sense() -> None:
    assert set(TLVS) == set(Tag)
    for tag, rule in TLVS.items():
        assert rule.tag == tag
        assert 0 <= rule.octets_min <= rule.octets_max <= 65_535
        if rule.kind is TlvKind.INTEGER:
            assert rule.octets_max in (1, 2, 4)
        assert tag not in VENDOR_TAGS
    assert not REPEATABLE - set(TLVS)


def test_only_50_are_congestion_state_and_the_broadcast_and_network_tags() -> None:
    only_50 = {tag for tag, rule in TLVS.items() if rule.only_50}
    assert only_50 == {Tag.CONGESTION_STATE} | {tag for tag in Tag if 0x0600 <= tag <= 0x06FF}


def test_the_walk_gives_the_tlvs_in_wire_order_and_keeps_unknown_ones() -> None:
    octets = tlv(0x0424, b"text") + tlv(0x1403, b"12345") + tlv(0x130C, b"")
    stream = read_tlvs(b"??" + octets + b"!!", 2, 2 + len(octets))
    assert stream.tlvs == ((0x0424, b"text"), (0x1403, b"12345"), (0x130C, b""))
    assert stream.fault == ""


@pytest.mark.parametrize("tail", [b"\0", b"\2\x10", b"\2\x10\0"])
def test_one_to_three_octets_after_the_last_tlv_are_a_fault(tail: bytes) -> None:
    octets = tlv(0x0210, b"\x34") + tail
    stream = read_tlvs(octets, 0, len(octets))
    assert stream.tlvs == ((0x0210, b"\x34"),)
    assert str(len(tail)) in stream.fault
    assert stream.faulty_tag is None


@pytest.mark.parametrize("claimed", [6, 0x8000, 0xFFFF])
def test_a_length_beyond_the_end_is_a_fault_and_unsigned(claimed: int) -> None:
    octets = tlv(0x0427, b"\2") + tlv(0x0424, b"12345", claimed)
    stream = read_tlvs(octets, 0, len(octets))
    assert stream.tlvs == ((0x0427, b"\2"),)
    assert str(claimed) in stream.fault
    assert stream.faulty_tag == 0x0424


def test_the_walk_stops_at_its_limit() -> None:
    octets = tlv(0x1400, b"") * TLVS_MAX
    assert read_tlvs(octets, 0, len(octets)).fault == ""
    octets += tlv(0x1400, b"")
    stream = read_tlvs(octets, 0, len(octets))
    assert len(stream.tlvs) == TLVS_MAX
    assert str(TLVS_MAX) in stream.fault


def test_of_a_tag_sent_twice_the_first_counts() -> None:
    tlvs = ((Tag.USER_MESSAGE_REFERENCE, b"\0\1"), (Tag.USER_MESSAGE_REFERENCE, b"\0\2"))
    assert tlv_get(tlvs, Tag.USER_MESSAGE_REFERENCE) == b"\0\1"
    assert tlv_int(tlvs, Tag.USER_MESSAGE_REFERENCE) == 1


def test_repeated_callback_numbers_keep_their_order() -> None:
    tlvs = tuple((Tag.CALLBACK_NUM, b"\1\1\1%d" % n) for n in range(3))
    tlvs += tuple((Tag.CALLBACK_NUM_PRES_IND, b"%c" % n) for n in range(3))
    assert tlv_all(tlvs, Tag.CALLBACK_NUM) == [b"\1\1\0010", b"\1\1\0011", b"\1\1\0012"]
    assert tlv_all(tlvs, Tag.CALLBACK_NUM_PRES_IND) == [b"\0", b"\1", b"\2"]
    assert tlv_all(tlvs, Tag.CALLBACK_NUM_ATAG) == []


@pytest.mark.parametrize(
    ("value", "read"),
    [(b"\7", 7), (b"\0\7", 7), (b"\1\2\3\4", 0x01020304), (b"", None), (b"\0" * 9, None)],
)
def test_an_integer_is_read_from_whatever_size_was_sent(value: bytes, read: int | None) -> None:
    assert tlv_int(((Tag.USER_MESSAGE_REFERENCE, value),), Tag.USER_MESSAGE_REFERENCE) == read
    assert tlv_int((), Tag.USER_MESSAGE_REFERENCE) is None


@pytest.mark.parametrize("text", [b"38601fa", b"x" * 64, b"x" * 80, b""])
def test_receipted_message_id_is_read_with_and_without_its_nul(text: bytes) -> None:
    for value in (text, text + b"\0", text + b"\0\0"):
        assert tlv_cstring(((Tag.RECEIPTED_MESSAGE_ID, value),), Tag.RECEIPTED_MESSAGE_ID) == text
    assert tlv_cstring((), Tag.RECEIPTED_MESSAGE_ID) is None


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (b"000", NetworkError(0, 0)),
        (b"027", NetworkError(0, 27)),
        (b"\3\0\0", NetworkError(3, 0)),
        (b"\3\1\2", NetworkError(3, 0x0102)),
        (b"03", None),
        (b"", None),
    ],
)
def test_network_error_code_is_read_in_both_forms(value: bytes, read: NetworkError | None) -> None:
    assert tlv_network_error(((Tag.NETWORK_ERROR_CODE, value),)) == read


def test_sar_needs_all_three() -> None:
    assert tlv_sar(SAR_TRIO) == Sar(reference=0x0102, total=3, segment=2)
    for missing in SAR_TRIO:
        assert tlv_sar(tuple(each for each in SAR_TRIO if each != missing)) is None


@pytest.mark.parametrize(
    ("total", "segment"), [(b"\2", b"\3"), (b"\0", b"\0"), (b"\2", b"\0"), (b"\1\0", b"\1")]
)
def test_sar_that_makes_no_sense_is_ignored(total: bytes, segment: bytes) -> None:
    tlvs = (SAR_TRIO[0], (Tag.SAR_TOTAL_SEGMENTS, total), (Tag.SAR_SEGMENT_SEQNUM, segment))
    assert tlv_sar(tlvs) is None


def test_packed_tlvs_are_tag_length_value() -> None:
    assert pack_tlvs(((0x0210, b"\x34"), (0x130C, b""))).hex() == "0210000134130c0000"
    with pytest.raises(OverflowError):
        pack_tlvs(((0x0424, b"x" * 65_536),))
