"""Which texts need no folding: the quick judgement in front of the automaton.

For one word set, regular expressions that find any character whose folding could matter to these words, and
any separator that could stand inside one of them. They may fire for nothing (then a clean text takes a longer
way, which costs time), but a text in which they do not fire has the same hits as its folded form. A property
test holds that.

Each pattern begins with one character class of the Basic Multilingual Plane, which `re` scans for at 5 ns a
character; conditions on what stands before follow as look-behinds.
"""

import re
import unicodedata
from collections.abc import Set as AbstractSet

import msgspec

from filters.charsets import char_class
from filters.folding import INVISIBLE, LOOSE_MARKS, SEPARATORS, is_wordy, table

# Outside the BMP everything is suspicious but the pictographs, which folding leaves alone.
_BEYOND = "\U00010000-\U0001f2ff\U0001fb00-\U0010ffff"
_ASCII_CASE = {ord(upper): upper.lower() for upper in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
_HANGUL_JAMO = frozenset(map(chr, range(0x1100, 0x1200)))
_HANGUL_SYLLABLES = frozenset(map(chr, range(0xAC00, 0xD7A4)))


class Pairs(msgspec.Struct, frozen=True):
    """Neighbours in the folded words, each as a string of two, by what a separator between them means.

    open: any counts. alone: one counts if both stand alone. needed: there must be one.
    """

    open: frozenset[str] = frozenset()
    alone: frozenset[str] = frozenset()
    needed: frozenset[str] = frozenset()


class Shortcuts:
    """The quick judgement for one word set.

    Args:
      letters: all characters of the folded words; without separators where those are skipped.
      pairs: none where separators are characters like others.
    """

    def __init__(self, letters: frozenset[str], pairs: Pairs) -> None:
        known = table()
        joining = {character for character in known.joiners | INVISIBLE if character < "\U00010000"}
        mattering = {
            character: folded
            for character, folded in known.folds.items()
            # ASCII letters are lowered on the octets, for every text.
            if not (character.isascii() or character >= "\U00010000" or letters.isdisjoint(folded))
        }
        simple = {c: folded for c, folded in mattering.items() if len(folded) == 1 and c not in joining}
        self._one_for_one = {ord(character): folded for character, folded in simple.items()}
        self._skipped = dict.fromkeys(map(ord, _raw_separators() | INVISIBLE | LOOSE_MARKS), "")
        self._pairs = pairs.open | pairs.alone | pairs.needed

        separators = _raw_separators() if self._pairs else set()
        joins = char_class(joining)
        unusual = char_class(joining | mattering.keys() | separators)
        complicated = char_class(mattering.keys() - simple.keys())
        present = char_class(_present(letters))
        self._find_unusual = re.compile(f"[{unusual}{_BEYOND}]").search
        self._find_mattering = re.compile(f"[{joins}{char_class(mattering)}{_BEYOND}]").search
        self._find_complicated = re.compile(f"[{complicated}{_BEYOND}]").search
        self._find_joined = re.compile(f"[{joins}](?<=[{present}][{joins}])").search
        self._find_joining = re.compile(f"[{joins}]").search
        self._find_gap = re.compile(_gaps(pairs, separators, joining), re.DOTALL).search
        # Small classes are several times as fast, so ASCII texts have a search of their own for both.
        self._find_unusual_ascii = re.compile(
            _gaps(
                Pairs(*(frozenset(filter(str.isascii, kind)) for kind in msgspec.structs.astuple(pairs))),
                set(filter(str.isascii, separators)),
                set(filter(str.isascii, joining)),
                joining_fires=True,
            ),
            re.DOTALL,
        ).search

    def judge(self, text: str) -> tuple[str | None, bool]:
        """What may go to the automaton, and whether separators could hide a word in it.

        The first is the text with what matters folded, character for character; None if only folding with
        positions will do. ASCII letters are not lowered.
        Cost: 0.3 us for 60 Chinese characters with nothing unusual among them, 1.1 us for an English text.
        """
        if text.isascii():
            if not self._find_unusual_ascii(text):
                return text, False
        elif not self._find_unusual(text):
            return text, False
        if self._find_mattering(text):
            if self._find_complicated(text) or self._find_joined(text):
                return None, False
            text = text.translate(self._one_for_one)
        return text, self._has_gap(text)

    def _has_gap(self, text: str) -> bool:
        """Whether a separator stands between two characters that are neighbours in a word."""
        at = 0
        while gap := self._find_gap(text, at):
            start, end = gap.span()
            if (text[start - 1] + text[end - 1]).translate(_ASCII_CASE) in self._pairs:
                return True
            if self._find_joining(text, start, end):
                return True
            at = end - 1
        return False

    def without_gaps(self, text: str) -> str:
        """What is left of a text when everything that may be skipped is."""
        return text.translate(self._skipped)


def _gaps(
    pairs: Pairs, separators: AbstractSet[str], joining: AbstractSet[str], *, joining_fires: bool = False
) -> str:
    """A pattern for separators between two possible neighbours in a word, with the second one.

    joining_fires: it also matches any joining or invisible character.
    """
    separator, joins = char_class(separators), char_class(joining)
    run = f"[{separator}{joins}]"
    first = run if joining_fires else f"[{separator}]"
    ways = []
    if pairs.alone:
        left, right = _sides(pairs.alone)
        wordy = char_class(_wordy_throughout())
        ways.append(f"(?<=(?<![{wordy}])[{left}][{separator}]){run}*[{right}](?![{wordy}])")
    if pairs.needed:  # but for one plain space, which the automaton knows
        left, right = _sides(pairs.needed)
        ways.append(f"(?:(?<! )(?<=[{left}].){run}*|{run}(?<=[{left}]..){run}*)[{right}]")
    if pairs.open:
        left, right = _sides(pairs.open)
        ways.append(f"(?<=[{left}][{separator}]){run}*[{right}]")
    if joining_fires:
        ways.append(f"(?<=[{joins}])")
    return f"{first}(?:{'|'.join(ways)})" if ways else "(?!)"


def _sides(pairs: AbstractSet[str]) -> tuple[str, str]:
    """The classes of the first and of the second characters of pairs, ASCII letters in both cases."""
    return _both_cases({pair[0] for pair in pairs}), _both_cases({pair[1] for pair in pairs})


def _both_cases(characters: AbstractSet[str]) -> str:
    return char_class(characters | {c.upper() for c in characters if c.isascii()})


def _raw_separators() -> set[str]:
    """Characters that are, or fold to, separators only; in the BMP, where all of them are."""
    folds = table().folds
    return {c for c, folded in folds.items() if folded and SEPARATORS.issuperset(folded)}.union(SEPARATORS)


def _wordy_throughout() -> set[str]:
    """Characters beside which a letter cannot stand alone; leaving some out fires for nothing, no more."""
    folded = {c: table().folds.get(c, c) for c in map(chr, range(0x30, 0x250))}
    return {character for character, letters in folded.items() if letters and all(map(is_wordy, letters))}


def _present(letters: AbstractSet[str]) -> set[str]:
    """Characters for which it matters what joins them from behind.

    Those that are a part of a word, or may become one by joining; and letters and digits, which decide where
    a whole word ends.
    """
    known = table()
    bases = set(letters)
    for letter in letters:
        bases.update(unicodedata.normalize("NFKD", letter))
    present = {*bases, *known.wordy}
    if not bases.isdisjoint(_HANGUL_JAMO):
        present |= _HANGUL_SYLLABLES
    present.update(character for character, folded in known.folds.items() if not bases.isdisjoint(folded))
    present.update(character for character, shadow in known.shadows.items() if not bases.isdisjoint(shadow))
    return {character for character in present if character < "\U00010000" or character in letters}
