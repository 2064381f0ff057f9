"""The dry run over recipients: each row of each source falls into exactly one class, and the counts add up.

Sources (typed, file, contacts) go through one `Recipients` one after the other, so a number that two of them
hold is sent to once. The order of judgement is fixed: blank, invalid, duplicate, blacklisted, variable missing,
valid; a blacklisted number that comes again is a duplicate.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from enum import StrEnum

import msgspec
from pyroaring import BitMap64

from filters.blacklist import Scope
from filters.numbers import NotANumber, Numbering


class RowClass(StrEnum):
    """What a row is. The values are stable: they are stored, and shown by name."""

    BLANK = "blank"
    INVALID = "invalid"
    DUPLICATE = "duplicate"  # earlier in the same source
    DUPLICATE_ELSEWHERE = "duplicate-elsewhere"  # in an earlier source, or among what was there before
    BLACKLISTED = "blacklisted"
    VARIABLE_MISSING = "variable-missing"
    VALID = "valid"


class Row(msgspec.Struct, frozen=True, gc=False):
    """One judged row. `number` is 0 where there is none.

    reason: a `NotANumber` for an invalid row, the kind of the list for a blacklisted one, the name of the first
    missing variable; else "".
    """

    kind: RowClass
    number: int = 0
    reason: str = ""


_BLANK = Row(RowClass.BLANK)


class Recipients:
    """Judges rows.

    Args:
      numbering: the home country's rules.
      blacklisted: what forbids a number for this sender and SMS type: `Blacklists.check` with its arguments.
      existing: canonical numbers that count as duplicates from the start, as an address book's do.
    """

    def __init__(
        self,
        numbering: Numbering,
        blacklisted: Callable[[int], Scope | None] = lambda number: None,
        existing: Iterable[int] = (),
    ) -> None:
        self._numbering = numbering
        self._blacklisted = blacklisted
        self._elsewhere = BitMap64(existing)
        self._here = BitMap64()
        self._source = ""
        self.counts_by_source: dict[str, Counter[RowClass]] = {}
        self.reasons: Counter[tuple[RowClass, str]] = Counter()

    def begin(self, source: str) -> None:
        """From here on rows come from this source."""
        self._elsewhere |= self._here
        self._here = BitMap64()
        self._source = source

    def judge(self, text: str, missing_variable: str = "") -> Row:
        """The class of a row with this in its number column; it is counted.

        missing_variable: the first variable of the template that this row leaves blank, "" if none.
        """
        row = self._judge(text, missing_variable)
        self.counts_by_source.setdefault(self._source, Counter())[row.kind] += 1
        if row.reason:
            self.reasons[row.kind, row.reason] += 1
        return row

    @property
    def counts(self) -> Counter[RowClass]:
        """Rows by class over all sources."""
        return sum(self.counts_by_source.values(), Counter())

    def _judge(self, text: str, missing_variable: str) -> Row:
        number = self._numbering.canonical_text(text)
        if isinstance(number, NotANumber):
            if number is NotANumber.EMPTY:
                return _BLANK
            return Row(RowClass.INVALID, reason=number.value)
        if number in self._here:
            return Row(RowClass.DUPLICATE, number)
        if number in self._elsewhere:
            return Row(RowClass.DUPLICATE_ELSEWHERE, number)
        self._here.add(number)
        if scope := self._blacklisted(number):
            return Row(RowClass.BLACKLISTED, number, scope.kind)
        if missing_variable:
            return Row(RowClass.VARIABLE_MISSING, number, missing_variable)
        return Row(RowClass.VALID, number)
