"""Sensitive words: any number of them found in one pass over a text, however they are disguised.

The law of a hit, on the folded text (folding.py):

1. The characters of the folded word stand in the folded text in order, with nothing between them but
   separators.
2. A separator between two letters or digits of an alphabetic script counts only where both stand alone:
   "s e x" and "s.e.x" are hits, "pen is" is not. A word with seven digits or more is a number, and numbers
   are grouped: beside its digits any separator counts. So it does beside a Chinese character.
3. Where the word itself has a separator between two letters or digits, the text must have one too
   ("hot girl" is no part of "hotgirl"), but any: "hot-girl".
4. A word of letters and digits only matches whole words, unless its `substring` is set: "sex" is no part of
   "Essex".

How it is fast: the automaton runs over the UTF-8 octets of the text, read as latin-1 (by code point a node
has thousands of children, which pyahocorasick searches one by one: 60 us a message instead of 2; UTF-8
synchronises itself, so hits begin and end on characters). A text goes to it as it is, only ASCII-lowered,
unless a character class made for this word set says that folding or a separator could matter to these words.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Protocol

import ahocorasick
import msgspec

from filters.folding import SEPARATORS, fold, fold_string, is_wordy, table
from filters.shortcuts import Pairs, Shortcuts

WORD_CHARACTERS_MAX = (
    64  # of a word as typed; bounds the work on a text where words nest ("a", "aa", "aaa", ...)
)
NUMBER_DIGITS_MIN = 7  # shortest telephone or account number that is worth blocking

MASK, REVIEW, REJECT = "mask", "review", "reject"
ACTIONS = (MASK, REVIEW, REJECT)  # weakest first
_SEPARATORS_STRING = "".join(sorted(SEPARATORS))


class WordLike(Protocol):
    """Anything with these three can be a word: the store's own values can."""

    @property
    def text(self) -> str: ...
    @property
    def action(self) -> str: ...
    @property
    def substring(self) -> bool: ...


class Word(msgspec.Struct, frozen=True):
    text: str
    action: str = MASK
    substring: bool = False


class Hits(msgspec.Struct, frozen=True):
    """What a text was found to contain.

    spans: all hits, merged, as [start, end) in characters of the original text.
    masks: those of them that come from words whose action is `mask`.
    action: the strongest action among the hits.
    words: the words that hit, as typed, each once, in the order of their first hit.
    """

    spans: tuple[tuple[int, int], ...]
    masks: tuple[tuple[int, int], ...]
    action: str
    words: tuple[str, ...]


class WordSetStatistics(msgspec.Struct, frozen=True):
    words: int
    ignored: tuple[tuple[str, str], ...]  # (word, why it can never hit)
    keys: int
    automaton_octets: int


class _Key(msgspec.Struct, frozen=True, gc=False):
    """One way in which a word stands in the automaton."""

    word: int
    rank: int  # index in ACTIONS
    length: int  # characters
    whole: bool  # letters and digits only: a hit needs a border on both sides
    gaps: str  # what a separator is worth between each two characters; "" where none can be


_Keys = tuple[_Key, ...]  # what stands at one node of the automaton
_ORDERED_DEPTHS = range(1, 7)  # octets: two Chinese characters; deeper nodes are seldom reached
_CONTINUATION_OCTETS = bytes(range(0x80, 0xC0))

# Values of _Key.gaps
_FREE = "f"  # any separator counts, and none
_ALONE = "a"  # separators count if both characters stand alone, and none
_NEEDED = "n"  # there must be a separator


def problem_with_word(text: str) -> str | None:
    """Why this cannot be a sensitive word, for people, or None if it can."""
    if len(text) > WORD_CHARACTERS_MAX:
        return f"longer than {WORD_CHARACTERS_MAX} characters"
    if not same_word(text):
        return "nothing is left of it without separators and invisible characters"
    return None


def same_word(text: str) -> str:
    """The form under which two spellings are one word: what must be unique in a list of words.

    Folded; without separators at its ends, nor marks at its beginning, which would join what stands before.
    """
    folded = fold_string(text)
    return folded.rstrip(_SEPARATORS_STRING).lstrip("".join(SEPARATORS | (table().joiners & set(folded))))


