"""The data files: whole, and not at odds with what the code does to characters anyway."""

import unicodedata
from pathlib import Path

import filters
from filters.folding import fold_string

DATA = Path(filters.__file__).parent / "data"
PAIRS = (DATA / "traditional_to_simplified.txt").read_text("utf-8").split()


def test_every_line_is_a_pair_of_two_different_characters() -> None:
    assert len(PAIRS) > 4000
    for pair in PAIRS:
        assert len(pair) == 2
        assert pair[0] != pair[1]


def test_each_traditional_character_is_there_once() -> None:
    assert len({pair[0] for pair in PAIRS}) == len(PAIRS)


def test_pairs_are_of_normalised_characters() -> None:
    assert all(unicodedata.normalize("NFKC", pair[0]) == pair[0] for pair in PAIRS)


def test_both_characters_of_a_pair_fold_to_one() -> None:
    assert all(fold_string(pair[0]) == fold_string(pair[1]) for pair in PAIRS)


def test_known_pairs_are_there() -> None:
    assert {"體体", "國国", "輪轮", "愛爱", "發发", "髮发", "臺台"} <= set(PAIRS)


def test_each_file_is_named_with_its_licence() -> None:
    readme = (DATA / "README.md").read_text("utf-8")
    for file in DATA.glob("*.txt"):
        assert file.name in readme
    assert "Apache License" in (DATA / "OPENCC-LICENSE.txt").read_text("utf-8")
