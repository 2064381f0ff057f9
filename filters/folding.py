"""Folding: the shadow text in which words are looked for, and the way back to the original.

Folding makes one text of all the ways to write it: NFKC (full-width, circled, squared, mathematical
letters), case, traditional to simplified characters, look-alike letters, digits of any script; what cannot
be seen (zero-width, soft hyphen, variation selectors, direction marks, controls) and loose combining marks
(strike-through, "zalgo") go. An accent that composes with its letter stays: é is not e, because Vietnamese
and French mean it.

`fold_string` says what folding is. `fold` gives the same with positions, one cluster at a time: a character
and what composes with it or cannot be seen. Nothing else depends on its neighbours, which is what makes
positions possible.

Sources: Unicode UAX #15 (NFKC, Stream-Safe Text Format), UAX #44 (Default_Ignorable_Code_Point), OpenCC
(data/README.md).
"""

import re
import unicodedata
from collections.abc import Callable
from functools import cache
from pathlib import Path

import msgspec

from filters.charsets import char_class

# May stand between the characters of a word and are skipped there (filters/words.py has the rule). Others
# fold to these.
SEPARATORS = frozenset(" \t\n\r\x0b\x0c*.-_、·")

# Default_Ignorable_Code_Point, the C0 and C1 controls that are not white space, annotation anchors, the
# braille blank.
_INVISIBLE_RANGES = (
    (0x00, 0x08), (0x0E, 0x1F), (0x7F, 0x9F), (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C),
    (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x200B, 0x200F), (0x202A, 0x202E),
    (0x2060, 0x206F), (0x2800, 0x2800), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0), (0xFFF0, 0xFFFB), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)  # fmt: skip

# Blocks of marks for any script: what is left of them after composition hides a letter and says nothing.
_LOOSE_MARK_RANGES = ((0x300, 0x36F), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF), (0xFE20, 0xFE2F))

# Where NFKC or case folding can change anything (Unicode 16). The ranges between are ideographs, Yi, Hangul
# syllables and private use, which both leave alone; skipping them makes the table in 0.05 s instead of 0.2.
_CHANGING_RANGES = (
    (0x00, 0x33FF),
    (0xA4D0, 0xABFF),
    (0xF900, 0x1FFFF),
    (0x2F800, 0x2FA1F),
    (0xE0000, 0xE0FFF),
)

# Hangul vowels and finals compose with what stands before them by arithmetic, not by the decomposition table.
_HANGUL_JOINING_RANGES = ((0x1161, 0x1175), (0x11A8, 0x11C2))

# A cluster keeps at most this many joining characters: the Stream-Safe Text Format's bound. Beyond it
# normalisation, which sorts marks by insertion, would take quadratic time on a text made of marks.
CLUSTER_JOINERS_MAX = 30

# Look-alikes that neither NFKC nor case folding knows, by folded character. Small on purpose: letters of
# other alphabets that are drawn like a Latin one, Latin letters drawn small, and the dashes and dots used
# as separators.
_LOOKALIKES = dict(
    zip(
        "авекмнорстухіјѕһԁԛԝӏԍαβεηικνορτυχζıɑɡɩᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ‐‒–−⁃˗・•‧∙⋅⸱∗⁎✱✲﹡\u2028\u2029",
        "abekmhopctyxijshdqwlgabehikvoptyxziagiabcdefghijklmnoprstuvwyz------······*****\n\n",
        strict=True,
    )
)
# Runs that NFKC does not take apart, as (first, length, folded from): letters in black circles and squares,
# and digits.
_LOOKALIKE_RUNS = (
    (0x1F150, 26, "a"), (0x1F170, 26, "a"), (0x2776, 9, "1"), (0x2780, 9, "1"), (0x278A, 9, "1"),
    (0x24F5, 9, "1"), (0x24FF, 1, "0"), (0x1F10B, 1, "0"), (0x1F10C, 1, "0"),
)  # fmt: skip
_LOOKALIKE_TENS = "❿➉➓⓾"


class Folded(msgspec.Struct, frozen=True):
    """A folded text; character i of it came from `original[starts[i]:ends[i]]`."""

    text: str
    starts: list[int]
    ends: list[int]


class Table(msgspec.Struct, frozen=True):
    """What folding does to single characters.

    folds: every character that folding changes -> what it becomes ("" for the invisible).
    joiners: characters that may compose with the one before them, and all loose marks.
    shadows: every character that has a decomposition -> that decomposition (NFKD); without Hangul syllables.
    wordy: every character whose folded form has a letter or digit by `is_wordy`.
    """

    folds: dict[str, str]
    joiners: frozenset[str]
    shadows: dict[str, str]
    wordy: frozenset[str]


def _members(ranges: tuple[tuple[int, int], ...]) -> frozenset[str]:
    return frozenset(chr(ordinal) for first, last in ranges for ordinal in range(first, last + 1))


INVISIBLE = _members(_INVISIBLE_RANGES)
LOOSE_MARKS = _members(_LOOSE_MARK_RANGES)
_LOOSE_MARKS_RUN = re.compile(f"[{char_class(LOOSE_MARKS)}]+")
_INVISIBLE_STRING = "".join(sorted(INVISIBLE))
_WITHOUT_INVISIBLE = dict.fromkeys(map(ord, INVISIBLE), "")


