"""The benchmark of the filters runs, on small material, and measures what it says."""

from bench.filters import make_texts, make_words, run
from filters.words import WordSet


def test_every_figure_is_positive_and_names_its_unit() -> None:
    figures = run(words=100, numbers=1_000)
    assert {"words_clean_zh_us", "words_clean_en_us", "blacklist_clean_us", "number_full_us"} <= set(figures)
    for name, value in figures.items():
        assert name.endswith(("_us", "_s", "_mib"))
        assert value > 0, name


def test_the_material_is_the_same_every_time() -> None:
    assert make_words(50) == make_words(50)
    words = WordSet(make_words(50))
    assert make_texts(words, "zh", 5) == make_texts(words, "zh", 5)
    assert {len(text) for kind in ("zh", "en") for text in make_texts(words, kind, 20)} == {60}
