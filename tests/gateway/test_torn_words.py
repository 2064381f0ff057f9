"""A word that a customer tears over two parts is still found."""

from filters.words import Word, WordSet
from gateway.smpp.udh import Concat
from gateway.torn_words import MESSAGES_MAX, TornWords

WORDS = WordSet([Word("敏感词"), Word("bad")])


def part(seq: int, total: int = 2, ref: int = 7) -> Concat:
    return Concat(ref, total, seq, 8)


def test_a_word_torn_over_two_parts_hits_and_only_its_rest_is_masked() -> None:
    torn = TornWords()
    assert torn.scan(WORDS, "前面的话敏", 1, b"86", part(1)) is None
    hits = torn.scan(WORDS, "感词在后", 1, b"86", part(2))
    assert hits is not None
    assert hits.spans == hits.masks == ((0, 2),)
    assert hits.words == ("敏感词",)


def test_a_word_of_the_part_before_is_not_judged_again() -> None:
    torn = TornWords()
    assert torn.scan(WORDS, "有敏感词", 1, b"86", part(1)) is not None
    assert torn.scan(WORDS, "干净", 1, b"86", part(2)) is None


def test_another_account_number_or_reference_is_another_message() -> None:
    for account, dest, ref in ((2, b"86", 7), (1, b"87", 7), (1, b"86", 8)):
        torn = TornWords()
        torn.scan(WORDS, "敏", 1, b"86", part(1))
        assert torn.scan(WORDS, "感词", account, dest, part(2, ref=ref)) is None


def test_a_part_that_is_not_the_next_one_is_judged_alone() -> None:
    torn = TornWords()
    torn.scan(WORDS, "敏", 1, b"86", part(1, total=3))
    assert torn.scan(WORDS, "感词", 1, b"86", part(3, total=3)) is None


def test_a_word_torn_over_three_parts_hits_in_the_last() -> None:
    torn = TornWords()
    assert torn.scan(WORDS, "敏", 1, b"86", part(1, total=3)) is None
    assert torn.scan(WORDS, "感", 1, b"86", part(2, total=3)) is None
    hits = torn.scan(WORDS, "词", 1, b"86", part(3, total=3))
    assert hits is not None
    assert hits.spans == ((0, 1),)


def test_what_is_remembered_has_a_bound() -> None:
    torn = TornWords()
    for number in range(MESSAGES_MAX + 10):
        torn.scan(WORDS, "敏", 1, b"%d" % number, part(1))
    assert len(torn._ends) == MESSAGES_MAX
    assert torn.scan(WORDS, "感词", 1, b"0", part(2)) is None
