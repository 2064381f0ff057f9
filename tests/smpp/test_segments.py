"""How many parts a text takes and where it is cut."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.smpp.gsm import DEFAULT_CHARACTERS, EXTENSION_CHARACTERS
from gateway.smpp.segments import (
    CannotSplit,
    Concat,
    count_parts,
    count_segments,
    parse_udh,
    part_octets_max,
    segment,
    segment_info,
    split,
)
from gateway.smpp.text import choose_coding, decode_text, encode_text
from tests.smpp.growth import assert_linear


@pytest.mark.parametrize(
    ("udh_octets", "septets", "octets", "units"),
    [
        (0, 160, 140, 70),
        (4, 155, 136, 68),  # one national shift
        (6, 153, 134, 67),  # 8-bit reference
        (7, 152, 133, 66),  # 16-bit reference; 16-bit ports; both shifts
        (9, 149, 131, 65),  # 8-bit reference and a shift
        (10, 148, 130, 65),  # 16-bit reference and a shift
        (12, 146, 128, 64),  # 8-bit reference and ports, or both shifts
    ],
)
def test_room_in_a_part_beside_a_header(udh_octets: int, septets: int, octets: int, units: int) -> None:
    assert part_octets_max("gsm", udh_octets) == septets
    assert part_octets_max("octets", udh_octets) == octets
    assert part_octets_max("ucs2", udh_octets) == 2 * units


@pytest.mark.parametrize(
    ("text", "units_per_part"),
    [
        ("", [0]),
        ("a" * 160, [160]),
        ("a" * 161, [153, 8]),
        ("a" * 306, [153, 153]),
        ("a" * 307, [153, 153, 1]),
        ("я" * 70, [70]),
        ("я" * 71, [67, 4]),
        ("€" * 80, [160]),
        ("€" * 81, [152, 10]),
        ("a" * 152 + "€" + "a" * 152, [152, 153, 1]),
        ("a" * 151 + "€" + "a" * 153, [153, 153]),
        ("я" * 66 + "\U0001f600" + "я" * 66, [66, 67, 1]),
        ("\U0001f600" * 35, [70]),
        ("\U0001f600" * 36, [66, 6]),
    ],
)
def test_computed_part_sizes(text: str, units_per_part: list[int]) -> None:
    data_coding, alphabet = choose_coding(text)
    octets = encode_text(text, data_coding)
    unit = 2 if alphabet == "ucs2" else 1
    assert [len(part) // unit for part in split(octets, alphabet)] == units_per_part
    assert count_parts(octets, alphabet) == len(units_per_part)
    info = segment_info(text)
    assert (info.parts, info.units) == (len(units_per_part), sum(units_per_part))
    budget = (160 if unit == 1 else 70) if info.parts == 1 else (153 if unit == 1 else 67)
    assert info.units_left == budget - units_per_part[-1]


def test_binary_parts() -> None:
    for size, sizes in ((140, [140]), (141, [134, 7]), (268, [134, 134]), (269, [134, 134, 1])):
        for alphabet in ("octets", "latin1", "other"):
            assert [len(part) for part in split(bytes(size), alphabet)] == sizes
            assert count_parts(bytes(size), alphabet) == len(sizes)


def test_headers_of_every_kind_shrink_the_parts() -> None:
    assert [len(part) for part in split(b"a" * 161, "gsm", udh_octets=7)] == [152, 9]
    assert [len(part) for part in split(b"a" * 155, "gsm", udh_octets=9, single_udh_octets=4)] == [155]
    assert [len(part) for part in split(b"a" * 156, "gsm", udh_octets=9, single_udh_octets=4)] == [149, 7]
    assert count_parts(b"a" * 156, "gsm", udh_octets=9, single_udh_octets=4) == 2
    assert count_parts(b"a" * 139, "octets", single_udh_octets=7) == 2
    # A part of UCS-2 beside seven octets of header has 66 units, not 66 and a half.
    assert [len(part) for part in split("я".encode("utf-16-be") * 71, "ucs2", udh_octets=7)] == [132, 10]


gsm_characters = st.sampled_from(sorted(DEFAULT_CHARACTERS | EXTENSION_CHARACTERS))
any_text = st.one_of(
    st.text(gsm_characters, max_size=700),
    st.text(st.sampled_from("ab€{"), max_size=700),
    st.text(st.sampled_from("я\U0001f600字\u0301"), max_size=300),
    st.text(max_size=300),
)


@settings(max_examples=300)
@given(any_text, st.sampled_from([6, 7, 9, 12]))
def test_parts_decoded_one_by_one_give_the_text_again(text: str, udh_octets: int) -> None:
    data_coding, alphabet = choose_coding(text)
    octets = encode_text(text, data_coding)
    parts = split(octets, alphabet, udh_octets=udh_octets)
    assert b"".join(parts) == octets
    # Alone on its handset each part is readable; a mark that only starts the text is no order mark here.
    if "\ufeff" not in text and "\ufffe" not in text:
        assert "".join(decode_text(part, data_coding) for part in parts) == text
    assert count_parts(octets, alphabet, udh_octets=udh_octets) == len(parts)
    assert all(len(part) <= part_octets_max(alphabet, udh_octets) for part in parts) or len(parts) == 1


@pytest.mark.parametrize("alphabet", ["gsm", "ascii"])
def test_no_cut_falls_behind_an_escape(alphabet: str) -> None:
    # Many write GSM 03.38 under data_coding 1 (node-smpp always), and ASCII has no use for 1B.
    parts = split(b"\x1be" * 200, alphabet)
    assert [len(part) for part in parts] == [152, 152, 96]


@given(st.binary(max_size=1000), st.sampled_from(["gsm", "ascii", "ucs2", "octets", "latin1", "other"]))
def test_any_octets_split_and_join(octets: bytes, alphabet: str) -> None:
    parts = split(octets, alphabet)
    assert b"".join(parts) == octets
    assert count_parts(octets, alphabet) == len(parts)
    assert len(segment(octets, alphabet, 1)) == count_segments(octets, alphabet) == len(parts)


@given(
    st.sampled_from(["", "06050423F40000", "03240101", "050003240301", "0003", "74"]),
    st.binary(max_size=700),
    st.sampled_from(["gsm", "ucs2", "octets"]),
    st.sampled_from([8, 16]),
)
def test_what_is_charged_is_what_is_sent(header: str, text: bytes, alphabet: str, bits: int) -> None:
    payload = bytes.fromhex(header) + text
    try:
        parts = segment(payload, alphabet, 1, udh_indicator=True, bits=bits)
    except CannotSplit:
        with pytest.raises(CannotSplit):
            count_segments(payload, alphabet, udh_indicator=True, bits=bits)
        return
    assert count_segments(payload, alphabet, udh_indicator=True, bits=bits) == len(parts)
    for seq, part in enumerate(parts, 1):
        udh = parse_udh(part)
        own = udh.octets if udh else 0
        assert len(part) - own <= part_octets_max(alphabet, own)
        assert len(parts) == 1 or (udh and udh.concat == Concat(1, len(parts), seq, bits))


@given(st.text(max_size=300))
def test_the_estimate_agrees_with_the_cut(text: str) -> None:
    info = segment_info(text)
    octets = encode_text(text, info.coding)
    assert info.parts == len(split(octets, info.alphabet))
    assert bool(info.forcing) == (info.alphabet == "ucs2")


def test_the_estimate_names_what_forces_ucs2() -> None:
    info = segment_info("it\u2019s")
    assert (info.coding, info.alphabet, info.units, info.units_left, info.parts) == (8, "ucs2", 4, 66, 1)
    assert info.forcing == [(2, "\u2019")]
    assert segment_info("it's").forcing == []
    assert len(segment_info("短" * 1000).forcing) == 100
    assert segment_info("\ud83d").units == 1


@pytest.mark.parametrize(
    "cluster",
    ["👨‍👩‍👧‍👦", "e\u0301", "👍🏽", "❤️"],
)
def test_a_cluster_is_not_torn_where_it_need_not_be(cluster: str) -> None:
    units = len(cluster.encode("utf-16-be")) // 2
    for ahead in range(67 - units, 67):
        text = "字" * ahead + cluster + "字" * 30
        parts = split(encode_text(text, 8), "ucs2")
        assert any(cluster in decode_text(part, 8) for part in parts)
        assert len(parts) == 2


def test_sparing_a_cluster_never_costs_a_part() -> None:
    text = "字" * 66 + "e\u0301" + "字" * 66  # 134 units: two parts only if cut inside
    assert [len(part) // 2 for part in split(encode_text(text, 8), "ucs2")] == [67, 67]


def test_endless_combining_marks_are_cut_anywhere() -> None:
    octets = encode_text("e" + "\u0301" * 500, 8)
    assert [len(part) // 2 for part in split(octets, "ucs2")][:2] == [67, 67]


def test_255_parts_are_the_most() -> None:
    assert len(split(b"a" * (255 * 153), "gsm")) == 255
    with pytest.raises(CannotSplit, match="256 parts"):
        split(b"a" * (255 * 153 + 1), "gsm")
    assert count_parts(b"a" * (255 * 153 + 1), "gsm") == 256
    with pytest.raises(CannotSplit, match="no room"):
        split(b"a" * 200, "ucs2", udh_octets=138)


def test_each_part_gets_its_header_with_one_reference() -> None:
    parts = segment(b"a" * 400, "gsm", 0x1D2)
    assert [len(part) for part in parts] == [159, 159, 6 + 94]
    headers = [parse_udh(part) for part in parts]
    assert [header and header.concat for header in headers] == [Concat(0xD2, 3, seq, 8) for seq in (1, 2, 3)]
    assert segment(b"a" * 400, "gsm", 0x1D2, bits=16)[0][:7] == bytes.fromhex("06080401D20301")


def test_a_short_message_needs_no_header() -> None:
    assert segment(b"hello", "gsm", 9) == [b"hello"]


def test_a_customer_s_own_part_passes_through_uncut() -> None:
    own = bytes.fromhex("050003240301") + b"a" * 153
    assert segment(own, "gsm", 9, udh_indicator=True) == [own]
    with pytest.raises(CannotSplit, match="part 1 of 3 has 154"):
        segment(own + b"a", "gsm", 9, udh_indicator=True)


def test_254_octets_of_gsm_without_a_header_become_two_parts() -> None:
    assert [len(part) for part in segment(b"a" * 254, "gsm", 1)] == [159, 6 + 101]


def test_a_payload_with_ports_keeps_them_in_every_part() -> None:
    ports = bytes.fromhex("06050423F40000")
    parts = segment(ports + bytes(200), "octets", 5, udh_indicator=True)
    assert [len(part) for part in parts] == [140, 12 + 72]
    for seq, part in enumerate(parts, 1):
        header = parse_udh(part)
        assert header is not None
        assert (header.ports, header.concat) == ((0x23F4, 0), Concat(5, 2, seq, 8))


def test_a_payload_under_a_false_header_flag_is_text() -> None:
    parts = segment(b"test222" * 30, "gsm", 5, udh_indicator=True)
    assert b"".join(part[6:] for part in parts) == b"test222" * 30


@pytest.mark.parametrize(
    ("alphabet", "pattern"),
    [
        ("gsm", b"\x1b"),
        ("gsm", b"\x1be"),
        ("gsm", b"a"),
        ("ucs2", b"\xd8\x3d"),
        ("ucs2", b"\x03\x01"),
        ("octets", b"a"),
    ],
)
def test_counting_and_cutting_are_linear(alphabet: str, pattern: bytes) -> None:
    def work(n: int) -> object:
        octets = pattern * (n // len(pattern))
        # Up to 255 parts: 30,000 octets is the most that can be cut at all.
        return lambda: (count_parts(octets, alphabet), split(octets, alphabet))

    assert_linear(work, size=3_750)  # type: ignore[arg-type]
