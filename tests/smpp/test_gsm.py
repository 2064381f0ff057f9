"""The GSM alphabet, its national tables and packed septets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.smpp.gsm import (
    DEFAULT_CHARACTERS,
    EXTENSION_CHARACTERS,
    LANGUAGE_NAMES,
    LOCKING_TABLES,
    SINGLE_SHIFT_TABLES,
    Unencodable,
    decode_septets,
    encode_septets,
    fill_bits_after,
    pack_septets,
    unpack_septets,
)
from tests.smpp.growth import assert_linear

septets = st.binary(max_size=300).map(lambda octets: bytes(octet & 0x7F for octet in octets))


def test_extension_characters_take_an_escape_and_one_octet() -> None:
    octets = bytes.fromhex("1B0A1B141B281B291B2F1B3C1B3D1B3E1B401B65")
    assert decode_septets(octets) == "\f^{}\\[~]|€"
    assert encode_septets("\f^{}\\[~]|€") == octets


def test_the_first_four_septets_are_not_ascii() -> None:
    assert decode_septets(b"\0\1\2\3") == "@£$¥"
    assert encode_septets("@£$¥") == b"\0\1\2\3"


def test_all_137_characters_of_the_default_alphabet_come_back() -> None:
    characters = sorted(DEFAULT_CHARACTERS | EXTENSION_CHARACTERS)
    assert len(characters) == 127 + 10  # 128 codes less the escape, and the extension table
    for character in characters:
        octets = encode_septets(character)
        assert decode_septets(octets) == character
        assert len(octets) == (2 if character in EXTENSION_CHARACTERS else 1)
    assert decode_septets(encode_septets("".join(characters))) == "".join(characters)


@pytest.mark.parametrize(
    "character", ["ç", "`", "á", "í", "ó", "ú", "\u2019", "\u2013", "\u00a0", "Α", "中", "\t"]
)
def test_a_character_outside_the_alphabet_is_named_with_its_place(character: str) -> None:
    with pytest.raises(Unencodable) as refusal:
        encode_septets("ab" + character + "c")
    assert (refusal.value.character, refusal.value.position) == (character, 2)
    assert f"U+{ord(character):04X} at position 2" in str(refusal.value)


@pytest.mark.parametrize("capital", "ΓΔΘΛΞΠΣΦΨΩ")
def test_greek_capitals_of_the_table_need_no_ucs2(capital: str) -> None:
    assert decode_septets(encode_septets(capital)) == capital


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"A\x1b", "A "),  # a dangling escape shows as a space
        (b"\x1b", " "),
        (b"\x1b\x1b", " "),
        (b"\x1b\x1bA", " A"),
        (b"\x1b\x1b\x1bA", " A"),  # an escaped escape, then an escape before A
        (b"\x1bA", "A"),  # no such extension: the plain character
        (b"\x1b\x00", "@"),
        (b"\x80A\xff", "\ufffdA\ufffd"),  # no septets
        (b"\x1b\x80", "\ufffd"),
        (b"", ""),
    ],
)
def test_dangling_and_unknown_escapes_never_raise(octets: bytes, text: str) -> None:
    assert decode_septets(octets) == text


def test_turkish_single_shift_has_its_letters() -> None:
    octets = bytes.fromhex("1B471B491B531B631B651B671B691B73")
    assert decode_septets(octets, single=1) == "ĞİŞç€ğış"
    assert encode_septets("ĞİŞç€ğış", single=1) == octets


@pytest.mark.parametrize(
    ("locking", "single", "octets", "text"),
    [
        (6, 0, b"\0\1\2", "\u0901\u0902\u0903"),  # Hindi, where one transcription has Bengali
        (7, 0, b"\x24", "\u0ca1"),  # Kannada DDA, not PA
        (0, 12, b"\x1b\x65", "€"),  # Telugu keeps the euro
        (6, 0, b"\x2c", ","),  # a comma, not an apostrophe
        (3, 0, b"\x00\x04", "@ê"),
    ],
)
def test_disputed_cells_of_the_national_tables(locking: int, single: int, octets: bytes, text: str) -> None:
    assert decode_septets(octets, locking, single) == text


@pytest.mark.parametrize("language", sorted(LOCKING_TABLES))
def test_every_locking_table_comes_back(language: int) -> None:
    text = "".join(character for code, character in LOCKING_TABLES[language].items() if code != 0x1B)
    octets = encode_septets(text, locking=language)
    assert decode_septets(octets, locking=language) == text
    assert len(octets) == len(text)


@pytest.mark.parametrize("language", sorted(SINGLE_SHIFT_TABLES))
def test_every_single_shift_table_is_readable_code_by_code(language: int) -> None:
    for code, character in SINGLE_SHIFT_TABLES[language].items():
        assert decode_septets(bytes((0x1B, code)), single=language) == character
        assert decode_septets(encode_septets(character, single=language), single=language) == character


def test_the_thirteen_languages_are_named() -> None:
    assert sorted(LANGUAGE_NAMES) == list(range(14))
    assert set(SINGLE_SHIFT_TABLES) == set(LANGUAGE_NAMES)
    assert 2 not in LOCKING_TABLES  # Spanish has a single shift only


@pytest.mark.parametrize("language", [2, 14, 99, 255])
def test_an_unknown_locking_language_is_the_default_table(language: int) -> None:
    assert decode_septets(b"\x00A\x1be", locking=language, single=99) == "@A€"


@given(st.binary(max_size=300), st.integers(0, 20), st.integers(0, 20))
def test_any_octets_decode_under_any_tables(octets: bytes, locking: int, single: int) -> None:
    text = decode_septets(octets, locking, single)
    assert len(octets) / 2 <= len(text) <= len(octets)


@given(septets)
def test_what_decodes_to_characters_encodes_back_to_them(octets: bytes) -> None:
    text = decode_septets(octets)
    assert decode_septets(encode_septets(text)) == text


def test_the_fast_way_through_the_extension_table_agrees_with_the_slow_one() -> None:
    for code in range(128):
        pair = bytes((0x1B, code))
        assert decode_septets(b"a" + pair + b"b") == "a" + decode_septets(pair + b"\x80")[:-1] + "b"


# "hellohello" is the worked example of every PDU-mode tutorial.
@pytest.mark.parametrize(
    ("text", "packed"),
    [
        (b"hellohello", "E8329BFD4697D9EC37"),
        (b"", ""),
        (b"A", "41"),
        (b"1234567", "31D98C56B3DD1A"),  # seven: the spare bits hold a carriage return
        (b"12345678", "31D98C56B3DD70"),
    ],
)
def test_packing_by_the_book(text: bytes, packed: str) -> None:
    assert pack_septets(text).hex().upper() == packed
    assert unpack_septets(bytes.fromhex(packed)) == text


def test_seven_septets_never_grow_an_at_sign() -> None:
    assert decode_septets(unpack_septets(pack_septets(b"1234567"))) == "1234567"
    # What an encoder without the rule sends is read with the @ it means: nobody can tell it from one.
    assert unpack_septets(bytes.fromhex("31D98C56B3DD00"))[-1:] == b"\0"


@given(septets, st.integers(0, 12))
def test_packing_comes_back_whatever_header_stands_before(octets: bytes, udh_octets: int) -> None:
    fill_bits = fill_bits_after(udh_octets)
    packed = pack_septets(octets, fill_bits=fill_bits)
    assert unpack_septets(packed, fill_bits=fill_bits, septet_count=len(octets)) == octets
    # Without a count a final carriage return may show once or twice; nothing else may change.
    assert unpack_septets(packed, fill_bits=fill_bits).rstrip(b"\r") == octets.rstrip(b"\r")
    assert unpack_septets(packed, fill_bits=fill_bits)[-1:] == octets[-1:]
    assert (udh_octets * 8 + fill_bits) % 7 == 0


def test_a_packed_part_with_header_fits_140_octets() -> None:
    assert len(pack_septets(b"a" * 153, fill_bits=fill_bits_after(6))) + 6 == 140
    assert len(pack_septets(b"a" * 160)) == 140


@given(st.binary(max_size=200), st.integers(0, 6))
def test_any_octets_unpack(octets: bytes, fill_bits: int) -> None:
    assert all(septet < 0x80 for septet in unpack_septets(octets, fill_bits=fill_bits))


@pytest.mark.parametrize("pattern", [b"\x1b", b"\x1be", b"a\x1bA", b"a", b"\x1b\x1b\x1bA"])
def test_decoding_is_linear(pattern: bytes) -> None:
    assert_linear(lambda n: lambda octets=pattern * n: decode_septets(octets))


def test_packing_is_linear() -> None:
    assert_linear(lambda n: lambda octets=b"a" * n: unpack_septets(pack_septets(octets)))
