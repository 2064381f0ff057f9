"""Words and blacklists as the data plane uses them, made from what the configuration store holds.

A word automaton is built off the event loop and swapped by one assignment; a blacklist gains and loses numbers
in place, at once.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from filters.blacklist import GLOBAL, TYPE, Blacklists, Scope
from filters.words import WordSet
from store.directory import BlacklistScope, Word


class Screens(msgspec.Struct):
    """What every text and number is held against."""

    words: WordSet | None = None
    blacklists: Blacklists = msgspec.field(default_factory=Blacklists)


def build_words(words: Iterable[Word]) -> WordSet | None:
    """An automaton, or None where there is no word. Takes about a second for 10,000: not on the loop."""
    some = list(words)
    return WordSet(some) if some else None


def build_blacklists(numbers_by_scope: Mapping[BlacklistScope, Sequence[int]]) -> Blacklists:
    """Bitmaps of all lists. A million numbers take about 0.3 s: not on the loop."""
    blacklists = Blacklists()
    for scope, numbers in numbers_by_scope.items():
        blacklists.replace(filter_scope(scope), numbers)
    return blacklists


def filter_scope(scope: BlacklistScope) -> Scope:
    """A list's key as the bitmaps know it: groups by id, SMS types by name."""
    if scope.kind == GLOBAL:
        return Scope(GLOBAL)
    if scope.kind == TYPE:
        return Scope(TYPE, str(scope.key))
    return Scope(scope.kind, scope.key)
