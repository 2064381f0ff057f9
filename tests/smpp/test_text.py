"""data_coding to text and back."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.smpp.decode import decode_pdus
from gateway.smpp.pdu import SubmitSm
from gateway.smpp.segments import segment_of
from gateway.smpp.text import (
    DEFAULT_ALPHABETS,
    Unencodable,
    alphabet_of,
    choose_coding,
    decode_text,
    encode_sender,
    encode_text,
    forcing_characters,
    message_class,
    simplify,
    transcode,
)
from tests.smpp.growth import assert_linear


def test_octets_that_are_no_gsm_characters_follow_the_connection_or_are_replaced() -> None:
    octets = bytes.fromhex("A7 20 A8 80")  # a North American carrier's Latin-1 under data_coding 0
    assert decode_text(octets, 0) == "\ufffd \ufffd\ufffd"
    assert decode_text(octets, 0, default_alphabet="latin1") == "§ ¨€"
    assert decode_text(b"\x00 \x40", 0, default_alphabet="ascii") == "\0 @"
    assert decode_text("é".encode(), 0, default_alphabet="utf-8") == "é"
    assert decode_text(b"\0A", 0, default_alphabet="ucs2") == "A"


def test_a_packed_connection_is_packed_both_ways() -> None:
    octets = encode_text("1234567", 0, default_alphabet="gsm-packed")
    assert octets.hex().upper() == "31D98C56B3DD1A"
    for data_coding in (0x00, 0x10, 0xF1):
        assert decode_text(octets, data_coding, default_alphabet="gsm-packed") == "1234567"


def test_packed_text_after_a_header_begins_after_its_fill_bits() -> None:
    octets = encode_text("hello", 0, default_alphabet="gsm-packed", fill_bits=1)
    assert decode_text(octets, 0, default_alphabet="gsm-packed", fill_bits=1) == "hello"
    assert octets != encode_text("hello", 0, default_alphabet="gsm-packed")


def test_text_is_recoded_for_a_peer_with_another_default_alphabet() -> None:
    assert transcode(b"a\0\x1be", 0, source="gsm", target="gsm") == (b"a\0\x1be", 0)
    assert transcode(b"a\0\x11", 0, source="gsm", target="latin1") == (b"a@_", 0)
    assert transcode(b"a@_\xe9", 0, source="latin1", target="gsm") == (b"a\0\x11\x05", 0)
    assert transcode(b"1234567", 0xF1, source="gsm", target="gsm-packed") == (
        bytes.fromhex("31D98C56B3DD1A"),
        0xF1,
    )
    # What Latin-1 has not got goes as UCS-2, flash text as flash text.
    assert transcode(b"\x1be", 0, source="gsm", target="latin1") == (b"\x20\xac", 8)
    assert transcode("中".encode(), 0, source="utf-8", target="gsm") == (b"\x4e\x2d", 8)
    assert transcode(b"\x1be", 0xF0, source="gsm-packed", target="gsm")[1] == 0xF0
    # Nothing is lost over octets that nobody can read, and other codings are not touched.
    assert transcode(b"\xa7a", 0, source="gsm", target="latin1") == (b"\xa7a", 0)
    assert transcode(b"\0\xff", 4, source="gsm", target="latin1") == (b"\0\xff", 4)
    assert transcode(b"\0a", 8, source="gsm", target="latin1") == (b"\0a", 8)


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        ("00F1 0075 0144 00ED 00FC 0073", "ñuńíüs"),
        ("006E 0067 0068 1EAF 0020 006E 0067 0068 0069 00EA 006E 0067", "nghắ nghiêng"),
        ("D83D DE00", "\U0001f600"),
        ("D83D", "\ufffd"),  # a surrogate alone
        ("D83D 0041", "\ufffdA"),
        ("DE00 0041", "\ufffdA"),
        ("0041 00", "A\ufffd"),  # half a unit
        ("00", "\ufffd"),
        ("FEFF 0041", "A"),
        ("FFFE 4100", "A"),
        ("FFFE 4100 42", "A\ufffd"),
        ("FEFF", ""),
        ("FF01 FF02", "！＂"),  # sorts above the byte order marks and is none
        ("", ""),
    ],
)
def test_ucs2_is_big_endian_utf16_with_forgiveness(octets: str, text: str) -> None:
    assert decode_text(bytes.fromhex(octets), 0x08) == text
    assert decode_text(bytes.fromhex(octets), 0x18) == text
    assert decode_text(bytes.fromhex(octets), 0xE0) == text


def test_latin1_labelled_ucs2_is_nonsense_but_no_error() -> None:
    octets = bytes.fromhex("C1E1E9EDF3FAF1FC")
    assert decode_text(octets, 8) == octets.decode("utf-16-be")


def test_we_never_send_a_byte_order_mark() -> None:
    assert encode_text("ñ", 8) == b"\0\xf1"
    assert decode_text(encode_text("\U0001f600字", 8), 8) == "\U0001f600字"


@pytest.mark.parametrize("data_coding", [0x02, 0x04, 0xF4, 0xF5, 0x14, 0x15])
def test_binary_passes_untouched(data_coding: int) -> None:
    octets = bytes(range(256))
    assert alphabet_of(data_coding) == "octets"
    assert encode_text(decode_text(octets, data_coding), data_coding) == octets


@pytest.mark.parametrize(
    ("data_coding", "alphabet", "kept_class"),
    [
        (0x00, "gsm", None),
        (0x01, "ascii", None),
        (0x03, "latin1", None),
        (0x05, "other", None),
        (0x06, "other", None),
        (0x08, "ucs2", None),
        (0x0C, "gsm", None),
        (0x0F, "gsm", None),
        (0x10, "gsm", 0),
        (0x12, "gsm", 2),
        (0x16, "octets", 2),
        (0x18, "ucs2", 0),
        (0x19, "ucs2", 1),
        (0x20, "octets", None),
        (0x30, "octets", 0),
        (0x51, "gsm", 1),
        (0x80, "gsm", None),
        (0xC8, "gsm", None),
        (0xD1, "gsm", None),
        (0xE0, "ucs2", None),
        (0xF0, "gsm", 0),
        (0xF1, "gsm", 1),
        (0xF2, "gsm", 2),
        (0xF4, "octets", 0),
        (0xF6, "octets", 2),
    ],
)
def test_alphabet_and_class_of_a_coding(data_coding: int, alphabet: str, kept_class: int | None) -> None:
    assert alphabet_of(data_coding) == alphabet
    assert message_class(data_coding) == kept_class


def test_ordinary_text_under_a_message_class_reads_as_gsm() -> None:
    for data_coding in (0xF0, 0xF1, 0xF2, 0x10, 0x51, 0xC0):
        assert decode_text(b"A\x1be", data_coding) == "A€"


def test_below_16_the_table_is_smpp_s_own() -> None:
    assert decode_text(b"Espa\xf1a", 0x03) == "España"
    assert decode_text(b"\x80 \x92", 0x03) == "€ ’"  # Windows-1252 under the name of Latin-1
    assert decode_text(b"\xbf\xe0\xd8\xd2\xd5\xe2", 0x06) == "Привет"
    assert decode_text(b"\xf9\xec\xe5\xed", 0x07) == "שלום"
    assert decode_text("日本".encode("shift_jis"), 0x05) == "日本"
    assert decode_text("日本".encode("iso2022_jp"), 0x05) == "日本"
    assert decode_text("日本".encode("iso2022_jp"), 0x0A) == "日本"
    assert decode_text("日本".encode("euc_jp"), 0x0D) == "日本"
    assert decode_text("한국".encode("cp949"), 0x0E) == "한국"


def test_ascii_becomes_gsm_character_by_character_not_octet_by_octet() -> None:
    ascii_octets = b"a@b_c$d{"
    assert decode_text(b"\x40", 0x01) == "@"
    assert decode_text(b"\x40", 0x00) == "¡"
    assert encode_text(decode_text(ascii_octets, 0x01), 0x00) == b"a\x00b\x11c\x02d\x1b\x28"


def test_a_captured_portuguese_message() -> None:
    vectors = json.loads((Path(__file__).parent / "vectors.json").read_text("utf-8"))
    octets = next(bytes.fromhex(vector["hex"]) for vector in vectors if vector["id"] == "N001")
    pdu = decode_pdus(octets, octets_max=70_000).pdus[0]
    assert isinstance(pdu, SubmitSm)
    segment = segment_of(pdu)
    assert segment.udh is not None
    assert (segment.udh.single, segment.udh.locking, segment.text) == (3, 0, b"t{st")
    assert decode_text(segment.text, pdu.data_coding, single=segment.udh.single) == "täst"


def test_national_shifts_read_under_data_coding_0_and_1() -> None:
    octets = bytes.fromhex("1B471B49")
    for data_coding in (0, 1):
        assert decode_text(octets, data_coding, single=1) == "Ğİ"
        assert encode_text("Ğİ", data_coding, single=1) == octets
    assert decode_text(b"\0", 0, locking=6) == "\u0901"
    assert decode_text(b"\x1bA\0", 0, locking=77, single=78) == "A@"


@pytest.mark.parametrize(
    ("text", "data_coding", "position"),
    [
        ("a中", 0, 1),
        ("aé", 1, 1),
        ("中", 3, 0),
        ("a\ud83d", 8, 1),
        ("ab", 0x08, None),
        ("Ж", 6, None),
        ("中", 6, 0),
    ],
)
def test_encoding_is_strict_and_names_the_character(
    text: str, data_coding: int, position: int | None
) -> None:
    if position is None:
        assert decode_text(encode_text(text, data_coding), data_coding) == text
        return
    with pytest.raises(Unencodable) as refusal:
        encode_text(text, data_coding)
    assert (refusal.value.position, refusal.value.character) == (position, text[position])


def test_gsm_is_chosen_whenever_it_carries_every_character() -> None:
    assert choose_coding("") == (0, "gsm")
    assert choose_coding("Price: 5 € [net] {tax}\f") == (0, "gsm")
    assert choose_coding("ΓΔΘ àèéùìò ÄÖÜ") == (0, "gsm")
    assert choose_coding("it\u2019s") == (8, "ucs2")
    assert choose_coding("\x1b") == (8, "ucs2")
    assert choose_coding("短信") == (8, "ucs2")


@given(st.text(max_size=50))
def test_the_chosen_coding_carries_the_text(text: str) -> None:
    data_coding, alphabet = choose_coding(text)
    assert alphabet_of(data_coding) == alphabet
    octets = encode_text(text, data_coding)
    # A text that begins with a byte order mark cannot be told from a marked one.
    assert decode_text(octets, data_coding) == text.removeprefix("\ufeff") or text[:1] == "\ufffe"
    assert (data_coding == 0) == (not forcing_characters(text))


def test_what_forces_ucs2_is_listed_with_its_place() -> None:
    assert forcing_characters("it\u2019s ok \U0001f600") == [(2, "\u2019"), (8, "\U0001f600")]
    assert forcing_characters("短信短信", limit=2) == [(0, "短"), (1, "信")]
    assert forcing_characters("plain €") == []


def test_typographic_characters_have_gsm_look_alikes() -> None:
    assert simplify("“It\u2019s” – 5\u00a0€…") == '"It\'s" - 5 €...'
    assert choose_coding(simplify("“It\u2019s” – 5\u00a0€…")) == (0, "gsm")
    assert simplify("短信 á") == "短信 á"


def test_a_sender_follows_the_peer_s_alphabet_and_never_holds_a_nul() -> None:
    assert encode_sender("SLUICE") == b"SLUICE"
    assert encode_sender("a_b", alphabet="gsm") == b"a\x11b"
    assert encode_sender("Müller", alphabet="gsm") == b"M\x7eller"
    assert encode_sender("Müller", alphabet="latin1") == b"M\xfcller"
    assert encode_sender("a@b", alphabet="latin1") == b"a@b"
    for sender, alphabet in (("a@b", "gsm"), ("Müller", "ascii"), ("a\0b", "latin1")):
        with pytest.raises(Unencodable) as refusal:
            encode_sender(sender, alphabet=alphabet)
        assert refusal.value.position == 1


def test_a_sender_has_eleven_characters_at_most() -> None:
    assert encode_sender("ABCDEFGHIJK") == b"ABCDEFGHIJK"
    with pytest.raises(ValueError, match="12 characters"):
        encode_sender("ABCDEFGHIJKL")
    with pytest.raises(ValueError, match="11 is the most"):
        encode_sender("€ABCDEFGHIJ", alphabet="gsm")  # twelve septets


@given(
    st.binary(max_size=300),
    st.integers(0, 255),
    st.sampled_from(DEFAULT_ALPHABETS),
    st.integers(0, 20),
    st.integers(0, 20),
)
def test_any_octets_decode(octets: bytes, data_coding: int, alphabet: str, locking: int, single: int) -> None:
    text = decode_text(octets, data_coding, default_alphabet=alphabet, locking=locking, single=single)
    text.encode("utf-8")  # no surrogate survives: the store and the console get real characters


@pytest.mark.parametrize("data_coding", range(256))
def test_every_data_coding_reads_something(data_coding: int) -> None:
    assert decode_text(b"\x1b\x1b\xff\x00\xd8", data_coding)


@pytest.mark.parametrize(
    ("data_coding", "pattern"),
    [
        (0, b"\x1b"),
        (0, b"\xff\x1be"),
        (8, b"\xd8\x3d"),
        (8, b"\0A"),
        (5, b"\x1b$B\xff"),
        (3, b"\x81"),
        (14, b"\xff"),
    ],
)
def test_decoding_is_linear(data_coding: int, pattern: bytes) -> None:
    assert_linear(lambda n: lambda octets=pattern * n: decode_text(octets, data_coding))
