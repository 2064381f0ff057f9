"""User data headers, SAR TLVs and message_payload: three ways to say which part a message is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.smpp.pdu import DataSm, DeliverSm, SubmitSm
from gateway.smpp.segments import (
    Concat,
    build_concat_udh,
    parse_udh,
    sar_concat,
    sar_tlvs,
    segment_of,
    to_sar,
    to_udh,
)


def udh(octets: str) -> bytes:
    return bytes.fromhex(octets)


@pytest.mark.parametrize(
    ("octets", "concat"),
    [
        ("050003D20201", Concat(0xD2, 2, 1, 8)),
        ("060804D2020201", Concat(0xD202, 2, 1, 16)),
        ("0F 0203FFFFFF 0201FF 0003240301 0200", Concat(0x24, 3, 1, 8)),  # unknown elements around it
        ("0B 0003240301 08049CFA0302", Concat(0x9CFA, 3, 2, 16)),  # both: the last one
        ("0B 08049CFA0302 0003240301", Concat(0x24, 3, 1, 8)),
        ("0A 0003240301 0003250302", Concat(0x25, 3, 2, 8)),  # twice: the last one
        ("0A 0003240301 0003250300", Concat(0x24, 3, 1, 8)),  # the last one that makes sense
        ("05 0002FA0302", None),  # of a wrong length
        ("05 0803FA0201", None),
        ("05 0003240001", None),  # of no parts
        ("05 0003240300", None),  # part 0
        ("05 0003240304", None),  # part 4 of 3
    ],
)
def test_concatenation_is_found_among_other_elements(octets: str, concat: Concat | None) -> None:
    header = udh(octets)
    parsed = parse_udh(header + b"text")
    assert parsed is not None
    assert parsed.concat == concat
    assert parsed.octets == header[0] + 1


@pytest.mark.parametrize("payload", [b"", b"test222", b"\xff", b"\x05\0\3\1\1", b"\1", b"test222" * 30])
def test_a_header_that_cannot_be_one_is_opaque_text(payload: bytes) -> None:
    assert parse_udh(payload) is None
    segment = segment_of(SubmitSm(esm_class=0x40, short_message=payload))
    assert (segment.text, segment.concat, segment.udh) == (payload, None, None)


def test_an_empty_header_is_a_header() -> None:
    parsed = parse_udh(b"\0text")
    assert parsed is not None
    assert (parsed.octets, parsed.elements) == (1, ())


def test_an_overrunning_last_element_voids_the_elements_but_not_the_text() -> None:
    segment = segment_of(DeliverSm(esm_class=0x40, short_message=udh("0700032403010103") + b"hello"))
    assert segment.udh is not None
    assert (segment.udh.elements, segment.concat, segment.text) == ((), None, b"hello")


def test_national_tables_and_ports_are_read() -> None:
    parsed = parse_udh(udh("0C 240101 250103 050423F40000") + b"text")
    assert parsed is not None
    assert (parsed.single, parsed.locking, parsed.ports) == (1, 3, (0x23F4, 0))
    parsed = parse_udh(udh("0A 240163 250102 0402 1020") + b"x")
    assert parsed is not None
    assert (parsed.single, parsed.locking, parsed.ports) == (0, 0, (0x10, 0x20))


def test_sim_toolkit_elements_are_kept_as_they_are() -> None:
    parsed = parse_udh(udh("027000 00281516"))
    assert parsed is not None
    assert parsed.elements == ((0x70, b""),)


@given(st.integers(0, 0xFFFF), st.integers(1, 255), st.data())
def test_what_we_build_we_read(ref: int, total: int, data: st.DataObject) -> None:
    seq = data.draw(st.integers(1, total))
    for bits, mask in ((8, 0xFF), (16, 0xFFFF)):
        parsed = parse_udh(build_concat_udh(ref, total, seq, bits=bits) + b"x")
        assert parsed is not None
        assert parsed.concat == Concat(ref & mask, total, seq, bits)


@pytest.mark.parametrize(("total", "seq"), [(256, 1), (2, 3), (0, 0), (3, 0)])
def test_impossible_parts_are_not_written(total: int, seq: int) -> None:
    with pytest.raises(ValueError, match=f"part {seq} of {total}"):
        build_concat_udh(1, total, seq)


@given(st.binary(max_size=400))
def test_any_octets_parse(payload: bytes) -> None:
    parsed = parse_udh(payload)
    assert parsed is None or 1 <= parsed.octets <= len(payload)
    assert parsed is None or all(len(value) < parsed.octets for _, value in parsed.elements)


SAR = ((0x020C, b"\x01\x23"), (0x020E, b"\3"), (0x020F, b"\2"))


def test_sar_tlvs_say_the_same_as_a_header() -> None:
    assert sar_concat(SAR) == Concat(0x123, 3, 2, 16)
    assert sar_concat(sar_tlvs(Concat(7, 3, 2))) == Concat(7, 3, 2, 16)
    assert segment_of(DeliverSm(short_message=b"b", tlvs=SAR)).concat == Concat(0x123, 3, 2, 16)


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_an_incomplete_sar_trio_is_ignored(missing: int) -> None:
    tlvs = tuple(tlv for index, tlv in enumerate(SAR) if index != missing)
    assert segment_of(DeliverSm(short_message=b"b", tlvs=tlvs)).concat is None


@pytest.mark.parametrize(("total", "seq"), [(2, 3), (0, 0), (3, 0)])
def test_impossible_sar_numbers_are_ignored(total: int, seq: int) -> None:
    assert sar_concat(((0x020C, b"\0\1"), (0x020E, bytes((total,))), (0x020F, bytes((seq,))))) is None


def test_a_header_wins_over_sar() -> None:
    segment = segment_of(DeliverSm(esm_class=0x40, short_message=udh("050003440401") + b"a", tlvs=SAR))
    assert (segment.concat, segment.text) == (Concat(0x44, 4, 1, 8), b"a")


def test_the_header_may_stand_in_message_payload() -> None:
    tlvs = ((0x0424, udh("050003440401") + b"a"),)
    for pdu in (DeliverSm(esm_class=0x40, tlvs=tlvs), DataSm(esm_class=0x40, tlvs=tlvs)):
        assert segment_of(pdu).concat == Concat(0x44, 4, 1, 8)
        assert segment_of(pdu).text == b"a"


def test_sar_becomes_a_header_for_a_carrier_without_sar_and_back() -> None:
    concat = sar_concat(SAR)
    assert concat is not None
    payload = to_udh(b"text", concat)
    assert payload == udh("050003230302") + b"text"  # the low octet of the reference
    assert to_udh(b"text", concat, bits=16) == udh("06080401230302") + b"text"
    assert to_sar(payload) == (b"text", ((0x020C, b"\0\x23"), (0x020E, b"\3"), (0x020F, b"\2")))
    assert to_sar(to_udh(b"text", concat, bits=16)) == (b"text", SAR)


@pytest.mark.parametrize(
    "payload",
    [b"plain", udh("03240101") + b"x", udh("080003230302 240101") + b"x", udh("0B0003230302050423F40000")],
)
def test_what_has_no_sar_form_stays_a_header(payload: bytes) -> None:
    assert to_sar(payload) is None
