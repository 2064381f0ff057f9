"""Folding: what it makes one, what it leaves apart, and that its positions are true."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.folding import (
    CLUSTER_JOINERS_MAX,
    INVISIBLE,
    SEPARATORS,
    fold,
    fold_string,
    is_wordy,
    table,
)

# Letters that fold to other letters, to several, to nothing; marks that compose, and that do not.
HOSTILE = (
    "ㄱㅏaeéｅ①⒈⑴\u0301\u0323\u0336\u200b\u00ad\ufe0fﾊﾟが가각\u11a8㎏ßİ體国ſ\u0345ά 　.…\ud800𝐬\U000e0041ῒ"
)
hostile_texts = st.text(st.sampled_from(HOSTILE), max_size=16) | st.text(max_size=12)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("ＳＥＸ", "sex"),  # full-width
        ("ⓢⓔⓧ", "sex"),  # circled
        ("🅢🅔🅧", "sex"),  # white on black
        ("🆂🅴🆇", "sex"),
        ("𝐬𝒆𝔵", "sex"),  # mathematical
        ("ˢᵉˣ", "sex"),  # superscript
        ("ꜱᴇx", "sex"),  # small capitals
        ("ѕех", "sex"),  # Cyrillic
        ("s\u0336e\u0336x\u0336", "sex"),  # struck through
        ("s\u200be\u00adx\ufe0f", "sex"),  # invisible characters
        ("s\u2063e\U000e0020x", "sex"),
        ("SeX", "sex"),
        ("①②③", "123"),
        ("❶➁➌⓸", "1234"),
        ("⑩❿⓫", "101011"),
        ("１２３", "123"),
        ("١٢٣", "123"),  # Arabic-Indic digits
        ("Ⅷ", "viii"),
        ("臺灣獨立", "台湾独立"),
        ("法輪功", "法轮功"),
        ("⼈⼝", "人口"),  # radicals
        ("ﾊﾟｽ", "パス"),
        ("ＳＥＸ敏　感", "sex敏 感"),
        ("Straße", "strasse"),
        ("㎏", "kg"),
    ],
)
def test_ways_of_writing_the_same_fold_to_one(written: str, meant: str) -> None:
    assert fold_string(written) == fold_string(meant) == meant


@pytest.mark.parametrize(("one", "other"), [("é", "e"), ("các", "cac"), ("が", "か"), ("й", "и"), ("0", "o")])
def test_letters_that_mean_something_else_stay_apart(one: str, other: str) -> None:
    assert fold_string(one) != fold_string(other)


def test_precomposed_and_combined_accents_are_one() -> None:
    assert fold_string("e\u0301") == fold_string("é")
    assert fold_string("e\u200b\u0301") == fold_string("é")
    assert fold_string("a\u0323\u0302") == fold_string("a\u0302\u0323") == fold_string("ậ")


@given(hostile_texts)
def test_folding_twice_changes_nothing(text: str) -> None:
    once = fold_string(text)
    assert fold_string(once) == once


@given(hostile_texts)
def test_fold_with_positions_gives_what_fold_string_defines(text: str) -> None:
    assert fold(text).text == fold_string(text)


@given(hostile_texts)
def test_positions_point_into_the_original_in_order(text: str) -> None:
    folded = fold(text)
    assert len(folded.starts) == len(folded.ends) == len(folded.text)
    assert folded.starts == sorted(folded.starts)
    assert folded.ends == sorted(folded.ends)
    for character, start, end in zip(folded.text, folded.starts, folded.ends, strict=True):
        assert 0 <= start < end <= len(text)
        assert character in fold_string(text[start:end])


def test_positions_of_one_to_many_many_to_one_and_nothing() -> None:
    folded = fold("⑩\u200be\u0301x")
    assert folded.text == "10éx"
    assert folded.starts == [0, 0, 2, 4]
    assert folded.ends == [1, 1, 4, 5]


def test_invisible_characters_after_a_letter_are_not_part_of_it() -> None:
    folded = fold("敏\u200b\u200b感")
    assert (folded.starts, folded.ends) == ([0, 3], [1, 4])


def test_single_characters_fold_as_the_table_says() -> None:
    folds = table().folds
    for character in (*"AＡé體①ß", "\u200b", "\u0336", "ﾟ"):
        assert folds.get(character, character) == fold_string(character)


def test_the_table_misses_no_character_of_this_unicode() -> None:
    known = table()
    for ordinal in (*range(0xD800), *range(0xE000, 0x33000), *range(0xE0000, 0xE1000)):
        character = chr(ordinal)
        if unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", character).casefold()) != character:
            assert known.folds.get(character) is not None, hex(ordinal)
        if unicodedata.combining(character) and character not in INVISIBLE:
            assert character in known.joiners, hex(ordinal)


def test_no_pictograph_is_touched_by_folding() -> None:
    """The short cuts let U+1F300 to U+1FAFF pass (shortcuts.py)."""
    known = table()
    for character in map(chr, range(0x1F300, 0x1FB00)):
        assert fold_string(character) == character
        assert character not in known.joiners


def test_separators_fold_to_themselves() -> None:
    assert all(fold_string(separator) == separator for separator in SEPARATORS)


def test_jamo_for_compatibility_compose_like_others() -> None:
    assert fold("ㄱㅏ").text == fold_string("ㄱㅏ") == "가"


def test_marks_up_to_the_limit_are_one_cluster() -> None:
    """Overlays do not stop an accent that comes after them from composing."""
    struck = "a" + "\u0336" * (CLUSTER_JOINERS_MAX - 1) + "\u0301"
    assert fold(struck).text == fold_string(struck) == "á"


def test_many_marks_on_one_letter_cost_no_more_each() -> None:
    marks = "\u0323\u0301" * 20_000  # unsorted, which normalisation sorts by insertion
    folded = fold("a" + marks)
    assert folded.text[0] == "ạ"
    assert len(folded.text) <= 1 + len(marks) // CLUSTER_JOINERS_MAX * 2 + 2


@pytest.mark.parametrize(
    ("character", "wordy"),
    [("a", True), ("7", True), ("é", True), ("ж", True), ("ậ", True), ("敏", False), ("か", False), ("가", False),
     ("-", False), ("_", False), (" ", False), ("ก", False)],
)  # fmt: skip
def test_wordy_are_letters_and_digits_of_scripts_with_spaces(character: str, wordy: bool) -> None:
    assert is_wordy(character) is wordy