def mask(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """The text with one `*` for each character inside the spans; its length stays."""
    pieces = []
    at = 0
    for start, end in spans:
        pieces.append(text[at:start])
        pieces.append("*" * (end - start))
        at = end
    pieces.append(text[at:])
    return "".join(pieces)


class WordSet:
    """Words, made ready to be looked for. Immutable: a change is a new WordSet, swapped in by one assignment.

    Args:
      words: words that can never hit are left out and named in `statistics().ignored`.
      skip_separators: False looks for the folded words as they are, separators included.
    Cost: building takes about 25 us a word, and 0.15 s once a process. Memory: about 1 KB a word.
    """

    def __init__(self, words: Iterable[WordLike] = (), *, skip_separators: bool = True) -> None:
        self._skip_separators = skip_separators
        self._texts: list[str] = []
        ignored: list[tuple[str, str]] = []
        keys: dict[str, list[_Key]] = {}
        for word in words:
            if word.action not in ACTIONS:
                raise ValueError(
                    f"word {word.text!r} has the action {word.action!r}; use one of {', '.join(ACTIONS)}"
                )
            if problem := problem_with_word(word.text):
                ignored.append((word.text, problem))
                continue
            self._texts.append(word.text)
            for text, key in _keys(len(self._texts) - 1, word, skip_separators):
                keys.setdefault(text, []).append(key)
        self._ignored = tuple(ignored)
        self._automaton = _automaton({_octets(text): tuple(same) for text, same in keys.items()})
        self._keys = len(keys)
        self._find = self._automaton.iter
        self._shortcuts = _shortcuts(keys, skip_separators)
        self._judge = self._shortcuts.judge

    def scan(self, text: str) -> Hits | None:
        """What sensitive words a text contains, or None for a clean one.

        Any str will do, lone surrogates included. Cost: linear in the text; see the README for figures.
        """
        if not self._keys:
            return None
        plain, gap = self._judge(text)
        if plain is None:
            return self.scan_thoroughly(text)
        if gap:
            bare = _octets(self._shortcuts.without_gaps(plain))
            return self.scan_thoroughly(text) if any(self._find(bare)) else None
        octets = plain.encode("utf-8", "surrogatepass").lower().decode("latin-1")  # _octets, without the call
        ends = list(self._find(octets))
        return self._plain_hits(plain, octets, ends) if ends else None

    def _plain_hits(self, plain: str, octets: str, ends: list[tuple[int, _Keys]]) -> Hits | None:
        """The hits among what the automaton found in a plain text, whose positions are the original's."""
        found = _Found()
        for after, keys in _by_character(octets, ends):
            for key in keys:
                if found.covers(after, key):
                    continue
                first = after - key.length
                bordered = not key.whole or not (
                    (first and _ends_wordy(plain[first - 1]))
                    or (after < len(plain) and _starts_wordy(plain[after]))
                )
                if bordered and _NEEDED not in key.gaps:
                    found.add(first, after, after, key)
        return found.hits(self._texts)

    def scan_thoroughly(self, text: str) -> Hits | None:
        """The same as `scan`, without its short cuts: folds every text. What `scan` is tested against."""
        if not self._keys:
            return None
        folded = fold(text)
        shadow = folded.text
        if self._skip_separators and not SEPARATORS.isdisjoint(shadow):
            kept = [index for index, character in enumerate(shadow) if character not in SEPARATORS]
            stripped = "".join([shadow[index] for index in kept])
        else:
            kept = list(range(len(shadow)))
            stripped = shadow
        found = _Found()
        octets = _octets(stripped)
        for after, keys in _by_character(octets, self._find(octets)):
            for key in keys:
                if found.covers(after, key):
                    continue
                first = after - key.length
                if _holds(key, shadow, kept[first:after]):
                    found.add(folded.starts[kept[first]], folded.ends[kept[after - 1]], after, key)
        return found.hits(self._texts)

    def statistics(self) -> WordSetStatistics:
        return WordSetStatistics(
            words=len(self._texts),
            ignored=self._ignored,
            keys=self._keys,
            automaton_octets=self._automaton.get_stats()["total_size"] if self._keys else 0,
        )


class _Found:
    """Collects hits. Of those with one end it wants the longest and every word's first, no more.

    So the work stays small on a text where words nest ("a", "aa", "aaa", ...): keys of one end come longest first.
    """

    def __init__(self) -> None:
        self.spans: list[tuple[int, int]] = []
        self.masks: list[tuple[int, int]] = []
        self.words: dict[int, None] = {}
        self.rank = 0
        self.after = -1  # the end of the last hit
        self.masked = False  # a hit with that end is in masks

    def covers(self, after: int, key: _Key) -> bool:
        return after == self.after and (self.masked or key.rank > 0) and key.word in self.words

    def add(self, start: int, end: int, after: int, key: _Key) -> None:
        if after != self.after:
            self.after, self.masked = after, False
        self.spans.append((start, end))
        if key.rank == 0:
            self.masks.append((start, end))
            self.masked = True
        self.rank = max(self.rank, key.rank)
        self.words[key.word] = None

    def hits(self, texts: Sequence[str]) -> Hits | None:
        if not self.spans:
            return None
        return Hits(
            spans=_merged(self.spans),
            masks=_merged(self.masks),
            action=ACTIONS[self.rank],
            words=tuple(dict.fromkeys(texts[word] for word in self.words)),
        )


def _keys(index: int, word: WordLike, skip_separators: bool) -> list[tuple[str, _Key]]:
    """What to put into the automaton for a word: one key, two if it has separators that it needs."""
    text = same_word(word.text)
    rank = ACTIONS.index(word.action)
    letters = [character for character in text if character not in SEPARATORS]
    whole = not word.substring and all(map(is_wordy, letters))
    if not skip_separators:
        return [(text, _Key(index, rank, len(text), whole, ""))]
    gaps = _gaps(text, letters)
    stripped = "".join(letters)
    keys = [(stripped, _Key(index, rank, len(stripped), whole, gaps))]
    if _NEEDED in gaps:
        # A second key, with one space where a separator is needed, finds the usual spelling without the
        # long way.
        spaced = letters[0] + "".join(
            " " + letter if gap == _NEEDED else letter for gap, letter in zip(gaps, letters[1:], strict=True)
        )
        keys.append((spaced, _Key(index, rank, len(spaced), whole, "")))
    return keys


def _automaton(keys: dict[str, _Keys]) -> ahocorasick.Automaton:
    """The automaton over the octets of keys, laid out for speed.

    It tries the children of a node in the order in which they came, so frequent octets come first. And it takes
    memory node by node, so the first two characters of all words come first and lie together, which spares
    cache misses: 3.4 us a text instead of 3.8, and no more when other work has emptied the cache (measured with
    10,000 words).
    """
    counts = Counter(octets[:depth] for octets in keys for depth in _ORDERED_DEPTHS)

    def rank(octets: str) -> list[tuple[int, str]]:
        return [(-counts[octets[:depth]], octets[:depth]) for depth in _ORDERED_DEPTHS]

    ordered = sorted(keys, key=rank)
    automaton = ahocorasick.Automaton()
    for depth in _ORDERED_DEPTHS:
        for octets in ordered:
            automaton.add_word(octets[:depth], ())
    for octets in ordered:
        automaton.add_word(octets, keys[octets])
    for beginning in counts.keys() - keys.keys():
        automaton.remove_word(beginning)
    automaton.make_automaton()
    return automaton


def _shortcuts(keys: dict[str, list[_Key]], skip_separators: bool) -> Shortcuts:
    pairs: dict[str, set[str]] = {_FREE: set(), _ALONE: set(), _NEEDED: set()}
    for text, same in keys.items():
        for key in same:
            for gap, pair in zip(key.gaps, pairwise(text), strict=bool(key.gaps)):
                pairs[gap].add("".join(pair))
    letters = frozenset("".join(keys))
    return Shortcuts(
        letters - SEPARATORS if skip_separators else letters,
        Pairs(open=frozenset(pairs[_FREE]), alone=frozenset(pairs[_ALONE]), needed=frozenset(pairs[_NEEDED])),
    )


def _gaps(text: str, letters: Sequence[str]) -> str:
    """`_Key.gaps` of a word: rules 2 and 3 at the top of this file."""
    number = sum(letter.isdigit() for letter in letters) >= NUMBER_DIGITS_MIN
    gaps = []
    separated = False
    previous = ""
    for character in text:
        if character in SEPARATORS:
            separated = True
            continue
        if previous:
            grouped = number and (previous.isdigit() or character.isdigit())
            if grouped or not (is_wordy(previous) and is_wordy(character)):
                gaps.append(_FREE)
            else:
                gaps.append(_NEEDED if separated else _ALONE)
        previous, separated = character, False
    return "".join(gaps)


def _holds(key: _Key, shadow: str, at: Sequence[int]) -> bool:
    """Whether characters of the shadow text that spell a key are a hit: rules 2 to 4.

    at: where in the shadow each character of the key stands.
    """
    first, last = at[0], at[-1]
    if key.whole and (_is_wordy_at(shadow, first - 1) or _is_wordy_at(shadow, last + 1)):
        return False
    if last - first == len(at) - 1:
        return _NEEDED not in key.gaps
    for gap, (left, right) in zip(key.gaps, pairwise(at), strict=True):
        if right - left == 1:
            if gap == _NEEDED:
                return False
        elif gap == _ALONE and (_is_wordy_at(shadow, left - 1) or _is_wordy_at(shadow, right + 1)):
            return False
    return True


def _ends_wordy(character: str) -> bool:
    """Whether an unfolded character is one whose folding ends with a letter or digit."""
    folded = table().folds.get(character, character)
    return folded != "" and is_wordy(folded[-1])


def _starts_wordy(character: str) -> bool:
    folded = table().folds.get(character, character)
    return folded != "" and is_wordy(folded[0])


def _is_wordy_at(shadow: str, index: int) -> bool:
    return 0 <= index < len(shadow) and is_wordy(shadow[index])


def _octets(text: str) -> str:
    """UTF-8 octets, ASCII letters lowered, as a string of latin-1 characters: what the automaton walks over.

    No other letter is lowered: what those fold to has been seen to before.
    """
    return text.encode("utf-8", "surrogatepass").lower().decode("latin-1")


def _by_character(octets: str, ends: Iterable[tuple[int, _Keys]]) -> Iterator[tuple[int, _Keys]]:
    """What the automaton found, by the number of characters up to its end, not its last octet."""
    raw = octets.encode("latin-1")
    counted = 0
    characters = 0
    for last_octet, keys in ends:
        characters += len(raw[counted : last_octet + 1].translate(None, _CONTINUATION_OCTETS))
        counted = last_octet + 1
        yield characters, keys


def _merged(spans: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Spans in order, overlapping ones made one; spans that only touch stay apart."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)