def is_wordy(character: str) -> bool:
    """Whether a folded character is a letter or digit of an alphabet that puts spaces between words.

    Latin, Greek, Cyrillic and Armenian, with their extensions: where a word's border is a rule one can state.
    """
    if not character.isalnum():
        return False
    o = ord(character)
    return (
        o < 0x590
        or 0x1E00 <= o < 0x2000
        or 0x2C60 <= o < 0x2C80
        or 0xA640 <= o < 0xA800
        or 0xAB30 <= o < 0xAB70
    )


@cache
def _substitutes() -> dict[int, str]:
    """Single characters of normalised text that stand for another: simplified forms, look-alikes, digits."""
    pairs = (Path(__file__).parent / "data" / "traditional_to_simplified.txt").read_text("utf-8").split()
    table = {ord(pair[0]): pair[1] for pair in pairs}
    table |= {ord(char): latin for char, latin in _LOOKALIKES.items()}
    for first, length, folded in _LOOKALIKE_RUNS:
        table |= {first + n: chr(ord(folded) + n) for n in range(length)}
    table |= dict.fromkeys(map(ord, _LOOKALIKE_TENS), "10")
    table |= {0x24EB + n: str(11 + n) for n in range(10)}  # white on black 11 to 20
    for first, last in _CHANGING_RANGES:
        for ordinal in range(max(first, 0x80), last + 1):
            if (value := unicodedata.decimal(chr(ordinal), -1)) >= 0:
                table[ordinal] = str(value)
    return table


def fold_string(text: str) -> str:
    """The folded text, without positions: the definition of folding. Folding it again changes nothing."""
    while True:
        folded = unicodedata.normalize("NFKC", text.translate(_WITHOUT_INVISIBLE)).casefold()
        folded = unicodedata.normalize("NFKC", folded)
        folded = _LOOSE_MARKS_RUN.sub("", folded).translate(_substitutes())
        if folded == text:
            return folded
        text = folded


@cache
def table() -> Table:
    """The single-character table, made once a process on first use (0.1 s)."""
    folds: dict[str, str] = {}
    shadows: dict[str, str] = {}
    joiners = set(_members(_HANGUL_JOINING_RANGES) | LOOSE_MARKS)
    substitutes = _substitutes()
    for first, last in _CHANGING_RANGES:
        for ordinal in range(first, last + 1):
            character = chr(ordinal)
            decomposed = unicodedata.normalize("NFKD", character)
            if decomposed != character:
                shadows[character] = decomposed
                canonical = unicodedata.normalize("NFD", character)
                if len(canonical) > 1 and unicodedata.normalize("NFC", canonical) == character:
                    joiners.update(canonical[1:])
            if unicodedata.combining(decomposed[0]):
                joiners.add(character)
            if decomposed != character or ordinal in substitutes or character.casefold() != character:
                folds[character] = fold_string(character)
    for character in (*map(chr, substitutes), *INVISIBLE, *LOOSE_MARKS):
        folds[character] = fold_string(character)
    joiners.update(character for character, decomposed in shadows.items() if decomposed[0] in joiners)
    return Table(
        folds={character: folded for character, folded in folds.items() if folded != character},
        joiners=frozenset(joiners) - INVISIBLE,
        shadows=shadows,
        wordy=frozenset(
            character
            for first, last in _CHANGING_RANGES
            for character in map(chr, range(first, last + 1))
            if any(map(is_wordy, folds.get(character, character)))
        ),
    )


@cache
def _may_cluster() -> Callable[[str], re.Match[str] | None]:
    """A quick search for anything that makes a cluster; it also fires outside the BMP."""
    inside = (character for character in table().joiners | INVISIBLE if character < "\U00010000")
    return re.compile(f"[{char_class(inside)}\U00010000-\U0010ffff]").search


@cache
def _clusters() -> re.Pattern[str]:
    """Matches a character with the joining and invisible characters that follow it, if there are any."""
    joiner, invisible = char_class(table().joiners), char_class(INVISIBLE)
    return re.compile(
        # Possessive throughout: no run is ever looked at twice.
        rf"(?:[^{joiner}{invisible}](?=[{joiner}{invisible}])[{invisible}]*+|[{invisible}]++|(?=[{joiner}]))"
        rf"(?:[{joiner}][{invisible}]*+){{0,{CLUSTER_JOINERS_MAX}}}+",
    )


def fold(text: str) -> Folded:
    """The folded text with the way back.

    Equals `fold_string(text)` unless more than `CLUSTER_JOINERS_MAX` marks stand on one character.
    Cost: linear in `len(text)`; 0.1-0.2 us a character.
    """
    folds = table().folds
    pieces: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    at = 0
    clusters = _clusters().finditer(text) if _may_cluster()(text) else ()
    for cluster in (*clusters, None):
        stop = cluster.start() if cluster else len(text)
        singles = [folds.get(character, character) for character in text[at:stop]]
        joined = "".join(singles)
        pieces.append(joined)
        if len(joined) == stop - at and "" not in singles:
            starts.extend(range(at, stop))
            ends.extend(range(at + 1, stop + 1))
        else:
            for index, piece in enumerate(singles, at):
                starts.extend([index] * len(piece))
                ends.extend([index + 1] * len(piece))
        if cluster:
            at = cluster.end()
            piece = fold_string(cluster[0])
            pieces.append(piece)
            starts.extend([stop] * len(piece))
            ends.extend([stop + len(cluster[0].rstrip(_INVISIBLE_STRING))] * len(piece))
    return Folded("".join(pieces), starts, ends)
