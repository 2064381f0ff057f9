"""Every input that a fuzzer found worth keeping keeps its target's law."""

import pytest

from .corpus import FOLDER, KEPT_INPUTS_MAX, KEPT_OCTETS_MAX, read
from .reader import Reader, pieces
from .targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_of_the_corpus_breaks_a_law(name: str) -> None:
    inputs = read(name)
    assert inputs
    for octets in (b"", *inputs):
        TARGETS[name].check(octets)


@pytest.mark.parametrize("name", TARGETS)
def test_every_input_cut_short_keeps_the_law_too(name: str) -> None:
    for octets in read(name):
        TARGETS[name].check(octets[: len(octets) // 2])
        TARGETS[name].check(octets[:-1])


def test_the_corpus_stays_small_and_has_no_strangers() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == TARGETS.keys()
    for name in TARGETS:
        assert len(read(name)) <= KEPT_INPUTS_MAX
        assert max(map(len, read(name))) <= KEPT_OCTETS_MAX


def test_octets_always_choose_the_same() -> None:
    reader = Reader(b"\2\7abcdefgh")
    assert (reader.choice("xyz"), reader.some(), reader.left) == ("z", b"abcdefg", 1)
    assert (reader.rest(), reader.octet(), reader.some()) == (b"h", 0, b"")
    assert (pieces(b"abc", 2), pieces(b"abc", 0), pieces(b"", 0)) == ([b"ab", b"c"], [b"abc"], [])
