"""Many rows in few statements: each step of a statement hands the GIL over, so a row a step is ruinous
beside a busy event loop (measured: 2,000-9,000 rows/s by `executemany`, 60,000-70,000 so).

Importing this module registers identity adapters for `bytes` and `None` with sqlite3. Both are bound as they
are anyway, but without an adapter CPython looks for ways to adapt them, at each parameter, by way of a failed
attribute lookup (measured on 3.11: 590 ns a `bytes` and 280 ns a `None`; with these 170 and 115; an int 40).
An IntEnum member costs 590 ns in the same way: `bind_as_int` makes it 170.
"""

import sqlite3
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from enum import IntEnum
from itertools import chain
from typing import Any

import msgspec

from store.model import State

# Measured alike from 50 to 200 for rows of 20 columns and 250 octets; more only means larger statements.
ROWS_A_STATEMENT = 96
# What is left over goes as one multiple of this and one rest, so that a table has 21 statements, not 96.
ROWS_STEP = 16

flatten = chain.from_iterable
astuple = msgspec.structs.astuple

sqlite3.register_adapter(bytes, bytes.__bytes__)
sqlite3.register_adapter(type(None), {}.get)  # type: ignore[arg-type]  # gives None back


def bind_as_int(kind: type[IntEnum]) -> None:
    """Let sqlite3 take members of an enum straight for the ints they are."""
    sqlite3.register_adapter(kind, int.__int__)


bind_as_int(State)


class Bulk:
    """A statement that takes any number of rows: `head VALUES (row), (row) ... tail`.

    `row` is the SQL of one row's parameters, `(?,?,?)`, or gives it by the row's place. The texts are kept by
    number of rows, so that the connection's statement cache finds the same string again.
    """

    __slots__ = ("_head", "_row", "_rows_max", "_tail", "_texts")

    def __init__(
        self,
        head: str,
        row: str | Callable[[int], str],
        tail: str = "",
        *,
        rows_max: int = ROWS_A_STATEMENT,
    ) -> None:
        self._head = head
        self._row = row
        self._tail = tail
        self._rows_max = rows_max
        self._texts: dict[int, str] = {}

    def text(self, rows: int) -> str:
        found = self._texts.get(rows)
        if found is None:
            row = self._row
            texts = [row] * rows if isinstance(row, str) else [row(place) for place in range(rows)]
            found = self._texts[rows] = self._head + ",".join(texts) + self._tail
        return found

    def run(self, connection: sqlite3.Connection, rows: Sequence[Iterable[Any]]) -> int:
        """Run for all rows; the number of rows that changed."""
        changed = 0
        for start, end in self._pieces(len(rows)):
            some = rows[start:end]
            changed += connection.execute(self.text(end - start), tuple(flatten(some))).rowcount
        return changed

    def run_structs(self, connection: sqlite3.Connection, structs: Sequence[msgspec.Struct]) -> None:
        """`run` for rows whose fields are the parameters, without a tuple of each that outlives its turn."""
        for start, end in self._pieces(len(structs)):
            some = structs[start:end]
            connection.execute(self.text(end - start), tuple(flatten(map(astuple, some))))

    def fetch(self, connection: sqlite3.Connection, rows: Sequence[Iterable[Any]]) -> list[Any]:
        """Run for all rows; everything they return."""
        found: list[Any] = []
        for start, end in self._pieces(len(rows)):
            some = rows[start:end]
            found += connection.execute(self.text(end - start), tuple(flatten(some))).fetchall()
        return found

    def _pieces(self, count: int) -> Iterator[tuple[int, int]]:
        """From where to where each statement reaches."""
        start = 0
        while start < count:
            left = count - start
            end = start + (self._rows_max if left >= self._rows_max else left - left % ROWS_STEP or left)
            yield start, end
            start = end


def row_of(width: int) -> str:
    return "(" + ",".join("?" * width) + ")"


def row_without(width: int, left_out: Container[int]) -> Callable[[int], str]:
    """SQL of rows that are given `width` values but store only some: cheaper than making shorter tuples."""

    def row(place: int) -> str:
        first = place * width + 1
        return "(" + ",".join(f"?{first + at}" for at in range(width) if at not in left_out) + ")"

    return row
