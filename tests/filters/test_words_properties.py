"""The short cuts change nothing, and no text makes the search slow."""

import random
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.words import ACTIONS, WORD_CHARACTERS_MAX, Word, WordSet, mask

# Everything that the short cuts decide about: letters, what folds to them, what joins, what is skipped.
ALPHABET = [
    *"sexab",
    *"敏感體体国國12\u20dd *.-、·ＳＥｅ①⒈⑴㏂é", *"\u0301\u0336\u200b\ufe0f\u00ad\u0345\u3000\u2026еαßﬁ가각\u11a8ﾊﾟが",
    *"か\u3099❤👍𝐬K\x01\n_¨ﷺกิİi\ud8009876543〇🅢ẫâ\u0303ιΐ<\u0338≮",
]  # fmt: skip
letters = st.sampled_from(ALPHABET)


@st.composite
def sets_and_texts(draw: st.DrawFn) -> tuple[WordSet, list[str]]:
    """A few words and texts over a few characters, so that they meet, and words spread over texts."""
    few = st.sampled_from(draw(st.lists(letters, min_size=2, max_size=8)) + list("e "))
    words = draw(
        st.lists(
            st.builds(Word, st.text(few, max_size=6), st.sampled_from(ACTIONS), st.booleans()),
            min_size=1,
            max_size=5,
        )
    )
    if draw(st.booleans()):
        words.append(Word("1234567"))
    texts = draw(st.lists(st.text(few, max_size=14), max_size=4))
    for word in words:
        between = draw(st.lists(st.text(few, max_size=2), min_size=8, max_size=8))
        texts.append("".join(f"{gap}{character}" for gap, character in zip(between, word.text, strict=False)))
        texts.append(between[-1] + word.text + between[-2])
    return WordSet(words, skip_separators=draw(st.integers(0, 4)) > 0), texts


@settings(max_examples=400, deadline=None)
@given(sets_and_texts())
def test_the_quick_way_finds_what_the_thorough_way_finds(case: tuple[WordSet, list[str]]) -> None:
    words, texts = case
    for text in texts:
        assert words.scan(text) == words.scan_thoroughly(text)


@settings(max_examples=200, deadline=None)
@given(sets_and_texts())
def test_a_masked_text_is_as_long_and_differs_only_inside_the_spans(case: tuple[WordSet, list[str]]) -> None:
    words, texts = case
    for text in texts:
        hits = words.scan(text)
        if hits is None:
            continue
        masked = mask(text, hits.spans)
        inside = {index for start, end in hits.spans for index in range(start, end)}
        assert len(masked) == len(text)
        assert all(masked[index] == ("*" if index in inside else text[index]) for index in range(len(text)))
        assert all(before[1] <= after[0] for before, after in zip(hits.spans, hits.spans[1:], strict=False))


@settings(max_examples=200, deadline=None)
@given(st.text(letters, min_size=1, max_size=6), st.text(letters, max_size=6), st.text(letters, max_size=6))
def test_a_word_alone_between_brackets_always_hits(word: str, before: str, after: str) -> None:
    """Whatever its letters: typed as it is, beside nothing that could belong to it, it is found."""
    words = WordSet([Word(word)])
    if words.statistics().ignored:
        assert words.scan(word) is None
    else:
        assert words.scan(f"{before}【{word}】{after}") is not None


def ten_thousand_words() -> list[Word]:
    rng = random.Random(5)
    common = [chr(ordinal) for ordinal in range(0x4E00, 0x4E00 + 400)]
    words = ["".join(rng.choices(common, k=rng.randint(2, 6))) for _ in range(9_000)]
    words += ["a" * length for length in range(1, WORD_CHARACTERS_MAX + 1)]
    words += ["敏" * length for length in range(1, WORD_CHARACTERS_MAX + 1)]
    words += [
        f"{first}{second} {third}"
        for first in "abcdefghij"
        for second in "klmnopqr"
        for third in "stuvwxyzab"
    ]
    return [Word(word, substring=True) for word in words]


@pytest.fixture(scope="module")
def many_words() -> WordSet:
    return WordSet(ten_thousand_words())


PATHOLOGICAL: dict[str, Callable[[int], str]] = {
    "nested words": lambda n: "敏" * n,
    "nested Latin words": lambda n: "a" * n,
    "spelled": lambda n: "a " * (n // 2),
    "separators": lambda n: "敏" + "*" * n + "敏",
    "separators only": lambda n: " *-" * (n // 3),
    "many gaps": lambda n: "敏、" * (n // 2),
    "invisible": lambda n: "\u200b" * n,
    "a letter and invisible": lambda n: "a" + "\u200b" * n + "a",
    "marks in no order": lambda n: "a" + "\u0301\u0323" * (n // 2),
    "marks and invisible": lambda n: ("\u200b" * 40 + "\u0301") * (n // 41),
    "everything expands": lambda n: "ﷺ" * n,
    "full-width": lambda n: "ａ" * n,
    "digits in groups": lambda n: "1234-" * (n // 5),
    "phrases": lambda n: "ak-" * (n // 3),
}


@pytest.mark.parametrize("name", PATHOLOGICAL)
def test_twice_the_text_takes_about_twice_the_time(name: str, many_words: WordSet) -> None:
    make = PATHOLOGICAL[name]

    def cpu_s(length: int) -> float:
        text = make(length)
        best = float("inf")
        for _ in range(3):
            started = time.process_time()
            many_words.scan(text)
            best = min(best, time.process_time() - started)
        return best

    short, long = cpu_s(1_000), cpu_s(8_000)
    assert long < 0.002 + 24 * short  # 8 is linear, 64 quadratic
