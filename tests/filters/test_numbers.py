"""Telephone numbers: one canonical integer for every way to write one, or the reason why it is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.numbers import (
    DIGITS_MAX,
    DIGITS_MIN,
    SENTENCES,
    TON_INTERNATIONAL,
    TON_NATIONAL,
    HomeCountry,
    NotANumber,
    Numbering,
    split_numbers,
)

china = Numbering("86")
nowhere = Numbering()
MOBILE = 8613800138000


@pytest.mark.parametrize(
    "written",
    [
        "13800138000", "8613800138000", "+8613800138000", "008613800138000", "+86 138 0013 8000", "138-0013-8000",
        "１３８００１３８０００", "＋８６ 138 0013 8000", "(138) 0013 8000", "+86 (0)138 0013 8000", "013800138000",
        "138.0013.8000", " 13800138000\t", "\u202d13800138000\u202c", "\ufeff13800138000", "138\u00a00013\u00a08000",
        "13800138000.0", "138–0013–8000", "+86/138-0013-8000",
    ],
)  # fmt: skip
def test_every_way_to_write_a_number_is_one_integer(written: str) -> None:
    assert china.canonical_text(written) == MOBILE
    assert china.canonical(written.strip().encode()) == MOBILE


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("", NotANumber.EMPTY),
        (" \u3000\t", NotANumber.EMPTY),
        ("abc", NotANumber.LETTERS),
        ("13800138OOO", NotANumber.LETTERS),
        ("手机", NotANumber.LETTERS),
        ("1380013#000", NotANumber.SYMBOLS),
        ("138+0013", NotANumber.SYMBOLS),
        ("+", NotANumber.SYMBOLS),
        ("--", NotANumber.SYMBOLS),
        ("*100#", NotANumber.SYMBOLS),
        ("1.38E+10", NotANumber.SCIENTIFIC),
        ("1e10", NotANumber.SCIENTIFIC),
        ("１.38Ｅ+10", NotANumber.SCIENTIFIC),
        ("13800138000.5", NotANumber.DECIMALS),
        ("12", NotANumber.TOO_SHORT),
        ("1234567890123456", NotANumber.TOO_LONG),
        ("1" * 10_000, NotANumber.TOO_LONG),
        ("e\u0301\u0323" * 10_000, NotANumber.TOO_LONG),
        ("+0138", NotANumber.NO_COUNTRY),
        ("0000", NotANumber.NO_COUNTRY),
    ],
)
def test_what_is_no_number_has_its_reason(written: str, reason: NotANumber) -> None:
    assert china.canonical_text(written) is reason
    assert china.canonical(written.encode()) == 0


def test_every_reason_has_a_sentence_in_both_languages() -> None:
    assert set(SENTENCES) == set(NotANumber)
    for english, chinese in SENTENCES.values():
        assert english.endswith(".")
        assert chinese.endswith("。")
    assert "科学计数法" in SENTENCES[NotANumber.SCIENTIFIC][1]


@pytest.mark.parametrize("prefix", range(13, 20))
def test_mobiles_of_the_home_country_need_no_code(prefix: int) -> None:
    number = prefix * 10**9 + 123456789
    assert china.canonical(b"%d" % number) == 86 * 10**11 + number
    assert nowhere.canonical(b"%d" % number) == number


@pytest.mark.parametrize(
    "digits", ["12345678901", "10086", "4001234567", "85212345678", "1380013800", "138001380001"]
)
def test_other_countries_and_short_codes_stay_as_they_are(digits: str) -> None:
    assert china.canonical(digits.encode()) == int(digits)


def test_type_of_number_decides_before_the_rules_of_home() -> None:
    assert china.canonical(b"13105551234", TON_INTERNATIONAL) == 13105551234  # Los Angeles
    assert china.canonical(b"13105551234") == 8613105551234
    assert china.canonical(b"59512345678", TON_NATIONAL) == 8659512345678
    assert china.canonical(b"8613800138000", TON_NATIONAL) == MOBILE  # said national, written with its code
    assert nowhere.canonical(b"59512345678", TON_NATIONAL) == 59512345678


def test_a_trunk_prefix_needs_a_home_country() -> None:
    assert china.canonical(b"059512345678") == 8659512345678
    assert nowhere.canonical(b"059512345678") == 0
    assert nowhere.canonical_text("059512345678") is NotANumber.NO_COUNTRY
    assert Numbering("44").canonical_text("020 7946 0018") == 442079460018


def test_national_rules_are_configuration() -> None:
    denmark = Numbering(HomeCountry("45", (("", 8),), trunk=""))
    assert denmark.canonical(b"32123456") == 4532123456
    assert denmark.canonical_text("32 12 34 56") == 4532123456
    assert denmark.canonical(b"4532123456") == 4532123456


@pytest.mark.parametrize("code", ["CN", "+86", "８６"])
def test_a_home_country_that_is_no_code_is_refused(code: str) -> None:
    with pytest.raises(ValueError, match="country code"):
        Numbering(code)


@given(st.integers(10 ** (DIGITS_MIN - 1), 10**DIGITS_MAX - 1))
def test_an_international_number_is_itself(number: int) -> None:
    assert nowhere.canonical(b"%d" % number) == number
    assert nowhere.canonical_text(f"+{number}") == number
    assert china.canonical(b"%d" % number, TON_INTERNATIONAL) == number


@given(st.text("0123456789+- ()e.Ａ１\u200b", max_size=20), st.sampled_from([0, 1, 2, 5]))
def test_the_fast_way_agrees_with_the_careful_one(text: str, ton: int) -> None:
    for numbering in (china, nowhere):
        careful = numbering._unusual(text, ton)
        assert numbering.canonical(text.encode(), ton) == (0 if isinstance(careful, NotANumber) else careful)
        if ton == 0:
            assert numbering.canonical_text(text) == careful


@given(st.binary(max_size=24), st.integers(0, 255))
def test_no_octets_raise(address: bytes, ton: int) -> None:
    number = china.canonical(address, ton)
    assert number == 0 or DIGITS_MIN <= len(str(number)) <= DIGITS_MAX


@given(st.text(max_size=30))
def test_canonical_numbers_are_fixed_points(text: str) -> None:
    number = china.canonical_text(text)
    if not isinstance(number, NotANumber):
        assert china.canonical(str(number).encode(), TON_INTERNATIONAL) == number


@pytest.mark.parametrize(
    ("typed", "numbers"),
    [
        ("13800138000,13900139000", ["13800138000", "13900139000"]),
        ("13800138000，13900139000", ["13800138000", "13900139000"]),
        ("13800138000、13900139000;13700137000；", ["13800138000", "13900139000", "13700137000"]),
        ("13800138000\n13900139000\r\n\n", ["13800138000", "13900139000"]),
        ("13800138000 13900139000\t13700137000", ["13800138000", "13900139000", "13700137000"]),
        ("138 0013 8000", ["138 0013 8000"]),
        ("138 0013 8000, 139 0013 9000", ["138 0013 8000", "139 0013 9000"]),
        ("+86 13800138000 +44 20 7946 0018", ["+86 13800138000", "+44 20 7946 0018"]),
        ("10086 10010", ["10086", "10010"]),
        ("13800138000 138", ["13800138000", "138"]),
        ("", []),
        (" ,，\n", []),
        ("abc, 1.38E+10", ["abc", "1.38E+10"]),
    ],
)
def test_typed_lists_are_split_at_separators_not_inside_numbers(typed: str, numbers: list[str]) -> None:
    assert split_numbers(typed) == numbers


@given(
    st.lists(st.integers(10**9, 10**13).map(str)),
    st.sampled_from([",", "，", "、", ";", " ", "\n", ", ", "\t"]),
)
def test_a_joined_list_comes_apart_again(numbers: list[str], separator: str) -> None:
    assert split_numbers(separator.join(numbers)) == numbers
