"""Sets of characters as regular-expression classes."""

import re
from collections.abc import Iterable


def char_class(characters: Iterable[str]) -> str:
    """The inside of a `[...]` that matches exactly these characters, as few ranges as possible.

    Returns "" for no characters; `[]` is no valid class, so callers leave such a class out.
    """
    parts = []
    for first, last in _ranges(sorted({ord(character) for character in characters})):
        low, high = re.escape(chr(first)), re.escape(chr(last))
        parts.append(low if first == last else f"{low}-{high}")
    return "".join(parts)


def _ranges(ordinals: list[int]) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    for ordinal in ordinals:
        if ranges and ordinal == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], ordinal)
        else:
            ranges.append((ordinal, ordinal))
    return ranges
